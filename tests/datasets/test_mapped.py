"""A dataset that stays on the disk: the same arrays, rebuilt like the others, and not in memory."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from cqlbench.bench.scaling import DATASET, store_synthetic
from cqlbench.datasets import load, store
from cqlbench.datasets.mapped import MappedFile
from cqlbench.datasets.store import dataset_folder
from cqlbench.errors import UserError

SIZE = 70_000  # more than is worked on at a time


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("datasets")
    store_synthetic(root, SIZE)
    return root


def assert_same(root: Path) -> None:
    mapped, read = load(DATASET, root, mapped=True), load(DATASET, root)
    assert mapped.file is not None and read.file is None
    for name, array in vars(read).items():
        if isinstance(array, np.ndarray):
            there = getattr(mapped, name)
            assert there.dtype == array.dtype and not there.flags.writeable, name
            np.testing.assert_array_equal(there, array, err_msg=name)
    assert mapped.content_hash == read.content_hash and mapped.warning == read.warning
    for dtype in (np.float32, np.float64):
        np.testing.assert_allclose(mapped.observation_std(dtype), read.observation_std(dtype), rtol=1e-5)


def test_the_arrays_are_those_that_are_read(root: Path) -> None:
    assert_same(root)


def test_a_draw_is_in_memory(root: Path) -> None:
    drawn = load(DATASET, root, mapped=True).draw(np.array([3, 5]))
    assert drawn.file is None and drawn.observations.flags.writeable and len(drawn.rewards) == 2


@pytest.mark.parametrize("damage", ["missing", "cut short", "another", "compressed", "not a zip"])
def test_the_flat_copy_is_rebuilt(root: Path, tmp_path: Path, damage: str) -> None:
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    flat = dataset_folder(tmp_path, DATASET) / "transitions.npz"
    whole = flat.read_bytes()
    arrays = dict(np.load(flat))
    if damage == "missing":
        flat.unlink()
    elif damage == "cut short":
        flat.write_bytes(whole[:-1000])
    elif damage == "another":
        np.savez(flat, **arrays | {"rewards": arrays["rewards"] + 1})
    elif damage == "compressed":
        np.savez_compressed(flat, **arrays)
    else:
        flat.write_bytes(b"no zip")
    before = set(flat.parent.iterdir()) | {flat}
    assert load(DATASET, tmp_path, mapped=True).file is not None
    assert flat.read_bytes() == whole
    assert set(flat.parent.iterdir()) == before
    assert_same(tmp_path)


@pytest.mark.parametrize(("start", "stop"), [(0, 1000), (1, 2), (SIZE - 5, SIZE), (SIZE - 5, SIZE + 5), (7, 7)])
def test_rows_are_read_whether_they_were_expected_or_not(root: Path, start: int, stop: int) -> None:
    flat = dataset_folder(root, DATASET) / "transitions.npz"
    names = [name for name in np.load(flat) if name != "episode_lengths"]
    file = MappedFile(flat)
    for advise in (lambda: None, lambda: file.expect(names, start, stop), file.release):
        advise()
        for name in names:
            np.testing.assert_array_equal(file.read(name, start, stop), file.arrays[name][start:stop])


def test_what_is_released_is_not_in_memory(root: Path) -> None:
    file = MappedFile(dataset_folder(root, DATASET) / "transitions.npz")
    observations = file.arrays["observations"]

    def resident() -> int:
        """Bytes of the file that are mapped into this process."""
        lines = Path("/proc/self/smaps").read_text().splitlines()
        at = [number for number, line in enumerate(lines) if line.endswith("transitions.npz")]
        return sum(
            1024 * int(line.split()[1]) for start in at for line in lines[start : start + 8] if line.startswith("Rss:")
        )

    before = resident()
    observations.sum()
    assert resident() - before > observations.nbytes / 2
    file.release()
    assert resident() <= before
    file.read("observations", 0, SIZE)
    assert resident() <= before


def test_what_does_not_fit_into_memory_is_refused_unread(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full:
        available = 1_000_000

    monkeypatch.setattr(store.psutil, "virtual_memory", Full)
    with pytest.raises(UserError, match="do not fit into the 0.0 GB of free memory; set buffer_transitions"):
        load(DATASET, root)
    assert load(DATASET, root, mapped=True).file is not None
