"""Memory and time against the number of transitions: a run's real memory, and exponents of known growth."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cqlbench.algorithms.configs import BCConfig
from cqlbench.bench.scaling import DATASET, Row, draw_scaling, exponent, measure_scaling, store_synthetic, verdicts
from cqlbench.datasets import load
from cqlbench.normalisation import Normaliser
from cqlbench.training import Replay


def test_memory_grows_by_the_arrays_of_the_dataset_and_the_replay_and_by_nothing_else(tmp_path: Path) -> None:
    """One lasting copy of the observations more would be a seventh of this."""
    sizes = (20_000, 220_000)
    small, large = measure_scaling(sizes, {"width": 8, "num_action_samples": 1}, updates=1, rounds=1, advance=int)
    store_synthetic(tmp_path, sizes[0])
    dataset = load(DATASET, tmp_path)
    replay = Replay(dataset, Normaliser.for_dataset(dataset, BCConfig()), torch.device("cpu"))
    arrays = sum(array.nbytes for array in vars(dataset).values() if isinstance(array, np.ndarray))
    needed = (arrays + replay.table.nbytes) / sizes[0]
    grown = (large.peak_memory_mb - small.peak_memory_mb) * 2**20 / (sizes[1] - sizes[0])
    assert grown <= 1.1 * needed, f"{grown:.0f} bytes per transition where the arrays take {needed:.0f}"
    assert grown > 0.5 * needed  # or the measurement has seen nothing


def rows_growing_as(power: float) -> list[Row]:
    return [Row(n, n**power, n**power, n**power) for n in (10_000, 100_000, 300_000, 1_000_000)]


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0, 2.0])
def test_the_exponent_is_that_of_the_growth(power: float) -> None:
    assert exponent(rows_growing_as(power), "seconds_loading") == pytest.approx(power, abs=1e-6)


def test_what_every_run_pays_does_not_hide_the_growth() -> None:
    rows = [Row(n, 1 + (n / 100_000) ** 2, 1.0, 100) for n in (10_000, 31_623, 100_000, 316_228, 1_000_000)]
    assert exponent(rows, "seconds_loading") > 1.5
    loading, updates, memory, limit = verdicts(rows)
    assert "worse than linear" in loading
    assert "linear or better" in updates and "linear or better" in memory and limit.endswith("met")


def test_too_much_memory_is_said() -> None:
    rows = [Row(100_000, 1, 1, 70), Row(1_000_000, 1, 1, 700)]
    assert verdicts(rows)[-1].endswith("700, at most 600: missed")


def test_the_figure_has_a_panel_per_quantity_and_shows_the_limit() -> None:
    figure = draw_scaling([Row(10_000, 1, 9, 170), Row(100_000, 1.1, 9, 200), Row(1_000_000, 2, 9, 460)])
    assert [panel.get_xscale() + panel.get_yscale() for panel in figure.axes] == ["loglog"] * 3
    low, high = figure.axes[2].get_ylim()
    assert low < 600 < high
