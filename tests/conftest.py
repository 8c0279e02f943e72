"""One thread per process, as in every run: set before anything imports torch."""

from __future__ import annotations

import os
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
