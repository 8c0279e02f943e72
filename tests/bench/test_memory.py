"""A dataset larger than what a process may have: it trains from the disk and not from memory; batches from buffers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cqlbench.bench import memory
from cqlbench.bench.memory import (
    Batches,
    Loading,
    Measured,
    Updates,
    draw_memory,
    expected_variance,
    markdown,
    verdicts,
)
from cqlbench.bench.scaling import in_own_process, store_synthetic
from cqlbench.bench.tables import write_rows
from cqlbench.errors import UserError
from cqlbench.scores import read_table

TOP = Path(__file__).parents[2]
SIZE = 250_000


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasets")
    in_own_process(store_synthetic, root, SIZE)
    return root


def own_data_mb(root: Path) -> float:
    """Of a training from the disk without a limit."""
    with memory._training(root, "bc", {"width": 8, "buffer_transitions": 1 << 14}, None) as training:
        return training.submit(memory._take_turn, 1).result().own_data_mb


def test_under_a_limit_it_trains_from_the_disk_and_not_from_memory(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The arrays and the table of this dataset are 75 MB."""
    monkeypatch.setitem(memory.UPDATES, "bc", 512)
    cap = round(own_data_mb(root)) + 30
    rounds: list[int] = []
    row = memory.measure_updates(root, "bc", 8, 1 << 14, cap, 2, lambda: rounds.append(1))
    assert not row.fits_in_memory and row.own_data_mb < cap and len(rounds) == 3
    assert row.transitions == SIZE and row.dataset_mb > 45
    assert row.milliseconds_in_memory > 0 and row.milliseconds_from_disk > 0 and row.ratio_low <= row.ratio_high


def test_without_a_limit_it_fits(root: Path) -> None:
    assert in_own_process(memory._fits, root, "bc", 8, 100_000)


def test_loading_is_measured_with_and_without_the_file_cache(root: Path) -> None:
    rows = memory.measure_loading(root, rounds=1)
    assert [(row.transitions, row.in_file_cache) for row in rows] == [(SIZE, True), (SIZE, False)]
    assert all(0 < row.seconds_median <= row.seconds_high for row in rows)


def test_a_batch_of_a_larger_buffer_is_of_more_episodes_and_varies_less(root: Path) -> None:
    rows = memory.measure_batches(root, (1 << 14, 1 << 16, 1 << 20), batches=200)
    assert [row.buffer_transitions for row in rows] == [1 << 14, 1 << 16, SIZE]
    episodes = [row.episodes_in_batch for row in rows]
    assert episodes == sorted(episodes)
    uniform = rows[-1].episodes_in_dataset * (1 - (1 - 1 / rows[-1].episodes_in_dataset) ** memory.BATCH_SIZE)
    assert episodes[-1] == pytest.approx(uniform, rel=0.01)
    # Of 200 batches a variance is known to a tenth.
    assert rows[-1].variance == pytest.approx(1, abs=0.4) and rows[0].variance > 3 > rows[1].variance


def measured(ratio: float = 1.05, slowest: float = 1.0) -> Measured:
    return Measured(
        [Loading(1_000_000, True, 0.5, 0.6, 3), Loading(1_000_000, False, 0.9, slowest, 3)],
        [
            Updates(
                name,
                64,
                1_000_000,
                198.0,
                128,
                False,
                1 << 18,
                60.0,
                28.0,
                2.0,
                2.1,
                ratio,
                ratio - 0.05,
                ratio + 0.1,
                1,
                5,
            )
            for name in ("cql", "bc")
        ],
        [Batches(10**6, 1 << 14, 2000, 45.0, 6.0, 400), Batches(10**6, 10**6, 2000, 240.0, 1.0, 400)],
    )


def test_what_is_missed_is_said() -> None:
    good = verdicts(measured())
    assert sum("met" in sentence for sentence in good) == 4 and not any("missed" in sentence for sentence in good)
    assert all("without a buffer it does not start" in sentence for sentence in good if "limited" in sentence)
    slow = verdicts(measured(ratio=1.21, slowest=5.1))
    assert sum("missed" in sentence for sentence in slow) == 3


def test_the_variance_that_was_declared() -> None:
    assert expected_variance(Batches(10**6, 128_000, 2000, 0, 0, 0)) == 2
    assert expected_variance(Batches(10**6, 10**6, 2000, 0, 0, 0)) == 1


def test_the_figure_shows_the_limit_and_the_whole_dataset() -> None:
    times, episodes, variance = draw_memory(measured()).axes
    assert times.get_ylim()[1] > memory.SLOWER
    assert any(np.allclose(line.get_ydata(), memory.SLOWER) for line in times.lines)
    assert episodes.get_xscale() == variance.get_xscale() == variance.get_yscale() == "log"
    assert any(np.allclose(line.get_ydata(), 240) for line in episodes.lines)


def test_the_page_shows_the_committed_measurement(tmp_path: Path) -> None:
    page = (TOP / "docs" / "datasets.md").read_text()
    table = page.partition("<!-- memory -->\n")[2].partition("<!-- /memory -->")[0]
    assert table == markdown(TOP / "results" / "reference" / "bench")
    claims = read_table(TOP / "results" / "reference" / "buffer" / "claims.csv")
    assert all(f"| {claim.sentence} | {claim.verdict} |" in page for claim in claims.itertuples())
    for rows, name in zip(measured(), (memory.LOADING, memory.MEMORY, memory.BATCHES), strict=True):
        write_rows(rows, tmp_path / name)
    assert "| all | 240 | 1.00 | 1.00 |" in markdown(tmp_path)
    with pytest.raises(UserError, match="cqlbench bench memory"):
        markdown(tmp_path / "nowhere")
