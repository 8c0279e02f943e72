"""`snakemake theory` needs no run and no dataset."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from cqlbench.theory.experiments import DRAWN, EXPERIMENTS

ROOT = Path(__file__).parents[2]


def snakemake(folder: Path, *words: object) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    fixed = ["--cores", "2", "--directory", folder, "--config", "draws=3"]
    done = subprocess.run(
        [sys.executable, "-m", "snakemake", *map(str, [*fixed, *words, "--", "theory"])],
        cwd=ROOT,
        env={**os.environ, "PATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_each_experiment_is_a_table_and_a_figure_and_no_run_is_asked_for(tmp_path):
    printed = snakemake(tmp_path, "-n")
    jobs = {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", printed, re.MULTILINE)}
    assert jobs == {
        "theory": 1,
        "theory_table": len(EXPERIMENTS),
        "theory_figure": len(EXPERIMENTS),
        "theory_verdicts": 1,
        "theory_report": 1,
        "total": 2 * len(EXPERIMENTS) + 3,
    }


@pytest.mark.slow
def test_it_runs(tmp_path):
    snakemake(tmp_path)
    folder = tmp_path / "results" / "theory"
    assert set(pd.read_csv(folder / "verdicts.csv")["draws"]) == {3}
    assert len(pd.read_csv(folder / "verdicts.csv")) == 2 * len(DRAWN) - 2
    assert "Theorem 3.6" in (folder / "report.html").read_text()
    assert "Nothing to be done" in snakemake(tmp_path)
