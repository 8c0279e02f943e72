"""A suite on logs without a simulator, through the real Snakemake, from an episode split to the figure."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

ROOT = Path(__file__).parents[2]
SUITE = """
name: plant
datasets: ["file:plant/kept.npz"]
seeds: [0]
protocol: {updates: 20, evaluate_every: 20, episodes: 1, value_states: 4}
common: {width: 8, batch_size: 16}
methods: {cql: {}, bc: {}}
estimates: {updates: 20, held_out: {"file:plant/kept.npz": "file:plant/held-out.npz"}}
"""
WANTED = ["results/suites/plant/estimates.csv", "results/suites/plant/figures/estimates.svg"]


def call(folder: Path, *words: str) -> str:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [sys.executable, "-m", *words], cwd=folder, env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_logs_are_split_trained_on_and_estimated(tmp_path):
    rng = np.random.default_rng(0)
    sizes = {"observations": (200, 3), "actions": (200, 2), "rewards": (200,), "next_observations": (200, 3)}
    ends = {"terminals": np.zeros(200, bool), "timeouts": np.arange(200) % 20 == 19}
    np.savez(tmp_path / "plant.npz", **{name: rng.uniform(-1, 1, size) for name, size in sizes.items()}, **ends)
    (tmp_path / "plant.yaml").write_text(SUITE)
    printed = call(tmp_path, "cqlbench", "hold-out", "file:plant.npz", "--out", "plant", "--share", "0.2")
    assert "8 episodes to train on: file:plant/kept.npz" in printed
    words = ["snakemake", "-s", str(ROOT / "Snakefile"), "--configfile", "plant.yaml", "--cores", "2", *WANTED]
    call(tmp_path, *words)
    assert "Nothing to be done" in call(tmp_path, *words)
    table = pd.read_csv(tmp_path / WANTED[0]).set_index("method")
    assert table["held_out"].eq("file:plant/held-out.npz").all() and table["initial_states"].eq(8).all()
    assert table.loc[["bc", "cql"], "fqe_value"].notna().all() and table["true_value"].isna().all()
    assert table["held_out_td_error"].notna().to_dict() == {"bc": False, "cql": True}
    summary = pd.read_csv(tmp_path / "results/suites/plant/statistics/estimates.csv")
    assert set(summary["method"]) == {"bc", "cql"}
    assert (tmp_path / "results/suites/plant/estimates.md").read_text().count("| file:plant/kept.npz | CQL |") == 2
    assert not (tmp_path / "results/suites/plant/estimate-expectations.csv").exists()
