"""A run that is killed ends as if it had not been; a damaged checkpoint is seen, told, and not gone on from."""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from killing import EVALUATE_EVERY, MOMENTS, Attempt, run_killed, training_command

from cqlbench import runs
from cqlbench.checkpoints import Checkpoint, Checkpoints

# Not provenance.json, which names the commit: somebody may commit in between.
FILES = [runs.CONFIG, runs.TRAIN, runs.EVALUATION, runs.EPISODES, runs.VALUES, runs.POLICY]
LOG_EVERY = EVALUATE_EVERY // runs.LOGS_PER_EVALUATION


def command(results: Path, folder: Path, method: str, updates: int, *words: object) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    words = ("--dataset", "pendulum/medium-v0", "--results", results, "--method", method, "--updates", updates, *words)
    if method == "d3rlpy-bear":
        words += ("--bc-warm-start", updates // 2)
    budget = ("--evaluate-every", EVALUATE_EVERY, "--episodes", 5, "--value-states", 8, "--width", 16)
    return training_command(folder, *words, *budget, "--checkpoint-every", 0)


def kill_and_compare(results: Path, tmp_path: Path, method: str, updates: int, moments: list[str]) -> list[Attempt]:
    """Kills a run at these moments; the same bytes as an undisturbed one, and no more redone than must be."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    subprocess.run(command(results, whole, method, updates), check=True, capture_output=True)
    attempts = run_killed(command(results, killed, method, updates), killed, moments, updates, seed=1)
    assert json.loads((killed / runs.STATUS).read_text())["status"] == "done"
    for file in FILES:
        assert (whole / file).read_bytes() == (killed / file).read_bytes(), file
    assert not (killed / runs.CHECKPOINTS).exists() and not list(killed.glob("*.partial"))
    assert max(redone(attempts), default=0) <= LOG_EVERY, attempts
    return attempts


def redone(attempts: list[Attempt], moment: str | None = None) -> list[int]:
    """How many logged updates had to be done again after each kill (at `moment`): those since the last checkpoint."""
    lost, reached, killed = [], 0, None
    for attempt in attempts:
        if attempt.began_after is not None:
            if killed and moment in (None, killed):
                lost.append(reached - attempt.began_after)
            reached = attempt.reached or 0
        killed = attempt.killed
    return lost


@pytest.mark.slow
@pytest.mark.parametrize("method", ["cql", "d3rlpy-cql"])
def test_a_killed_run_ends_with_the_same_bytes(results, tmp_path, method):
    attempts = kill_and_compare(results, tmp_path, method, 200, list(MOMENTS))
    assert {attempt.killed for attempt in attempts} == {*MOMENTS, None}


@pytest.mark.faults
@pytest.mark.parametrize("method", ["bc", "sac", "cql", "d3rlpy-bc", "d3rlpy-sac", "d3rlpy-cql", "d3rlpy-bear"])
def test_however_often_it_is_killed(results, tmp_path, method, kill_table):
    moments = list(MOMENTS) * 4
    random.Random(method).shuffle(moments)
    attempts = kill_and_compare(results, tmp_path, method, 1_200, moments)
    killed = [attempt.killed for attempt in attempts if attempt.killed]
    assert len(killed) >= 16 and set(killed) == set(MOMENTS), attempts
    for moment in MOMENTS:
        kill_table(
            fault=f"killed during {moment}", method=method, times=killed.count(moment),
            updates_redone=max(redone(attempts, moment), default=0), updates_between_checkpoints=LOG_EVERY,
        )  # fmt: skip


@pytest.fixture
def saved(tmp_path) -> Checkpoints:
    checkpoints = Checkpoints(tmp_path, {"seed": 1}, every=0)
    for update in (10, 20, 30):
        state = {"weights": torch.full((3,), float(update)), "step": torch.tensor(update)}
        tables = {"train.csv": f"update\n{update}\n".encode(), "empty.csv": b""}
        checkpoints.save(Checkpoint(update, state, tables, {"seconds_training": 1.5}))
    return checkpoints


def files(checkpoints: Checkpoints) -> list[Path]:
    return sorted(checkpoints.folder.iterdir())


def test_the_newest_two_are_kept_and_the_newest_is_read(saved):
    assert [file.name[:12] for file in files(saved)] == ["000000000020", "000000000030"]
    found = saved.newest(pytest.fail)
    assert found.update == 30 and found.timings == {"seconds_training": 1.5}
    assert found.tables == {"train.csv": b"update\n30\n", "empty.csv": b""}
    assert torch.equal(found.method["weights"], torch.full((3,), 30.0)) and found.method["step"].item() == 30


@pytest.mark.parametrize("damage", ["cut short", "one bit", "emptied", "another file"])
def test_a_damaged_one_falls_back_to_the_one_before(saved, damage, fault_table):
    newest, content = files(saved)[-1], files(saved)[-1].read_bytes()
    flipped = bytearray(content)
    flipped[-1] ^= 1
    newest.write_bytes(
        {"cut short": content[:-7], "one bit": bytes(flipped), "emptied": b"", "another file": b"PK\3\4"}[damage]
    )
    told: list[str] = []
    assert saved.newest(told.append).update == 20
    assert len(told) == 1 and newest.name in told[0] and "damaged" in told[0]
    assert not newest.exists()
    fault_table("a damaged checkpoint", damage, 1, "what was done since the one before")


def test_none_is_left_when_all_are_damaged_or_of_another_run(saved, tmp_path):
    told: list[str] = []
    assert Checkpoints(tmp_path, {"seed": 2}, every=0).newest(told.append) is None
    assert len(told) == 2 and all("another" in text for text in told) and not files(saved)


@pytest.mark.parametrize("noted", ["", "[]", "null", '{"status": "done"}', "{}"])
def test_what_is_no_proof_of_an_end_is_none(tmp_path, noted):
    checkpoints = Checkpoints(tmp_path, {}, every=0)
    checkpoints.finish({"status": "done"})
    assert checkpoints.finished() == {"status": "done"}
    (tmp_path / runs.FINISHED).write_text(noted)
    assert checkpoints.finished() is None


def test_global_generators_go_on_where_they_were(tmp_path):
    def draws() -> list[float]:
        return [torch.rand(()).item(), random.gauss(0, 1), np.random.standard_normal(), random.random()]

    # An odd number of normal draws leaves one in stock.
    draws()
    checkpoints = Checkpoints(tmp_path, {}, every=0)
    checkpoints.save(Checkpoint(1, {}, {}, {}))
    expected = [draws() for _ in range(3)]
    torch.manual_seed(0), random.seed(0), np.random.seed(0)
    checkpoints.newest(pytest.fail)
    assert [draws() for _ in range(3)] == expected


def test_a_method_without_a_training_state_leaves_no_checkpoint(results, tmp_path):
    method = Path(__file__).parent / "methods" / "td3_bc.py"
    folder = tmp_path / "run"
    process = subprocess.Popen(command(results, folder, f"{method}:TD3BC", 400), stdout=subprocess.DEVNULL)
    while process.poll() is None:
        assert not (folder / runs.CHECKPOINTS).exists()
        time.sleep(0.01)
    assert process.returncode == 0 and (folder / runs.STATUS).exists()


def test_other_settings_do_not_go_on_from_a_checkpoint(results, tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen(command(results, folder, "bc", 40_000), stdout=subprocess.DEVNULL)
    while not list((folder / runs.CHECKPOINTS).glob("[0-9]*.safetensors")):
        assert process.poll() is None
    process.kill()
    process.wait()
    outcome = subprocess.run(command(results, folder, "bc", 80), capture_output=True, text=True, check=True)
    assert "of another dataset, code, package or device" in outcome.stdout and "going on" not in outcome.stdout


def test_a_run_that_was_done_is_not_done_again(results, tmp_path):
    folder = tmp_path / "run"

    def call(*words: object) -> str:
        return subprocess.run([*command(results, folder, "bc", 80), *words], capture_output=True, text=True).stdout

    first = call("--keep-going") or (folder / runs.LOG).read_text()
    contents = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert "update 80" in first
    # As Snakemake does with the outputs of a job that it does not know to be done.
    (folder / runs.STATUS).unlink()
    call("--keep-going")
    assert "finished before" in (folder / runs.LOG).read_text()
    for path in folder.iterdir():
        assert path.name == runs.LOG or path.read_bytes() == contents[path.name], path.name
    # What is not as it was left is trained again, and so is what one asks for.
    (folder / runs.POLICY).write_bytes(b"other")
    assert "update 80" in call() and (folder / runs.POLICY).read_bytes() == contents[runs.POLICY]
    assert "update 80" in call("--no-resume") and "finished before" in call()
    # Trained without a supervisor it has not noted what the job took, and one that finds it done does not know.
    (folder / runs.STATUS).unlink()
    timing = (folder / runs.TIMING).read_bytes()
    call("--keep-going")
    assert (folder / runs.STATUS).is_file() and (folder / runs.TIMING).read_bytes() == timing
