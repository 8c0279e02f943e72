"""A disk that is full or takes nothing ends a run in one sentence; what was finished stays as it is."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from killing import training_command

from cqlbench import runs

pytestmark = pytest.mark.slow


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small file system of its own, 64 KB: one of these runs fits, two do not."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder], capture_output=True).returncode:
        pytest.skip("mounting a file system is not allowed here")
    yield folder
    subprocess.run(["umount", folder], check=True)


def train(results: Path, folder: Path, *words: str) -> tuple[int, str]:
    budget = ("--updates", 200, "--evaluate-every", 100, "--episodes", 1, "--value-states", 4, "--width", 8)
    command = training_command(folder, "--dataset", "pendulum/medium-v0", "--method", "cql", "--results", results)
    outcome = subprocess.run([*command, *map(str, budget), *words], capture_output=True, text=True, check=False)
    assert "Traceback" not in outcome.stderr, outcome.stderr
    return outcome.returncode, outcome.stderr


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", disk], check=True)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("words", [(), ("--keep-going",)])
def test_a_full_disk(results: Path, disk: Path, words: tuple[str, ...], fault_table: Callable[..., None]) -> None:
    assert train(results, disk / "first") == (0, "")
    finished = contents(disk / "first")
    filler = disk / "filler"
    filler.write_bytes(bytes(64 * 1024 - sum(-(-len(content) // 4096) for content in finished.values()) * 4096 - 16384))
    code, said = train(results, disk / "second", *words)
    assert "No space left on device" in said and said.count("\n") == 1
    # Where there was room for that, the supervisor has noted it.
    status = disk / "second" / runs.STATUS
    assert code == 2 or json.loads(status.read_text())["status"] == "failed"
    assert contents(disk / "first") == finished
    filler.unlink()
    remount(disk, "size=1m")
    assert train(results, disk / "second", *words)[0] == 0
    second = contents(disk / "second")
    assert all(second[name] == finished[name] for name in (runs.POLICY, runs.TRAIN, runs.VALUES, runs.EPISODES))
    place = "under a supervisor" if words else "in a run by hand"
    fault_table("a disk that is full", f"a file system of 64 KB, {place}", 1, "nothing that was finished")


@pytest.mark.parametrize("words", [(), ("--keep-going",)])
def test_a_disk_that_takes_nothing(
    results: Path, disk: Path, words: tuple[str, ...], fault_table: Callable[..., None]
) -> None:
    remount(disk, "ro")
    code, said = train(results, disk / "run", *words)
    assert code == 2 and said.startswith("cqlbench: Read-only file system (") and said.count("\n") == 1
    place = "under a supervisor" if words else "in a run by hand"
    fault_table("a disk that takes nothing", f"a file system mounted to be read only, {place}", 1, "nothing")
