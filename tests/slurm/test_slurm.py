"""Suites through a real Slurm on this machine: the same bytes as without it, also where jobs are ended on their way."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cluster
import pytest
import yaml

from cqlbench import costs, runs

ROOT = Path(__file__).parents[2]
SMOKE = ROOT / "workflow" / "config" / "smoke.yaml"
# One job after another as soon as it has ended; no accounting.
IMPATIENT = ["--slurm-no-account", "--slurm-status-command", "squeue"]
IMPATIENT += ["--slurm-init-seconds-before-status-checks", "8", "--seconds-between-status-checks", "8"]
SUITE: dict[str, Any] = {
    "name": "sent",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0],
    # The rests of the slow method alone take half a minute: so long until the first checkpoint.
    "protocol": {"updates": 2_600, "evaluate_every": 650, "episodes": 1, "value_states": 0},
    "common": {"width": 8, "batch_size": 16},
    "methods": {
        "bc": {},
        "paced": {"algorithm": "own_methods.py:Paced"},
        "unlucky": {"algorithm": "own_methods.py:Unlucky"},
    },
    "time_limit": 30,
}
# What follows the runs in one job: scores, statistics, figures, costs, report; an hour each.
ANALYSIS_MINUTES = 5 * 60
# What a folder may have of its own: hardware and seconds, and the commit, should it change meanwhile.
OWN = (runs.TIMING, runs.LOG, runs.PROVENANCE, runs.FINISHED)

pytestmark = pytest.mark.slurm


class Ended(NamedTuple):
    """A job that has ended, by Slurm's own list: how, on which partition, and the minutes it had been given."""

    state: str
    partition: str
    minutes: int


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a Slurm's own files, while it runs."""
    if reason := cluster.why_not():
        pytest.skip(f"no Slurm: {reason}")
    folder = tmp_path_factory.mktemp("slurm")
    with cluster.slurm(folder):
        yield folder


def start(folder: Path, suite_file: Path, *words: object) -> subprocess.Popen[str]:
    fixed = ["-m", "snakemake", "--directory", folder, "--configfile", suite_file]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return subprocess.Popen(
        [sys.executable, *map(str, [*fixed, *words])], cwd=ROOT, env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def finish(process: subprocess.Popen[str]) -> str:
    """What it has printed; it must have ended well."""
    printed, _ = process.communicate()
    assert process.returncode == 0, printed
    return printed


def send(folder: Path, suite_file: Path, *words: object) -> subprocess.Popen[str]:
    """Starts a suite on the cluster."""
    return start(folder, suite_file, "--profile", ROOT / "profiles" / "slurm", *IMPATIENT, *words)


def prepare(folder: Path, results: Path, methods: Sequence[str] = tuple(SUITE["methods"])) -> Path:
    """A folder with the dataset, the methods and the suite with some of them, whose file it returns."""
    folder.mkdir()
    shutil.copytree(results / "datasets", folder / "results" / "datasets")
    shutil.copy(Path(__file__).with_name("own_methods.py"), folder)
    suite_file = folder / "sent.yaml"
    suite_file.write_text(yaml.safe_dump(SUITE | {"methods": {name: SUITE["methods"][name] for name in methods}}))
    return suite_file


def find_run(folder: Path, algorithm: str, seed: int = 0) -> Path | None:
    """The run's own folder below this one, once it has been begun."""
    return next((folder / "results" / "runs").glob(f"*/*/{algorithm}/*/seed={seed}"), None)


def has_checkpoint(run: Path | None) -> bool:
    return run is not None and any((run / runs.CHECKPOINTS).glob("*.safetensors"))


def run_log(folder: Path) -> str:
    """Of the slow run."""
    return (find_run(folder, "Paced") / runs.LOG).read_text()


def wait_for(come: Callable[[], object], process: subprocess.Popen[str]) -> None:
    """Until something is there, while `process` lives."""
    while not come():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.1)


def job_of(run: Path) -> str:
    """The number of the job that makes the run in this folder: its comment ends with the run's name."""
    name = "_".join(run.parts[run.parts.index("runs") + 1 :])
    listed = subprocess.run(["squeue", "--noheader", "--format=%i %k"], check=True, capture_output=True, text=True)
    return next(line.split()[0] for line in listed.stdout.splitlines() if line.endswith(name))


def ended(slurm: Path, printed: str) -> dict[str, Ended]:
    """The jobs of a call of Snakemake that have ended, by their number; their name is the one it has printed."""
    (name,) = re.findall(r"SLURM run ID: (\S+)", printed)
    told = [dict(re.findall(r"(\w+)=(\S+)", line)) for line in (slurm / "jobs.txt").read_text().splitlines()]
    return {
        job["JobId"]: Ended(job["JobState"], job["Partition"], int(job["TimeLimit"]))
        for job in told
        if job["Name"] == name
    }


def contents(folder: Path, *left_out: str) -> dict[Path, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file() and path.name not in left_out)
    return {path.relative_to(folder): path.read_bytes() for path in files}


def assert_same_results(ours: Path, theirs: Path, name: str) -> None:
    """Runs, tables and statistics of two folders, byte for byte; figures carry the time they were drawn at."""
    found, expected = (contents(folder / "results" / "runs", *OWN) for folder in (ours, theirs))
    assert found.keys() == expected.keys()
    assert [path for path in found if found[path] != expected[path]] == []
    tables = [folder / "results" / "suites" / name for folder in (ours, theirs)]
    for place, left_out in (("", ["costs.csv", "runs.csv"]), ("statistics", [])):
        found, expected = ({path.name: path.read_bytes() for path in (table / place).glob("*.csv")} for table in tables)
        assert found.keys() == expected.keys() and found
        assert [table for table in found if found[table] != expected[table] and table not in left_out] == []


class Sent(NamedTuple):
    """A suite that has been on the cluster: its folder, the job that was cancelled, what Snakemake printed."""

    folder: Path
    cancelled: str
    printed: str


@pytest.fixture(scope="module")
def both(slurm, results, tmp_path_factory) -> tuple[Sent, Path]:
    """The suite on the cluster, where one of its jobs is cancelled on the way, and the folder of the same without."""
    sent, local = (tmp_path_factory.mktemp(name) / "suite" for name in ("sent", "local"))
    processes = [send(sent, prepare(sent, results)), start(local, prepare(local, results), "--cores", 1)]
    wait_for(lambda: has_checkpoint(find_run(sent, "Paced")), processes[0])
    cancelled = job_of(find_run(sent, "Paced"))
    subprocess.run(["scancel", cancelled], check=True)
    printed, _ = (finish(process) for process in processes)
    return Sent(sent, cancelled, printed), local


class TestSuite:
    """A suite with a run that fails and one whose job is cancelled on its way, beside the same suite without Slurm."""

    def test_the_results_are_those_of_this_machine(self, both):
        sent, local = both
        assert_same_results(sent.folder, local, "sent")

    def test_a_job_that_slurm_has_ended_is_sent_again_and_goes_on(self, slurm, both):
        sent, _ = both
        assert re.search(r"going on after update [\d,]+, from a checkpoint", run_log(sent.folder))
        assert ended(slurm, sent.printed)[sent.cancelled].state == "CANCELLED"
        states = Counter(job.state for job in ended(slurm, sent.printed).values())
        assert states == {"CANCELLED": 1, "COMPLETED": len(SUITE["methods"]) + 1}

    def test_a_run_that_fails_is_no_failed_job_and_is_named(self, both):
        folder = both[0].folder
        status = json.loads((find_run(folder, "Unlucky") / runs.STATUS).read_text())
        assert (status["status"], status["reason"]) == ("failed", "RuntimeError: no luck")
        assert "no luck" in (folder / "results/suites/sent/report.html").read_text()

    def test_each_job_is_given_its_minutes(self, slurm, both):
        first = costs.SETTING_UP_MINUTES + SUITE["time_limit"]
        minutes = Counter(job.minutes for job in ended(slurm, both[0].printed).values())
        assert minutes == {first: len(SUITE["methods"]), 2 * first: 1, ANALYSIS_MINUTES: 1}


def test_a_gpu_is_asked_for_where_one_is_to_be_used(slurm, results, tmp_path):
    suite_file = prepare(tmp_path / "gpu", results, methods=["bc"])
    words = ["--config", "device=cuda", "--set-resources", "train:slurm_partition=gpu"]
    printed = finish(send(tmp_path / "gpu", suite_file, *words))
    given = {
        job.partition: subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True).stdout
        for number, job in ended(slurm, printed).items()
    }
    assert "gres:gpu:1" in given["gpu"] and "gres:gpu" not in given["main"]
    # Nothing was trained on a CPU instead.
    assert "--device cuda" in printed


def test_a_job_that_fails_is_seen_and_what_is_built_on_it_is_not_made(slurm, results, tmp_path):
    suite_file = prepare(tmp_path / "bad", results, methods=["bc"])
    datasets = tmp_path / "bad" / "results" / "datasets"
    shutil.rmtree(datasets)
    datasets.write_text("A file, where a folder has to be.")
    process = send(tmp_path / "bad", suite_file, "--retries", 0)
    printed, _ = process.communicate()
    assert process.returncode != 0
    ((number, job),) = ended(slurm, printed).items()
    assert job.state == "FAILED" and f"SLURM-job '{number}' failed" in printed
    assert not (tmp_path / "bad" / "results" / "suites").exists()
