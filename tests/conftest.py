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
def fault_table() -> Iterator[Callable[..., None]]:
    """Takes a row per fault that was injected; writes them to the file that CQLBENCH_FAULTS names, if it does."""
    rows: list[dict[str, object]] = []
    yield lambda **row: rows.append(row)
    if rows and (path := os.environ.get("CQLBENCH_FAULTS")):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        columns = list(dict.fromkeys(key for row in rows for key in row))
        with open(path, "w", newline="") as file:
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
