"""Files of strangers: what is in a policy, a checkpoint or a suite is never run, whatever it is called."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import shlex
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from real_suites import SCORES, TINY, prepare, run_folders, run_through, statuses
from safetensors.torch import load_file, save_file

from cqlbench import runs
from cqlbench.algorithms.registry import find_algorithm
from cqlbench.checkpoints import Checkpoint, Checkpoints
from cqlbench.datasets import dataset_file, load
from cqlbench.errors import UserError
from cqlbench.execution import Unwatched, execute
from cqlbench.runs import Protocol, make_run
from cqlbench.trained import evaluate_run


class RunsWhenUnpickled:
    """A pickle of it is a command."""

    def __init__(self, trace: Path) -> None:
        self.command = f"touch {shlex.quote(str(trace))}"

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (self.command,)


def as_pickle(file: Path, trace: Path) -> None:
    file.write_bytes(pickle.dumps(RunsWhenUnpickled(trace)))


def as_torch_saves(file: Path, trace: Path) -> None:
    torch.save(RunsWhenUnpickled(trace), file)


def cut(file: Path, trace: Path) -> None:
    file.write_bytes(file.read_bytes()[:-50])


def header_without_end(file: Path, trace: Path) -> None:
    file.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")


def terabytes(file: Path, trace: Path) -> None:
    header = b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'
    file.write_bytes(struct.pack("<Q", len(header)) + header)


def other_shapes(file: Path, trace: Path) -> None:
    save_file({name: torch.cat([tensor, tensor]) for name, tensor in load_file(file).items()}, file)


def other_names(file: Path, trace: Path) -> None:
    save_file({f"../{name}": tensor for name, tensor in load_file(file).items()}, file)


def without_metadata(file: Path, trace: Path) -> None:
    save_file(load_file(file), file, {"checkpoint": "{}"})


DAMAGES = (as_pickle, as_torch_saves, cut, header_without_end, terabytes, other_shapes, other_names)


@pytest.fixture(scope="module")
def trained(results: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("strangers") / "run"
    run = make_run("pendulum/medium-v0", "bc", {"width": 8}, Protocol(10, 10, 1, 0), 0)
    folder.mkdir()
    execute(run, results / "datasets", folder, Unwatched())
    return folder


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_policy_is_numbers_or_nothing(trained, tmp_path, damage):
    folder = shutil.copytree(trained, tmp_path / "run")
    assert evaluate_run(folder, 1)
    damage(folder / runs.POLICY, tmp_path / "trace")
    with pytest.raises(UserError, match="is not the policy of this run"):
        evaluate_run(folder, 1)
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize("content", [b"\xff", b"[" * 100_000, b"1" * 5_000, b"{}", b"[]"])
def test_a_config_that_no_run_writes_is_one_sentence(trained, tmp_path, content):
    folder = shutil.copytree(trained, tmp_path / "run")
    (folder / runs.CONFIG).write_bytes(content)
    with pytest.raises(UserError, match="is not a run's config"):
        evaluate_run(folder, 1)


def test_settings_that_are_a_list_are_no_config(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    config = json.loads((folder / runs.CONFIG).read_text())
    (folder / runs.CONFIG).write_text(json.dumps(config | {"settings": []}))
    with pytest.raises(UserError, match="is not a run's config"):
        evaluate_run(folder, 1)


def test_a_class_of_python_itself_is_no_method():
    with pytest.raises(UserError, match="stands in no file"):
        find_algorithm("builtins:object")


def test_half_a_dataset_is_none(results, tmp_path):
    shutil.copytree(results / "datasets", tmp_path / "datasets")
    (dataset_file(tmp_path / "datasets", "pendulum/medium-v0").parent / "metadata.json").unlink()
    with pytest.raises(UserError, match="make it with: cqlbench datasets make pendulum/medium-v0"):
        load("pendulum/medium-v0", tmp_path / "datasets")


@pytest.mark.parametrize("damage", [*DAMAGES[:5], without_metadata])
def test_a_checkpoint_is_numbers_or_none(tmp_path, damage):
    """Also one whose name is that of its content, which anybody can give it."""
    checkpoints = Checkpoints(tmp_path, {}, every=0)
    for update in (1, 2):
        checkpoints.save(Checkpoint(update, {"weights": torch.zeros(100)}, {}, {}))
    newest = max(checkpoints.folder.iterdir())
    damage(newest, tmp_path / "trace")
    digest = hashlib.sha256(newest.read_bytes()).hexdigest()[:16]
    newest.rename(newest.with_name(f"{2:012d}-{digest}.safetensors"))
    told: list[str] = []
    found = checkpoints.newest(told.append)
    assert found and found.update == 1 and len(told) == 1 and "it is no checkpoint" in told[0]
    assert not (tmp_path / "trace").exists()


@pytest.mark.slow
def test_names_end_in_shell_lines_as_words(tmp_path, monkeypatch):
    """Of a dataset, a method's file and the results folder: each would run a command, or end the line."""
    harm = "$(touch trace) `touch trace`;touch trace;'\"{wildcards} *"
    folder = prepare(
        tmp_path / f"suite {harm}",
        TINY
        | {
            "seeds": [0],
            "title": harm,
            "note": harm,
            "datasets": [f"file:{harm}.npz"],
            "methods": {"mine": {"algorithm": f"{harm}.py:TD3BC"}},
        },
    )
    shutil.copy(Path(__file__).parent / "methods" / "td3_bc.py", folder / f"{harm}.py")
    generator, last = np.random.default_rng(0), np.arange(100) % 10 == 9
    arrays = {name: generator.uniform(-1, 1, (100, 2)) for name in ("observations", "actions", "next_observations")}
    np.savez(folder / f"{harm}.npz", **arrays, rewards=np.ones(100), terminals=last & False, timeouts=last)
    before = {path.name for path in folder.iterdir()}
    monkeypatch.chdir(folder)
    run_through(folder, SCORES, "--cores", 2)
    assert {status["status"] for status in statuses(folder).values()} == {"done"}
    # What Python keeps of a module beside it is there or not, as its environment says.
    left = {path.name for path in folder.iterdir()} - {"__pycache__"}
    assert left == before | {"results", ".snakemake"}
    assert not list(tmp_path.rglob("trace*")) and not Path("trace").exists()
    inside = (folder / "results" / "runs").resolve()
    assert all(inside in run.resolve().parents for run in run_folders(folder).values())
