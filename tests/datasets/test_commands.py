from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner, Result

from cqlbench.cli import datasets
from cqlbench.datasets import dataset_ids, tables
from cqlbench.tasks import TASKS


def cqlbench(*words: str) -> Result:
    app = typer.Typer()
    datasets.add_commands(app)
    return CliRunner().invoke(app, ["datasets", *words])


def test_make_list_show(tmp_path: Path) -> None:
    root = ["--root", str(tmp_path)]
    assert cqlbench("make", "pendulum/medium-v0", "--transitions", "450", *root).exit_code == 0
    rows = cqlbench("list", *root).stdout.splitlines()[1:]
    assert [row.split()[0] for row in rows] == dataset_ids()
    made = [row for row in rows if " yes " in row]
    assert len(made) == 1 and made[0].startswith("pendulum/medium-v0") and " 450 " in made[0]
    shown = cqlbench("show", "pendulum/medium-v0", *root).stdout
    assert "450 transitions, 3 episodes" in shown
    assert "terminations: 0, truncations: 3" in shown


@pytest.mark.parametrize(
    "command", ["list", "make", "show", "download", "export", "train-behaviour", "references", "hashes"]
)
def test_help_ends_with_an_example(command: str) -> None:
    assert f"Example: cqlbench datasets {command}" in cqlbench(command, "--help").stdout


def test_the_tables_know_every_task_and_every_dataset() -> None:
    references = tables.read_references()
    assert list(references) == list(TASKS)
    for row in references.values():
        assert row.random_return < row.expert_return and row.episodes == tables.REFERENCE_EPISODES
    hashes = tables.read_hashes()
    assert list(hashes) == dataset_ids()
    assert len({row.sha256 for row in hashes.values()}) == len(hashes)
    assert {row.transitions for row in hashes.values()} == {100_000}
    assert {row.mujoco_version for row in hashes.values()} == {tables.mujoco_version()}


def test_pinning_makes_a_dataset_the_expected_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = ["--root", str(tmp_path / "datasets")]
    cqlbench("make", "pendulum/expert-v0", "--transitions", "200", *root)
    (tmp_path / "tables").mkdir()
    monkeypatch.setattr(tables, "_FOLDER", tmp_path / "tables")
    assert "none expected" in cqlbench("show", "pendulum/expert-v0", *root).stdout
    assert cqlbench("hashes", "pendulum/expert-v0", *root).exit_code == 0
    assert "(as expected)" in cqlbench("show", "pendulum/expert-v0", *root).stdout
    assert "as expected" in cqlbench("list", *root).stdout


def test_show_of_a_file(tmp_path: Path) -> None:
    size = 30
    ends = np.arange(size) % 10 == 9
    arrays = {"obs": np.zeros((size, 2)), "action": np.linspace(-1, 1, size), "reward": np.ones(size)}
    np.savez(tmp_path / "log.npz", **arrays, terminated=ends & (np.arange(size) < 10), truncated=ends)
    shown = cqlbench("show", f"file:{tmp_path / 'log.npz'}").stdout
    assert "(no simulator): 28 transitions, 3 episodes" in shown
    assert "terminations: 1, truncations: 2" in shown and "references: none" in shown
