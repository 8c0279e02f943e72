"""From one's own class to a verdict: the suite that is written, and the real Snakemake on it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from cqlbench import runs
from cqlbench.comparison_suites import family_of, refuse_other_data, write_comparison_suite
from cqlbench.errors import UserError
from cqlbench.suites import load_suite

ROOT = Path(__file__).parents[1]
OWN = '''
from dataclasses import dataclass
import torch
from cqlbench.algorithms.configs import MethodConfig

@dataclass(frozen=True)
class Config(MethodConfig):
    width: int = 256
    push: float = 0.5

class Push:
    """Always the same action; raises in seed 1, and is not a number in seed 2."""

    Config = Config

    def __init__(self, spec, config, seed, device):
        self.size, self.config, self.seed = spec.action_size, config, seed

    def update(self, batch):
        if self.seed == 1:
            raise RuntimeError("no luck")
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
    "seeds": [0, 1, 2, 3],
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


def test_the_suite_has_the_bases_own_runs(written, tmp_path):
    folder, method = written
    path = write_comparison_suite(folder / "base.yaml", method, {"push": "0.7"}, ["cql", "bc"], tmp_path)
    assert path == tmp_path / "suites/push-vs-cql-bc-on-base/suite.yaml"
    suite, base = load_suite(path), load_suite(folder / "base.yaml")
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
    write_comparison_suite(folder / "base.yaml", method, {"push": "0.7"}, ["cql", "bc"], tmp_path)
    assert path.stat().st_mtime_ns == before


def test_mistakes_are_said(written, tmp_path):
    folder, method = written
    for settings, references, said in (
        ({}, ["sac"], "--against sac: not in suite base, which has bc, cql"),
        ({"pull": "1"}, ["cql"], "Push: pull: no such setting"),
        ({"push": "hard"}, ["cql"], "Push: push: 'hard'"),
    ):
        with pytest.raises(UserError, match=said):
            write_comparison_suite(folder / "base.yaml", method, settings, references, tmp_path)
    with pytest.raises(UserError, match="cannot be compared with itself"):
        write_comparison_suite(folder / "base.yaml", "cql", {}, ["cql"], tmp_path)
    assert not list(tmp_path.iterdir())
    assert family_of("bc") == "bc" and family_of("a/b.py:C") == "C"


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
    own = ["--", "--directory", folder]
    done = call(*words, "--cores", 2, *own)
    assert done.returncode == 0, done.stderr
    row = pd.read_csv(results / "suites/push-vs-bc-on-base/comparison.csv").iloc[0]
    assert row["seeds"] == 2 and "seed 1 of Push (failed: RuntimeError: no luck)" in row["missing"]
    assert re.search(r"seed 2 of Push \(diverged: .+\)", row["missing"])
    assert row["sentence"] in done.stdout and row["missing"] in done.stdout
    assert "IQM over 1 dataset: Push" in done.stdout
    assert row["cpu_seconds"] > 0

    # Another text of the method's file trains its own runs alone; the baselines stay.
    (folder / "own.py").write_text(OWN + "# another thought\n")
    planned = call(*words, *own, "--dry-run")
    assert re.search(r"^train +4$", planned.stderr, re.MULTILINE) and planned.stdout == ""

    # Baselines of another content are refused before anything is trained.
    suite = load_suite(results / "suites/push-vs-bc-on-base/suite.yaml")
    path = next(run for entry, run in suite.runs() if entry.family == "bc").folder(results) / runs.PROVENANCE
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
