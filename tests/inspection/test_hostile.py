"""Files that were made to harm: each a refusal of one line, quick, and with little memory."""

from __future__ import annotations

import json
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_logs import WRITERS, describe_beside, steps, write, write_minari

from cqlbench.errors import UserError
from cqlbench.inspection.health import inspect

pytestmark = pytest.mark.filterwarnings("ignore")  # of Minari and d3rlpy, about what these data have no use for

# More than any sentence needs.
LONGEST = 600


def refusal(name: Path | str, root: Path | None = None) -> str:
    with pytest.raises(UserError) as error:
        inspect(str(name), *([root] if root else []))
    said = str(error.value)
    assert said.isprintable() and len(said) < LONGEST, said[:1000]
    return said


@pytest.mark.parametrize("name", WRITERS)
def test_an_empty_file_and_a_folder(tmp_path: Path, name: str) -> None:
    assert name in refusal(tmp_path / name)
    (tmp_path / name).touch()
    assert name in refusal(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).mkdir()
    assert "is a folder" in refusal(tmp_path / name)


@pytest.mark.parametrize("name", ["log.npz", "log.hdf5", "log.csv", "log.parquet"])
@pytest.mark.parametrize("missing", ["observations", "actions", "rewards", "terminals"])
def test_a_missing_key_is_named(tmp_path: Path, name: str, missing: str) -> None:
    arrays = {key: array for key, array in steps().items() if key not in (missing, "next_observations", "timeouts")}
    said = refusal(write(tmp_path, name, arrays))
    assert missing in said and name in said


WRONG_SHAPES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "scalar": lambda array: array.ravel()[0],
    "one row less": lambda array: array[:-1],
    "no rows": lambda array: array[:0],
    "no columns": lambda array: array.reshape(len(array), -1)[:, :0],
    "three axes": lambda array: array.reshape(len(array), -1, 1, 1),
    "turned": lambda array: array.reshape(len(array), -1).T,
    "one row": lambda array: array.ravel()[None],
}


@pytest.mark.parametrize("key", ["observations", "actions", "rewards", "next_observations", "terminals", "timeouts"])
@pytest.mark.parametrize("wrong", WRONG_SHAPES)
@pytest.mark.parametrize("name", ["log.npz", "log.hdf5"])
def test_wrong_shapes(tmp_path: Path, name: str, wrong: str, key: str) -> None:
    arrays = steps()
    refusal(write(tmp_path, name, arrays | {key: WRONG_SHAPES[wrong](arrays[key])}))


@pytest.mark.parametrize("kind", ["complex64", "datetime64[s]", "S4", "U4", "V4", "O"])
def test_what_is_no_number(tmp_path: Path, kind: str) -> None:
    arrays = steps()
    path = tmp_path / "log.npz"
    np.savez(path, **arrays | {"rewards": np.zeros(len(arrays["rewards"]), kind)})
    assert "log.npz" in refusal(path) and "plain numbers" in refusal(path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_damaged_archives_of_every_compression(tmp_path: Path, compression: int) -> None:
    path = tmp_path / "log.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, array in steps().items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array)
    inspect(str(path))
    whole = path.read_bytes()
    for place in range(40, len(whole) // 2, 97):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0xFF]) + whole[place + 1 :])
        try:
            inspect(str(path))
        except UserError as error:
            assert "log.npz" in str(error)


def bomb(path: Path, header: bytes, size: int) -> None:
    """An archive whose rewards are `header` and then `size` zeros, deflated to a thousandth."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in steps().items():
            with archive.open(f"{name}.npy", "w") as stream:
                if name == "rewards":
                    stream.write(header)
                    for _ in range(size // 1_000_000):
                        stream.write(bytes(1_000_000))
                else:
                    np.lib.format.write_array(stream, array)


@pytest.mark.parametrize(
    "header",
    [
        # A header that is said to be 200 MB long.
        b"\x93NUMPY\x02\x00" + (200_000_000).to_bytes(4, "little"),
        # As many numbers as no memory holds.
        b"\x93NUMPY\x01\x00\x76\x00"
        + b"{'descr': '<f4', 'fortran_order': False, 'shape': (9000000000000,), }".ljust(117)
        + b"\n",
        # No header at all.
        b"",
    ],
)
def test_a_bomb_is_not_unpacked(tmp_path: Path, header: bytes) -> None:
    bomb(tmp_path / "log.npz", header, 200_000_000)
    assert (tmp_path / "log.npz").stat().st_size < 1_000_000
    tracemalloc.start()
    try:
        assert "log.npz" in refusal(tmp_path / "log.npz")
        assert tracemalloc.get_traced_memory()[1] < 20_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("choices", [10**9, 10**30])
def test_choices_without_number(tmp_path: Path, choices: int) -> None:
    arrays = steps()
    path = write(tmp_path, "log.npz", arrays | {"actions": (arrays["actions"][:, 0] > 0).astype(int)})
    inspect(str(path))
    describe_beside(path, discrete_actions=choices)
    assert f"{choices:,} choices" in refusal(path)


@pytest.mark.parametrize(
    "text",
    [
        # Seven levels of nine: five million words when printed.
        "action_limit:\n- &a [lol]\n"
        + "".join(f"- &{b} [{','.join(['*' + a] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)),
        "columns: " + "[" * 1_200,
        "action_limit: " + "9" * 5_000,
        "columns: {observations: " + "x" * 100_000 + "}",
        "? [a]\n: b",
        "x" * 10_000_000,
    ],
    ids=["aliases", "nesting", "digits", "long", "key", "huge"],
)
def test_descriptions_beside_a_file(tmp_path: Path, text: str) -> None:
    path = write(tmp_path, "log.npz", steps())
    path.with_name("log.npz.yaml").write_text(text)
    refusal(path)


@pytest.mark.parametrize(
    "said",
    [
        {"total_episodes": float("inf")},
        {"total_episodes": -1},
        {"total_episodes": "many"},
        {"observation_space": "[" * 5_000},
        {"env_spec": "[" * 5_000},
        {"env_spec": "7"},
        {"action_space": '{"type": "Discrete", "dtype": "int64", "start": 0, "n": 1000000000}'},
        {"action_space": '{"type": "Box", "low": [null], "high": ["x"]}'},
        {"ref_min_score": "x", "ref_max_score": []},
        {"requirements": 7, "env_spec": '{"id": "Pendulum-v1"}'},
        {"data_format": {"a": "b" * 10_000}},
    ],
    ids=lambda said: "-".join(said),
)
def test_metadata_of_minari(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: dict) -> None:
    write_minari(tmp_path / "root", "test/x-v0", steps(), monkeypatch)
    path = tmp_path / "root/test/x-v0/data/metadata.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | said))
    refusal("minari:test/x-v0", tmp_path / "root")


def test_metadata_of_minari_that_is_too_deep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_minari(tmp_path / "root", "test/x-v0", steps(), monkeypatch)
    (tmp_path / "root/test/x-v0/data/metadata.json").write_text("[" * 100_000)
    refusal("minari:test/x-v0", tmp_path / "root")


@pytest.mark.parametrize("count", [np.arange(5), -1, 10**12, 2.5, np.nan])
def test_episodes_of_a_replay_buffer(tmp_path: Path, count: object) -> None:
    path = write(tmp_path, "log.h5", steps())
    with h5py.File(path, "a") as file:
        del file["num_episodes"]
        file["num_episodes"] = count
    assert "log.h5" in refusal(path)


@pytest.mark.parametrize(
    "header",
    [",".join(f"column_{i}" for i in range(3_000)), '"a\nb",c', "observations_0,observations_0", "x" * 100_000],
)
def test_headers_of_csv(tmp_path: Path, header: str) -> None:
    (tmp_path / "log.csv").write_text(f"{header}\n{','.join(['1'] * header.count(','))},1\n")
    refusal(tmp_path / "log.csv")


@pytest.mark.parametrize("value", ["1" * 5_000, "x" * 100_000, '"a\nb"', "1e400", "0x10", "nan", "", "1,5"])
def test_values_of_csv(tmp_path: Path, value: str) -> None:
    path = write(tmp_path, "log.csv", steps())
    lines = path.read_text().splitlines()
    lines[5] = value + lines[5][lines[5].index(",") :]
    path.write_text("\n".join(lines))
    if value in ("1" * 5_000, "1e400", "nan", ""):
        health = inspect(str(path))
        assert [finding.value for finding in health.findings if finding.severity == "fatal"] == [1]
    else:
        assert "log.csv" in refusal(path)


def test_nested_columns_of_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    arrays = steps()
    nested = {
        "struct": [{"a": float(x)} for x in arrays["rewards"]],
        "lists of lists": [[[float(x)]] for x in arrays["rewards"]],
        "ragged": [[0.0] * (1 + i % 2) for i in range(len(arrays["rewards"]))],
        "map": pyarrow.array([[("a", float(x))] for x in arrays["rewards"]], pyarrow.map_("string", "float32")),
        "bytes": [bytes(5000)] * len(arrays["rewards"]),
    }
    for kind, column in nested.items():
        columns = {name: array.tolist() for name, array in arrays.items()} | {"observations": column}
        parquet.write_table(pyarrow.table(columns), tmp_path / "log.parquet")
        assert "observations" in refusal(tmp_path / "log.parquet"), kind


@pytest.mark.parametrize("kind", [h5py.SoftLink("/nowhere"), h5py.SoftLink("/rewards"), h5py.ExternalLink("/etc", "x")])
def test_links_of_hdf5_in_a_circle(tmp_path: Path, kind: object) -> None:
    path = write(tmp_path, "log.hdf5", {name: array for name, array in steps().items() if name != "rewards"})
    with h5py.File(path, "a") as file:
        file["rewards"] = kind
    assert "rewards is a link" in refusal(path)


def test_what_is_small_by_parts_is_weighed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    from cqlbench.datasets import guard

    few, many = 10_000, 200
    monkeypatch.setattr(guard.psutil, "virtual_memory", lambda: SimpleNamespace(available=20 * few * guard.COPIES))
    flags = {"terminations": np.zeros(few, bool), "truncations": np.zeros(few, bool)}
    # Every name leads to the same few numbers: the file is small.
    with h5py.File(tmp_path / "log.h5", "w") as file:
        file["columns"], file["num_episodes"] = 1, many
        file["terminated_0"] = 0
        for name in ("observations", "actions", "rewards"):
            file[f"{name}_0"] = np.zeros((few, 1), np.float32)
        for episode in range(1, many):
            for name in ("observations", "actions", "rewards", "terminated"):
                file[f"{name}_{episode}"] = file[f"{name}_0"]
    assert "of numbers" in refusal(tmp_path / "log.h5")

    write_minari(tmp_path / "root", "test/x-v0", steps(), monkeypatch)
    data = tmp_path / "root/test/x-v0/data"
    about = json.loads((data / "metadata.json").read_text())
    (data / "metadata.json").write_text(json.dumps(about | {"total_episodes": many}))
    sizes = {"observations": (few + 1, 2), "actions": (few, 2), "rewards": (few,)}
    arrays = {name: np.zeros(size, np.float32) for name, size in sizes.items()} | flags
    with h5py.File(data / "main_data.hdf5", "w") as file:
        for name, array in arrays.items():
            file[f"episode_0/{name}"] = array
        for episode in range(1, many):
            file[f"episode_{episode}"] = file["episode_0"]
    assert "of numbers" in refusal("minari:test/x-v0", tmp_path / "root")

    columns = {f"observations_{number}": np.zeros(few, np.float32) for number in range(many)}
    np.savez_compressed(tmp_path / "log.npz", **columns, actions=np.zeros(few), rewards=np.zeros(few))
    assert "log.npz: observations: " in refusal(tmp_path / "log.npz")


def test_long_lists_in_parquet_are_weighed_as_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from types import SimpleNamespace

    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    from cqlbench.datasets import guard

    rows, length = 10_000, 1_000
    lists = pyarrow.ListArray.from_arrays(np.arange(0, rows * length + 1, length), np.zeros(rows * length))
    scalars = {name: np.zeros(rows) for name in ("actions", "rewards", "terminals", "timeouts")}
    parquet.write_table(pyarrow.table({"observations": lists, **scalars}), tmp_path / "log.parquet")
    monkeypatch.setattr(guard.psutil, "virtual_memory", lambda: SimpleNamespace(available=20_000_000))
    # Not when all 80 MB of them are there.
    assert "observations: 0.0 GB of numbers" in refusal(tmp_path / "log.parquet")
