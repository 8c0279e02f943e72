"""Small valid files with damaged bytes: a dataset, whose health can be told, or a refusal of one line; nothing else."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from small_logs import WRITERS, describe_beside, steps, write, write_minari

from cqlbench.errors import UserError
from cqlbench.inspection.health import inspect
from cqlbench.inspection.text import text

# RuntimeWarning: of numbers as large as damaged bytes make them.
pytestmark = pytest.mark.filterwarnings("ignore")

EXAMPLES = 120
FORMATS = [name for name in WRITERS if name != "log.parquet" or importlib.util.find_spec("pyarrow")]
BESIDE = {
    "columns": {"observations": "observations", "rewards": ["rewards"]},
    "action_limit": 1.5,
    "episode_limit": 10,
    "reference_random": -1,
    "reference_expert": 2.5,
}

Damage = Callable[[bytes], bytes]


def cut(place: float) -> Damage:
    return lambda whole: whole[: int(place * len(whole))]


def put(place: float, values: bytes) -> Damage:
    def damage(whole: bytes) -> bytes:
        begin = int(place * len(whole))
        return whole[:begin] + values + whole[begin + len(values) :]

    return damage


def insert(place: float, values: bytes) -> Damage:
    return lambda whole: whole[: int(place * len(whole))] + values + whole[int(place * len(whole)) :]


def leave_out(place: float, count: int) -> Damage:
    return lambda whole: whole[: int(place * len(whole))] + whole[int(place * len(whole)) + count :]


places = st.floats(0, 1, exclude_max=True)
values = st.one_of(st.binary(min_size=1, max_size=8), st.sampled_from([b"\xff" * 8, b"\0" * 8, b"\xff\xff\xff\x7f"]))
damages = st.lists(
    st.one_of(
        st.builds(put, places, values),
        st.builds(put, places, values),
        st.builds(insert, places, values),
        st.builds(leave_out, places, st.integers(1, 100)),
        st.builds(cut, places),
    ),
    min_size=1,
    max_size=4,
)


def told(name: str, root: Path) -> bool:
    """Whether there was anything to tell of the dataset beside that it is refused."""
    try:
        assert text(inspect(name, root))
    except UserError as error:
        assert str(error).isprintable() and len(str(error)) < 700
        return False
    return True


def fuzz(path: Path, name: str, root: Path) -> None:
    """Damages the file at `path`, of the dataset `name`."""
    whole = path.read_bytes()
    assert told(name, root)

    @settings(
        max_examples=EXAMPLES, database=None, derandomize=True, suppress_health_check=list(HealthCheck), deadline=None
    )
    @given(damages)
    @example([cut(0)])
    def damaged(how: list[Damage]) -> None:
        content = whole
        for damage in how:
            content = damage(content)
        path.write_bytes(content)
        told(name, root)

    damaged()


@pytest.mark.parametrize("name", FORMATS)
def test_files(tmp_path: Path, name: str) -> None:
    fuzz(write(tmp_path, name, steps(2)), str(tmp_path / name), tmp_path)


def test_arrays_that_are_not_compressed(tmp_path: Path) -> None:
    """Damage reaches the numbers, as there is nothing but a checksum between."""
    path = tmp_path / "log.npz"
    np.savez(path, **steps(2))
    fuzz(path, str(path), tmp_path)


def test_a_description_beside(tmp_path: Path) -> None:
    path = write(tmp_path, "log.npz", steps(2))
    describe_beside(path, **BESIDE)
    fuzz(path.with_name("log.npz.yaml"), str(path), tmp_path)


@pytest.mark.parametrize("file", ["main_data.hdf5", "metadata.json"])
def test_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    write_minari(tmp_path, "test/walk-v0", steps(2), monkeypatch)
    folder = tmp_path / "test/walk-v0/data"
    (folder / "metadata.json").write_text(json.dumps(json.loads((folder / "metadata.json").read_text()), indent=1))
    fuzz(folder / file, "minari:test/walk-v0", tmp_path)
