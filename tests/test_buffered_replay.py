"""Batches out of a buffer through which a dataset passes in blocks: the same from disk and memory, fair, resumable."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cqlbench import runs
from cqlbench.algorithms.configs import MethodConfig
from cqlbench.bench.scaling import DATASET, store_synthetic
from cqlbench.datasets import OfflineDataset, load
from cqlbench.errors import UserError
from cqlbench.execution import Unwatched, execute
from cqlbench.normalisation import Normaliser
from cqlbench.runs import Protocol, make_run
from cqlbench.tasks import Batch
from cqlbench.training import TRANSITIONS_PER_BLOCK, TRANSITIONS_PER_DRAW, BufferedReplay, Replay, make_replay

CPU = torch.device("cpu")
SIZE = 20_300
CAPACITY = 4 * TRANSITIONS_PER_BLOCK


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasets")
    store_synthetic(root, SIZE)
    return root


@pytest.fixture(scope="module")
def dataset(root: Path) -> OfflineDataset:
    return load(DATASET, root)


@pytest.fixture(scope="module")
def on_disk(root: Path) -> OfflineDataset:
    return load(DATASET, root, mapped=True)


def buffered(dataset: OfflineDataset, capacity: int = CAPACITY) -> BufferedReplay:
    return BufferedReplay(dataset, Normaliser.for_dataset(dataset, MethodConfig()), CPU, capacity)


def rows(batches: list[Batch]) -> torch.Tensor:
    """(batches, B, columns)"""
    return torch.stack([torch.cat([part.reshape(len(part), -1) for part in batch], 1) for batch in batches])


def test_from_the_disk_come_the_same_batches_as_from_memory(dataset: OfflineDataset, on_disk: OfflineDataset) -> None:
    count = 3 * TRANSITIONS_PER_DRAW // 512
    first, second = (rows(list(islice(buffered(data).batches(3, 512), count))) for data in (dataset, on_disk))
    assert torch.equal(first, second)
    other = rows(list(islice(buffered(dataset).batches(4, 512), count)))
    assert not torch.equal(first, other)


@settings(max_examples=25)
@given(first=st.integers(0, 200), batch_size=st.sampled_from([300, 512, 1024, 20_000]))
def test_batches_start_anywhere(dataset: OfflineDataset, first: int, batch_size: int) -> None:
    first = first * 300 // batch_size
    whole = list(islice(buffered(dataset).batches(0, batch_size), first + 3))
    assert torch.equal(rows(whole[first:]), rows(list(islice(buffered(dataset).batches(0, batch_size, first), 3))))


def test_streams_of_one_replay_do_not_disturb_each_other(dataset: OfflineDataset) -> None:
    replay, count = buffered(dataset), 3 * TRANSITIONS_PER_DRAW // 2048
    expected = {seed: rows(list(islice(buffered(dataset).batches(seed, 2048), count))) for seed in (0, 1)}
    streams = [(seed, replay.batches(seed, 2048)) for seed in (0, 1, 0)]
    together = [[next(stream) for _, stream in streams] for _ in range(count)]
    for (seed, _), batches in zip(streams, zip(*together, strict=True), strict=True):
        assert torch.equal(rows(list(batches)), expected[seed])


def test_a_batch_holds_whole_transitions_of_the_blocks_that_are_in(dataset: OfflineDataset) -> None:
    replay = buffered(dataset)
    whole = Replay(dataset, replay.normaliser, CPU).table
    index = {row.tobytes(): number for number, row in enumerate(whole.numpy())}
    batches = islice(replay.batches(0, 1024), 2 * TRANSITIONS_PER_DRAW // 1024)
    for number, batch in enumerate(batches):
        drawn = {index[row.tobytes()] for row in rows([batch])[0].numpy()}
        held = {index[row.tobytes()] for row in replay.table.numpy()}
        assert drawn <= held and len(held) == CAPACITY, number


def test_a_pass_is_cut_elsewhere_each_time_and_holds_nothing_twice(dataset: OfflineDataset) -> None:
    replay, passes = buffered(dataset), 200
    blocks = SIZE // TRANSITIONS_PER_BLOCK
    seen = np.zeros(SIZE, int)
    cuts = set()
    for number in range(passes):
        starts = np.array([replay._start(0, number * blocks + block) for block in range(blocks)])
        rows = np.add.outer(starts, np.arange(TRANSITIONS_PER_BLOCK)).ravel() % SIZE
        assert len(set(rows.tolist())) == len(rows) == blocks * TRANSITIONS_PER_BLOCK
        cuts.add(starts[0] % TRANSITIONS_PER_BLOCK)
        seen[rows] += 1
    assert len(cuts) > passes / 2
    # A pass leaves out what does not fill a block, 4 %, at a place of its own.
    assert seen.min() > 0.85 * passes


def test_every_transition_is_drawn_about_as_often(dataset: OfflineDataset) -> None:
    replay = buffered(dataset)
    index = {row.tobytes(): number for number, row in enumerate(Replay(dataset, replay.normaliser, CPU).table.numpy())}
    count = 60 * TRANSITIONS_PER_DRAW // 4096
    seen = Counter(
        index[row.tobytes()] for batch in islice(replay.batches(1, 4096), count) for row in rows([batch])[0].numpy()
    )
    drawn = np.array([seen[number] for number in range(SIZE)])
    quarters = [part.mean() for part in np.array_split(drawn, 4)]
    assert np.allclose(quarters, count * 4096 / SIZE, rtol=0.1)


def test_a_buffer_as_large_as_the_dataset_is_the_dataset(dataset: OfflineDataset) -> None:
    normaliser = Normaliser.for_dataset(dataset, MethodConfig())
    without, large, small = (make_replay(dataset, normaliser, CPU, size) for size in (None, SIZE, SIZE - 1))
    assert type(without) is type(large) is Replay and type(small) is BufferedReplay
    assert torch.equal(rows([next(without.batches(0, 256))]), rows([next(large.batches(0, 256))]))


def test_a_run_with_a_buffer_is_another_run_and_leaves_the_same_bytes_twice(root: Path, tmp_path: Path) -> None:
    protocol = Protocol(updates=70, evaluate_every=70, episodes=1, value_states=2)
    left = {}
    for name, buffer in (("one", 1 << 14), ("two", 1 << 14), ("none", None)):
        run = make_run(DATASET, "cql", {"width": 8, "buffer_transitions": buffer}, protocol, 0)
        assert execute(run, root, tmp_path / name, Unwatched()) == "done"
        assert runs.read_run(tmp_path / name) == run
        left[name] = run.config_hash, [(tmp_path / name / file).read_bytes() for file in (runs.POLICY, runs.VALUES)]
    assert left["one"] == left["two"] and left["one"][0] != left["none"][0] and left["one"][1] != left["none"][1]


def test_a_run_without_a_buffer_is_what_it_was_before_there_were_any() -> None:
    assert "buffer_transitions" not in make_run(DATASET, "cql", {}, Protocol(), 0).description()["settings"]


def test_a_buffer_of_less_than_one_draw_is_refused() -> None:
    with pytest.raises(UserError, match="buffer_transitions: 1000 is not allowed; it must be from 16384"):
        make_run(DATASET, "cql", {"buffer_transitions": 1000}, Protocol(), 0)
