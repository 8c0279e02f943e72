"""The real Snakemake on real suites, in a folder of its own."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from cqlbench import runs
from cqlbench.datasets import dataset_file
from cqlbench.figures import SUFFIXES, figure_names
from cqlbench.provenance import code_fingerprint
from cqlbench.suites import load_suite

ROOT = Path(__file__).parents[1]
SMOKE = ROOT / "workflow" / "config" / "smoke.yaml"
# The smallest suite that trains: for what needs no method in particular.
TINY = {
    "name": "tiny",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0],
    "protocol": {"updates": 10, "evaluate_every": 10, "episodes": 1, "value_states": 0},
    "common": {"width": 8, "batch_size": 16},
    "methods": {"bc": {}},
}


def call(*words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs a command of this environment from the top folder."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [sys.executable, "-m", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **options,
    )


def snakemake(folder: Path, *words: object) -> str:
    """What `snakemake` prints; its results go to `folder`/results."""
    done = call("snakemake", "--cores", 2, "--directory", folder, *words)
    assert done.returncode == 0, done.stdout
    return done.stdout


def retry(suite_file: Path, results: Path, *words: object) -> str:
    """What `cqlbench retry` prints."""
    done = call("cqlbench", "retry", suite_file, "--results", results, *words)
    assert done.returncode == 0, done.stdout
    return done.stdout


def jobs(printed: str) -> dict[str, int]:
    """The table of jobs that Snakemake prints before it starts."""
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE)}


def write(path: Path, content: dict[str, Any]) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.fixture(scope="module")
def smoke(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a copy of the smoke suite has run: `smoke.yaml` and `results/`."""
    folder = tmp_path_factory.mktemp("workflow")
    shutil.copy(SMOKE, folder)
    snakemake(folder, "--configfile", folder / "smoke.yaml")
    return folder


@pytest.mark.slow
class TestSmoke:
    def test_everything_is_made(self, smoke):
        suite = load_suite(SMOKE)
        for _, run in suite.runs():
            folder = run.folder(smoke / "results")
            assert json.loads((folder / runs.STATUS).read_text())["status"] == "done", folder
            for name in (runs.CONFIG, runs.PROVENANCE, runs.TIMING, runs.TRAIN, runs.EVALUATION, runs.POLICY):
                assert (folder / name).stat().st_size > 0, folder / name
        results = smoke / "results" / "suites" / "smoke"
        assert set(pd.read_csv(results / "scores.csv")["method"]) == {method.label for method in suite.methods}
        assert len(pd.read_csv(results / "claims.csv")) == len(suite.claims)
        for name in figure_names(suite.axes):
            for suffix in SUFFIXES:
                assert (results / "figures" / f"{name}.{suffix}").stat().st_size > 0
        assert "<html" in (results / "report.html").read_text().lower()

    def test_the_time_is_accounted_for(self, smoke):
        costs = pd.read_csv(smoke / "results/suites/smoke/costs.csv").set_index("work")
        assert costs["share_of_cpu"].sum() == pytest.approx(1, abs=0.001)
        assert (costs[["earlier", "untimed"]] == 0).all(axis=None)
        assert dict(costs["jobs"]) == {
            **dict.fromkeys(("training", "evaluation", "loading", "imports"), len(load_suite(SMOKE).runs())),
            "datasets": len(load_suite(SMOKE).datasets),
            **dict.fromkeys(("scheduling", "scores", "statistics", "figures"), 1),
        }
        assert (costs["cpu_seconds"] > 0).all()
        assert costs["wall_seconds"]["scheduling"] > 0.5

    def test_a_second_call_runs_nothing(self, smoke):
        assert "Nothing to be done" in snakemake(smoke, "--configfile", smoke / "smoke.yaml")

    def test_another_title_trains_nothing(self, smoke):
        suite_file = smoke / "smoke.yaml"
        original, times = suite_file.read_text(), suite_file.stat()
        suite_file.write_text(original.replace("title: ", "title: Once more, "))
        try:
            planned = jobs(snakemake(smoke, "-n", "--configfile", suite_file))
        finally:
            suite_file.write_text(original)
            os.utime(suite_file, ns=(times.st_atime_ns, times.st_mtime_ns))
        assert planned["report"] == 1
        assert not {"train", "dataset"} & set(planned)

    def test_another_seed_runs_only_the_new_runs(self, smoke):
        content = yaml.safe_load(SMOKE.read_text())
        content["seeds"].append(7)
        suite_file = write(smoke / "seed.yaml", content)
        suite = load_suite(suite_file)
        planned = jobs(snakemake(smoke, "-n", "--configfile", suite_file))
        assert planned["train"] == len(suite.runs()) - len(load_suite(SMOKE).runs())
        assert "dataset" not in planned

    def test_another_value_runs_only_the_new_runs(self, smoke):
        content = yaml.safe_load(SMOKE.read_text())
        content["methods"]["cql"]["cql_alpha"].append(3)
        planned = jobs(snakemake(smoke, "-n", "--configfile", write(smoke / "value.yaml", content)))
        assert planned["train"] == len(content["datasets"]) * len(content["seeds"])

    def test_a_suite_of_the_same_runs_trains_nothing(self, smoke):
        content = yaml.safe_load(SMOKE.read_text())
        shared = {"name": "part", "seeds": [1], "methods": {"anything": {"algorithm": "sac"}, "bc": {}}, "claims": []}
        content = {key: value for key, value in content.items() if key != "headline"} | shared
        planned = jobs(snakemake(smoke, "-n", "--configfile", write(smoke / "part.yaml", content)))
        assert planned["scores"] == 1
        assert "train" not in planned

    def test_the_same_seed_gives_the_same_bytes(self, smoke):
        _, run = next((method, run) for method, run in load_suite(SMOKE).runs() if method.family == "cql")
        folder = run.folder(Path("results"))
        names = (runs.TRAIN, runs.EVALUATION, runs.EPISODES, runs.VALUES, runs.POLICY)
        before = [(smoke / folder / name).read_bytes() for name in names]
        shutil.rmtree(smoke / folder)
        printed = snakemake(smoke, "--configfile", smoke / "smoke.yaml")
        assert jobs(printed)["train"] == 1
        assert [(smoke / folder / name).read_bytes() for name in names] == before

    def test_a_failed_run_stops_nothing_and_is_named_until_it_is_tried_again(self, smoke):
        (smoke / "unlucky.py").write_text(
            "class Unlucky:\n    def __init__(self, *building_blocks):\n        raise RuntimeError('no luck')\n"
        )
        own = {"unlucky": {"algorithm": "unlucky.py:Unlucky"}, "bc": {}}
        suite_file = write(smoke / "tiny.yaml", {**TINY, "methods": own})
        snakemake(smoke, "--configfile", suite_file)
        table = pd.read_csv(smoke / "results/suites/tiny/runs.csv").set_index("method")
        assert dict(table["status"]) == {"unlucky": "failed", "bc": "done"}
        assert "no luck" in (smoke / "results/suites/tiny/report.html").read_text()
        again = subprocess.run(
            [
                sys.executable,
                "-m",
                "cqlbench",
                "retry",
                "tiny.yaml",
                "--",
                "--until",
                "train",
                "--snakefile",
                ROOT / "Snakefile",
            ],
            cwd=smoke,
            capture_output=True,
            text=True,
        )
        assert again.returncode == 0, again.stdout + again.stderr
        assert re.search(r"removed, failed \(.*no luck.*\): results/runs/pendulum/medium-v0/Unlucky", again.stdout)
        assert jobs(again.stdout + again.stderr)["train"] == 1

    def test_runs_of_other_training_code_are_made_again_only_when_asked(self, smoke):
        suite_file = write(smoke / "tiny.yaml", TINY)
        snakemake(smoke, "--configfile", suite_file)
        _, run = load_suite(suite_file).runs()[0]
        provenance = run.folder(smoke / "results") / runs.PROVENANCE
        provenance.write_text(json.dumps({**json.loads(provenance.read_text()), "code_fingerprint": "of yesterday"}))
        assert "removed" not in retry(suite_file, smoke / "results", "--", "--list-rules")
        stale = retry(suite_file, smoke / "results", "--retrain-stale", "--", "--list-rules")
        assert "removed, made by other training code" in stale
        assert not provenance.exists()

    def test_memory_bounds_how_many_runs_go_at_once(self, smoke):
        suite_file = write(smoke / "memory.yaml", {**TINY, "name": "memory", "seeds": [5, 6, 7, 8]})
        folders = [run.folder(Path("results")) / runs.STATUS for _, run in load_suite(suite_file).runs()]
        narrow = snakemake(smoke, *folders[:2], "--configfile", suite_file, "--resources", "mem_mb=1000")
        assert jobs(narrow)["train"] == 2
        assert "Execute 2 jobs" not in narrow
        # Without a bound from the command line, the machine's own memory is the bound.
        assert "Provided resources: mem_mb=" in snakemake(smoke, *folders[2:], "--configfile", suite_file)

    def test_snakemake_reports_the_figures(self, smoke):
        snakemake(smoke, "--configfile", smoke / "smoke.yaml", "--report", smoke / "snakemake.zip")
        assert (smoke / "snakemake.zip").stat().st_size > 100_000


@pytest.mark.slow
def test_a_path_may_have_a_space_and_the_environment_need_not_be_activated(tmp_path):
    (tmp_path / "big disk").mkdir()
    suite_file = write(tmp_path / "big disk" / "a suite.yaml", TINY)
    results = tmp_path / "big disk" / "results"
    words = ["retry", suite_file, "--results", results, "--", "--directory", tmp_path]
    done = subprocess.run(
        [sys.executable, "-m", "cqlbench", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "PATH": os.defpath},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (results / "suites" / "tiny" / "report.html").is_file()


class TestRetry:
    @pytest.fixture
    def finished(self, tmp_path: Path) -> tuple[Path, Path]:
        """The tiny suite and the folder of its one run, which the present code made of data called `these`."""
        suite_file = write(tmp_path / "tiny.yaml", TINY)
        folder = load_suite(suite_file).runs()[0][1].folder(tmp_path / "results")
        folder.mkdir(parents=True)
        (folder / runs.STATUS).write_text(json.dumps({"status": "done", "reason": None}))
        made_of = {
            "code_fingerprint": code_fingerprint(),
            "dataset": {"content_hash": "these", "ref_min": 0.0, "ref_max": 1.0},
        }
        (folder / runs.PROVENANCE).write_text(json.dumps(made_of))
        return suite_file, folder

    @staticmethod
    def store(results: Path, content_hash: str) -> None:
        file = dataset_file(results / "datasets", TINY["datasets"][0])
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
        (file.parent / "metadata.json").write_text(json.dumps({"content_hash": content_hash}))

    def test_only_other_data_make_a_run_stale_not_missing_ones(self, tmp_path, finished):
        suite_file, folder = finished
        words = [suite_file, tmp_path / "results", "--retrain-stale", "--", "--list-rules"]
        assert "removed" not in retry(*words)
        self.store(tmp_path / "results", "these")
        assert "removed" not in retry(*words)
        self.store(tmp_path / "results", "others")
        assert f"removed, made from other data: {folder}" in retry(*words)
        assert not folder.exists()

    @pytest.mark.parametrize("word", ["-n", "--dry-run", "-np"])
    def test_a_dry_run_removes_nothing(self, tmp_path, finished, word):
        suite_file, folder = finished
        (folder / runs.STATUS).write_text(json.dumps({"status": "failed", "reason": "no luck"}))
        printed = retry(suite_file, tmp_path / "results", "--", word, "--directory", tmp_path)
        assert f"would be removed and trained again, failed (no luck): {folder}" in printed
        assert (folder / runs.STATUS).exists()


def test_without_a_suite_the_full_one_is_planned(tmp_path):
    printed = snakemake(tmp_path, "-n")
    full = load_suite(ROOT / "workflow" / "config" / "full.yaml")
    assert jobs(printed)["train"] == len(full.runs())
    assert jobs(printed)["dataset"] == len(full.datasets)
    assert f"suite full: {len(full.runs())} runs (0 done)" in printed


def test_the_paper_is_all_of_its_suites_and_what_they_share_once(tmp_path):
    printed = snakemake(tmp_path, "-n", "paper")
    paper = [load_suite(file) for file in sorted((ROOT / "workflow" / "config").glob("paper-*.yaml"))]
    planned = [run for suite in paper for _, run in suite.runs()]
    assert jobs(printed)["train"] == len(set(planned)) < len(planned)
    assert jobs(printed)["report"] == len(paper) > 1
    assert jobs(printed)["value_table"] == jobs(printed)["theory_report"] == 1
    for suite in paper:
        assert f"suite {suite.name}: {len(suite.runs())} runs (0 done)" in printed
    assert "suite full" not in printed


def test_results_can_lie_elsewhere(tmp_path):
    suite_file = write(tmp_path / "tiny.yaml", TINY)
    printed = snakemake(tmp_path, "-n", "--quiet", "host", "--configfile", suite_file, "--config", "results=elsewhere")
    assert "elsewhere/runs/pendulum/medium-v0/bc/" in printed


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({**TINY, "sedes": [1]}, ["sedes", "no such key", "seeds"]),
        ({**TINY, "seeds": []}, ["seeds: []", "at least 1"]),
        ({**TINY, "datasets": ["hopper/mediun-v0"]}, ["hopper/mediun-v0", "medium-replay"]),
        ({**TINY, "methods": {"cql": {"cql_alpha": -1}}}, ["methods.cql.cql_alpha: -1", "from 0"]),
    ],
)
def test_a_mistake_is_one_line_and_starts_nothing(tmp_path, content, words):
    suite_file = write(tmp_path / "suite.yaml", content)
    done = call("snakemake", "--cores", 1, "--directory", tmp_path, "--configfile", suite_file)
    refusal = [line for line in done.stdout.splitlines() if not line.startswith("Using workflow specific profile")]
    assert done.returncode != 0
    assert len(refusal) == 1, done.stdout
    assert all(word in refusal[0] for word in [str(suite_file.name), *words]), refusal
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--configfile", SMOKE, SMOKE.with_name("quick.yaml")], ["--configfile", "one suite at a time"]),
        (["--configfile", SMOKE, "--config", "seeds=[1]"], ["--config seeds", "write a suite file"]),
    ],
)
def test_suites_are_not_merged(tmp_path, arguments, words):
    done = call("snakemake", "-n", "--directory", tmp_path, *arguments)
    assert done.returncode != 0
    assert all(word in done.stdout.splitlines()[-1] for word in words), done.stdout
