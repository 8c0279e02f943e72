"""Files of the bad and of the damaged kind: each a clear refusal, nothing unpickled, nothing followed, nothing huge."""

from __future__ import annotations

import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from trajectories import rows, write_csv, write_d4rl, write_minari

from cqlbench.datasets import load
from cqlbench.errors import UserError

NAMES = ("observations", "actions", "rewards", "terminals", "timeouts")
HUGE = 10**13


def arrays() -> dict[str, np.ndarray]:
    return {name: array for name, array in rows().items() if name in NAMES}


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        load(f"file:{path}")
    assert path.name in str(error.value) and "\n" not in str(error.value)
    return str(error.value)


def write(path: Path) -> None:
    """`arrays()` in the format that the name asks for."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **arrays())
    elif path.suffix == ".hdf5":
        write_d4rl(path, arrays())
    elif path.suffix == ".csv":
        write_csv(path, arrays())
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.table({name: array.tolist() for name, array in arrays().items()}), path)


class Bomb:
    """Unpickled, it leaves a trace."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[Callable, tuple]:
        return Path.touch, (self.trace,)


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    objects = np.array([Bomb(trace)] * 17, dtype=object)
    np.savez(tmp_path / "log.npz", **arrays() | {"rewards": objects})
    assert "nothing is unpickled" in refusal(tmp_path / "log.npz")
    (tmp_path / "log.npz").write_bytes(pickle.dumps(Bomb(trace)))
    assert "cannot be read as .npz" in refusal(tmp_path / "log.npz")
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        for name, array in arrays().items():
            file[name] = array
        del file["rewards"]
        file.create_dataset("rewards", data=np.void(pickle.dumps(Bomb(trace))))
    assert "only plain numbers" in refusal(tmp_path / "log.hdf5")
    (tmp_path / "log.npz.yaml").write_text(f"!!python/object/apply:pathlib.Path.touch [{trace}]")
    np.savez(tmp_path / "log.npz", **arrays())
    assert "is not YAML" in refusal(tmp_path / "log.npz")
    assert not trace.exists()


def external_link(file: h5py.File, other: Path) -> None:
    file["rewards"] = h5py.ExternalLink(str(other), "rewards")


def soft_link(file: h5py.File, other: Path) -> None:
    file["rewards"] = h5py.SoftLink("/terminals")


def virtual(file: h5py.File, other: Path) -> None:
    layout = h5py.VirtualLayout((17,), np.float32)
    layout[:] = h5py.VirtualSource(str(other), "rewards", (17,))
    file.create_virtual_dataset("rewards", layout)


def external_storage(file: h5py.File, other: Path) -> None:
    file.create_dataset("rewards", (17,), np.float32, external=[(str(other), 0, 68)])


def references(file: h5py.File, other: Path) -> None:
    file["rewards"] = np.array([file["terminals"].ref] * 17, dtype=h5py.ref_dtype)


def texts(file: h5py.File, other: Path) -> None:
    file["rewards"] = ["one"] * 17


def a_group(file: h5py.File, other: Path) -> None:
    file.create_group("rewards")


def nothing(file: h5py.File, other: Path) -> None:
    pass


def huge(file: h5py.File, other: Path) -> None:
    file.create_dataset("rewards", (HUGE,), np.float32, chunks=(1024,), compression="gzip")


@pytest.mark.parametrize(
    ("rewards", "said"),
    [
        (external_link, "is a link"),
        (soft_link, "is a link"),
        (virtual, "in another file"),
        (external_storage, "in another file"),
        (references, "only plain numbers"),
        (texts, "only plain numbers"),
        (a_group, "is a group"),
        (nothing, "rewards is missing; at its place are actions, observations, terminals, timeouts"),
        (huge, "40,000.0 GB of numbers"),
    ],
)
def test_hdf5_gives_numbers_of_its_own_or_nothing(
    tmp_path: Path, rewards: Callable[[h5py.File, Path], None], said: str
) -> None:
    write_d4rl(tmp_path / "other.hdf5", arrays())
    with h5py.File(tmp_path / "log.hdf5", "w") as file:
        for name, array in arrays().items():
            if name != "rewards":
                file[name] = array
        rewards(file, tmp_path / "other.hdf5")
    assert said in refusal(tmp_path / "log.hdf5")


def test_a_size_is_looked_at_before_it_is_read(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "log.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in arrays().items():
            with archive.open(f"{name}.npy", "w") as stream:
                if name == "rewards":
                    header = {"descr": "<f4", "fortran_order": False, "shape": (HUGE,)}
                    np.lib.format.write_array_header_1_0(stream, header)
                    stream.write(bytes(1_000_000))
                else:
                    np.lib.format.write_array(stream, array)
    assert "40,000.0 GB of numbers" in refusal(tmp_path / "log.npz")


def test_parquet_is_weighed_uncompressed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from cqlbench.datasets import guard

    flat = {name: array[:, 0] if array.ndim > 1 else array for name, array in arrays().items()}
    columns = {
        name: np.zeros(1_000_000) if name == "rewards" else np.resize(array, 1_000_000) for name, array in flat.items()
    }
    parquet.write_table(pyarrow.table(columns), tmp_path / "log.parquet")
    monkeypatch.setattr(guard, "COPIES", 10**9)
    assert "0.0 GB of numbers" in refusal(tmp_path / "log.parquet")
    (tmp_path / "log.parquet").write_bytes(b"PAR1" + bytes(100) + b"PAR1")
    assert "cannot be read as parquet" in refusal(tmp_path / "log.parquet")


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".parquet"])
def test_half_a_file_is_no_dataset(tmp_path: Path, suffix: str, share: float) -> None:
    path = tmp_path / f"log{suffix}"
    write(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    refusal(path)


@pytest.mark.parametrize("suffix", [".npz", ".hdf5", ".csv", ".parquet"])
def test_a_damaged_byte_is_refused_or_changes_numbers_alone(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"log{suffix}"
    write(path)
    whole = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.integers(len(whole), size=100):
        damaged = bytearray(whole)
        damaged[place] ^= 0xFF
        path.write_bytes(damaged)
        try:
            load(f"file:{path}")
        except UserError:
            refused += 1
    assert refused > 0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"a,b\n1\n2,3,4\n", b"observations_0,actions_0\n"])
def test_what_is_no_table_of_logs(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "log.csv").write_bytes(content)
    refusal(tmp_path / "log.csv")


def test_a_compressed_csv_is_not_unpacked(tmp_path: Path) -> None:
    import gzip

    write_csv(tmp_path / "log.csv", arrays())
    (tmp_path / "log.csv").write_bytes(gzip.compress((tmp_path / "log.csv").read_bytes()))
    refusal(tmp_path / "log.csv")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "damage", ["no metadata", "half metadata", "a list", "no space", "arrow", "an episode less", "rows"]
)
def test_a_damaged_minari_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    write_minari(tmp_path, "test/x-v0", monkeypatch)
    folder = tmp_path / "minari/test/x-v0/data"
    about = json.loads((folder / "metadata.json").read_text())
    with h5py.File(folder / "main_data.hdf5", "a") as file:
        if damage == "an episode less":
            del file["episode_3"]
        if damage == "rows":
            file["episode_3/observations"].resize(1, 0)
    if damage == "no space":
        del about["action_space"]
    if damage == "arrow":
        about["data_format"] = "arrow"
    text = json.dumps([about] if damage == "a list" else about)
    (folder / "metadata.json").write_text(text[: len(text) // 2] if damage == "half metadata" else text)
    if damage == "no metadata":
        (folder / "metadata.json").unlink()
    with pytest.raises(UserError) as error:
        load("minari:test/x-v0", tmp_path / "minari")
    assert "\n" not in str(error.value)
