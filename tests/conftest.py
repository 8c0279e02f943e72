"""One thread per process, as in every run: set before anything imports torch."""

from __future__ import annotations

import csv
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

os.environ["OMP_NUM_THREADS"] = "1"
# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("cqlbench", deadline=None)
hypothesis.settings.load_profile("cqlbench")

if TYPE_CHECKING:
    from cqlbench.datasets import OfflineDataset


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder with one small dataset, pendulum/medium-v0."""
    from cqlbench.datasets import make_dataset

    results = tmp_path_factory.mktemp("results")
    make_dataset("pendulum/medium-v0", results / "datasets", transitions=2_000)
    return results


@pytest.fixture(scope="session")
def pendulum(results: Path) -> OfflineDataset:
    from cqlbench.datasets import load

    return load("pendulum/medium-v0", results / "datasets")


@pytest.fixture(scope="session")
def kill_table() -> Iterator[Callable[..., None]]:
    """Takes a row per method and moment of kills; keeps them as kills.csv in the folder that CQLBENCH_FAULTS names."""
    rows: list[dict[str, object]] = []
    yield lambda **row: rows.append(row)
    _keep("kills.csv", ["fault", "method"], rows)


@pytest.fixture(scope="session")
def fault_table() -> Iterator[Callable[[str, str, int, str], None]]:
    """Takes a row per fault that was injected, how, how many times, what was lost; keeps them as faults.csv there."""
    rows: list[dict[str, object]] = []
    columns = ("fault", "injected", "times", "lost")
    yield lambda *row: rows.append(dict(zip(columns, row, strict=True)))
    _keep("faults.csv", ["fault", "injected"], rows)


def _keep(name: str, keys: list[str], rows: list[dict[str, object]]) -> None:
    """Writes them, after those of earlier calls that were not made anew."""
    if not rows or not (folder := os.environ.get("CQLBENCH_FAULTS")):
        return
    path = Path(folder, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    made = {tuple(str(row[key]) for key in keys) for row in rows}
    earlier = list(csv.DictReader(path.read_text().splitlines())) if path.exists() else []
    kept = [row for row in earlier if tuple(row[key] for key in keys) not in made]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(
            file, list(dict.fromkeys(key for row in (*kept, *rows) for key in row)), lineterminator="\n"
        )
        writer.writeheader()
        writer.writerows([*kept, *rows])
