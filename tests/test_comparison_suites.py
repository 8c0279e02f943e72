"""From one's own class to a verdict: the suite that is written, and the real Snakemake on it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from synthetic_runs import write_run

from cqlbench import runs
from cqlbench.comparison_suites import SHORTEST_LIMIT, Choice, plan_comparison, refuse_other_data, write_suite
from cqlbench.costs import Kind, read_rates
from cqlbench.datasets import dataset_file
from cqlbench.errors import UserError
from cqlbench.scores import collect_tables, write_table
from cqlbench.suites import Comparison, load_suite

ROOT = Path(__file__).parents[1]
OWN = '''
import time
from dataclasses import dataclass
import torch
from cqlbench.algorithms.configs import MethodConfig

@dataclass(frozen=True)
class Config(MethodConfig):
    width: int = 256
    push: float = 0.5

class Push:
    """Always the same action; raises in seed 1, is not a number in seed 2, and hangs in seed 4."""

    Config = Config

    def __init__(self, spec, config, seed, device):
        self.size, self.config, self.seed = spec.action_size, config, seed

    def update(self, batch):
        if self.seed == 1:
            raise RuntimeError("no luck")
        if self.seed == 4:
            time.sleep(1e6)
        return {"loss": float("nan") if self.seed == 2 else 0.0}

    def act(self, observations):
        return torch.full((len(observations), self.size), self.config.push + 0.01 * self.seed)

    def state_dict(self):
        return {"nothing": torch.zeros(1)}

    def load_state_dict(self, state):
        pass
'''
BASE = {
    "name": "base",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0, 1, 2, 3, 4],
    "protocol": {"updates": 10, "evaluate_every": 10, "episodes": 1, "value_states": 0},
    "common": {"width": [8, 16], "batch_size": 16, "discount": 0.9},
    "methods": {"bc": {}, "cql": {"cql_alpha": [1, 10]}},
    "headline": {"width": 8, "cql_alpha": 10},
}


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[Path, Path]:
    """A folder with `base.yaml` and `own.py`, and what the method is called by."""
    folder = tmp_path_factory.mktemp("compare")
    (folder / "own.py").write_text(OWN)
    (folder / "base.yaml").write_text(yaml.safe_dump(BASE))
    return folder, f"{folder / 'own.py'}:Push"


def plan(folder: Path, method: str, *references: str, results: Path, **choice: Any) -> dict[str, Any]:
    """What the comparison's suite file says."""
    return plan_comparison(folder / "base.yaml", Choice(method, references, **choice), results).content


def test_the_suite_has_the_bases_own_runs(written, tmp_path):
    folder, method = written
    content = plan(folder, method, "cql", "bc", results=tmp_path, settings={"push": "0.7"})
    path = write_suite(content, tmp_path)
    suite, base = load_suite(path), load_suite(folder / "base.yaml")
    assert suite.name == "push-vs-cql-bc-on-base" and suite.compare == Comparison("Push", ("cql", "bc"))
    assert [entry.family for entry in suite.methods] == ["cql", "bc", "Push"] and all(
        entry.headline for entry in suite.methods
    )
    expected = [run for entry, run in base.runs() if entry.headline]
    assert {run.folder(tmp_path) for run in expected} == {
        run.folder(tmp_path) for entry, run in suite.runs() if entry.family != "Push"
    }
    # The common settings that the class has, a swept one at its headline, and --set.
    assert suite.methods[-1].config.changed() == {"batch_size": 16, "width": 8, "push": 0.7}
    before = path.stat().st_mtime_ns
    assert write_suite(content, tmp_path) == path and path.stat().st_mtime_ns == before


def test_a_method_of_the_suite_keeps_its_settings(written, tmp_path):
    folder, _ = written
    base = load_suite(folder / "base.yaml")
    suite = load_suite(write_suite(plan(folder, "cql", "bc", results=tmp_path), tmp_path))
    assert {run for _, run in suite.runs()} == {run for method, run in base.runs() if method.headline}
    changed = plan(folder, "cql", "bc", results=tmp_path, settings={"cql_alpha": "3"})
    assert changed["methods"]["cql"] == {
        **plan(folder, "cql", "bc", results=tmp_path)["methods"]["cql"],
        "cql_alpha": 3,
    }


def test_baselines_come_from_the_store_then_from_the_committed_tables(written, tmp_path):
    folder, method = written
    suite = load_suite(folder / "base.yaml")
    for number, (entry, run) in enumerate(suite.runs()):
        write_run(entry.family, run, run.folder(tmp_path), np.random.default_rng(number), broken=False)
    for name, table in collect_tables(suite, tmp_path).items():
        write_table(table, tmp_path / "reference" / suite.name / name)
    choice = Choice(method, ("cql", "bc"))

    def sources(choice: Choice = choice) -> list[str]:
        planned = plan_comparison(folder / "base.yaml", choice, tmp_path)
        taken = [name for name, entry in planned.content["methods"].items() if "taken_from" in entry]
        trained = sum(int(words) for words in re.findall(r"(\d+) of \d+ runs are trained", " ".join(planned.sources)))
        assert planned.trained == trained
        return [*planned.sources, f"taken: {' '.join(taken)}"]

    trained = "Push: 5 of 5 runs are trained."
    assert sources() == ["cql: its 5 runs are there.", "bc: its 5 runs are there.", trained, "taken: "]
    gone = next(run for entry, run in suite.runs() if entry.family == "bc" and entry.headline)
    shutil.rmtree(gone.folder(tmp_path))
    tables = tmp_path / "reference" / suite.name
    # The data of the committed runs are not those that this machine has, or would make.
    assert (
        f"bc: 1 of 5 runs are trained, since none can be taken: {tables} has pendulum/medium-v0 with an" in sources()[1]
    )
    store = dataset_file(tmp_path / "datasets", "pendulum/medium-v0")
    store.parent.mkdir(parents=True)
    store.touch()
    (store.parent / "metadata.json").write_text(json.dumps({"content_hash": "hash-of-pendulum/medium-v0"}))
    assert sources()[1:] == [
        f"bc: its 5 runs are taken from {tables}; --train-baselines trains them.", trained, "taken: bc"
    ]  # fmt: skip
    assert sources(choice._replace(train_baselines=True))[1:] == [
        "bc: 1 of 5 runs are trained, as --train-baselines says.", trained, "taken: "
    ]  # fmt: skip
    # A method that is judged may be taken as well as one that it is judged against, if its settings are the suite's.
    assert sources(Choice("bc", ("cql",)))[-1] == "taken: bc"
    assert sources(Choice("bc", ("cql",), {"learning_rate": "0.01"}))[1:] == ["bc: 5 of 5 runs are trained.", "taken: "]


def test_the_time_limit_follows_the_slowest_reference(written, tmp_path):
    folder, method = written
    # Of networks that have never been measured nobody knows what is long.
    assert "time_limit" not in plan(folder, method, "cql", results=tmp_path)
    assert plan(folder, method, "cql", results=tmp_path, time_limit=3)["time_limit"] == 3
    content = {**BASE, "protocol": {"updates": 1_000_000}, "common": {"width": 64}, "headline": {"cql_alpha": 10}}
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(content))
    rates = {rate: row.updates_per_second for rate, row in read_rates().items()}
    priced = 1_000_000 / rates[Kind("cql", "64", "2")] / 60
    limit = plan(tmp_path, method, "cql", "bc", results=tmp_path)["time_limit"]
    assert 10 * priced <= limit < 10 * priced + 10
    (tmp_path / "base.yaml").write_text(yaml.safe_dump({**content, "protocol": {"updates": 10}}))
    assert plan(tmp_path, method, "cql", results=tmp_path)["time_limit"] == SHORTEST_LIMIT


def test_mistakes_are_said(written, tmp_path):
    folder, method = written
    for settings, references, said in (
        ({}, ["sac"], "--against sac: not in suite base, which has bc, cql"),
        ({"pull": "1"}, ["cql"], "Push: pull: no such setting"),
        ({"push": "hard"}, ["cql"], "Push: push: 'hard'"),
    ):
        with pytest.raises(UserError, match=said):
            plan(folder, method, *references, results=tmp_path, settings=settings)
    with pytest.raises(UserError, match="--time-limit 0: not allowed; it must be above 0"):
        plan(folder, method, "cql", results=tmp_path, time_limit=0)
    with pytest.raises(UserError, match="cannot be compared with itself"):
        plan(folder, "cql", "cql", results=tmp_path)
    (tmp_path / "other.py").write_text("class cql:\n    pass\n")
    with pytest.raises(UserError, match="suite base has a method called cql; give yours another name"):
        plan(folder, f"{tmp_path / 'other.py'}:cql", "bc", results=tmp_path)


def call(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cqlbench", "compare", *map(str, words)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )


@pytest.mark.slow
def test_trains_what_is_missing_and_judges_the_rest(written, results):
    folder, method = written
    words = [method, "--suite", folder / "base.yaml", "--against", "bc", "--results", results, "--set", "push=0.1"]
    words += ["--time-limit", 0.3]
    own = ["--", "--directory", folder]
    planned = call(*words, "--dry-run", *own)
    assert re.search(r"^train +10$", planned.stderr, re.MULTILINE) and planned.stdout == ""
    assert not (results / "suites").exists()

    done = call(*words, "--cores", 2, *own)
    assert done.returncode == 0, done.stderr
    made = results / "suites/push-vs-bc-on-base"
    row = pd.read_csv(made / "comparison.csv").iloc[0]
    assert row["seeds"] == 2 and "seed 1 of Push (failed: RuntimeError: no luck)" in row["missing"]
    assert re.search(r"seed 2 of Push \(diverged: .+\)", row["missing"])
    assert re.search(r"seed 4 of Push \(timed out: .+\)", row["missing"])
    assert row["sentence"] in done.stdout and row["missing"] in done.stdout
    assert "IQM over 1 dataset: Push" in done.stdout and row["cpu_seconds"] > 0
    page = (made / "report.html").read_text()
    assert "no luck" in page and "timed out" in page

    # Where the baseline's runs are gone, those of the committed tables stand for them.
    tables = results / "reference" / "base"
    tables.mkdir(parents=True)
    for table in made.glob("*.csv"):
        shutil.copy(table, tables)
    suite = load_suite(made / "suite.yaml")
    of_bc = [run.folder(results) for entry, run in suite.runs() if entry.family == "bc"]
    moved = [path.rename(results / path.name) for path in of_bc]
    again = call(*words, *own, "--until", "comparison")
    assert again.returncode == 0, again.stderr
    assert (
        not re.search(r"^train +", again.stderr, re.MULTILINE)
        and f"bc: its 5 runs are taken from {tables}" in again.stderr
    )
    assert pd.read_csv(made / "comparison.csv").equals(pd.read_csv(tables / "comparison.csv"))
    assert f"The 5 runs of BC are taken from {tables.as_posix()}" in again.stdout
    for path, home in zip(moved, of_bc, strict=True):
        path.rename(home)

    # Another text of the method's file trains its own runs alone; the baselines stay.
    (folder / "own.py").write_text(OWN + "# another thought\n")
    planned = call(*words, *own, "--dry-run")
    assert re.search(r"^train +5$", planned.stderr, re.MULTILINE) and planned.stdout == ""

    # Baselines of another content are refused before anything is trained.
    path = of_bc[0] / runs.PROVENANCE
    provenance = json.loads(path.read_text())
    refuse_other_data(suite, results)
    provenance["dataset"]["content_hash"] = "another"
    path.write_text(json.dumps(provenance))
    refused = call(*words, *own)
    assert refused.returncode == 2 and "was trained on another content of pendulum/medium-v0" in refused.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "name a method and a suite"),
        (["--scores", "x.csv", "--set", "a=1"], "nothing is trained, so --set"),
    ],
)
def test_what_the_command_asks_for(words, said):
    done = call(*words)
    assert done.returncode == 2 and said in done.stderr
