"""Data that go away or become others while a suite runs: who says so, and what gets one out."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest
from killing import last_update, training_command
from real_suites import (
    ROOT,
    SAME_BYTES,
    SCORES,
    TINY,
    contents,
    cqlbench,
    finished,
    prepare,
    run_folders,
    start,
    statuses,
    wait_for,
)

from cqlbench import runs
from cqlbench.datasets import dataset_file, make_dataset

pytestmark = pytest.mark.slow
PENDULUM = "pendulum/medium-v0"


def retry(folder: Path, *words: object) -> subprocess.CompletedProcess[str]:
    """`cqlbench retry` of the suite in `folder`, from there."""
    snakemake = ("--", "--snakefile", ROOT / "Snakefile", "--workflow-profile", ROOT / "profiles/default", SCORES)
    return cqlbench("retry", "suite.yaml", *words, *snakemake, cwd=folder)


def of_one(run: Path) -> list[bytes]:
    return [(run / file).read_bytes() for file in SAME_BYTES]


@pytest.mark.parametrize("way", ["put back", pytest.param("made again", marks=pytest.mark.faults)])
def test_a_dataset_that_goes_away_between_runs_and_while_one_begins(results, tmp_path, way, fault_table):
    if way == "made again":
        # What the workflow makes is of the usual size.
        results = tmp_path / "full"
        make_dataset(PENDULUM, results / "datasets")
    folder = prepare(tmp_path / "suite", TINY, results)
    suite = start(folder, SCORES, "--cores", 1)
    wait_for(lambda: finished(folder), suite)
    before, (first,) = contents(folder), finished(folder).items()
    others = [run for name, run in run_folders(folder).items() if name != first[0]]
    # The process that trains has been started, and is still importing.
    wait_for(lambda: any((run / runs.LOG).is_file() for run in others), suite)
    shutil.move(folder / "results/datasets", tmp_path / "away")
    printed, _ = suite.communicate()
    assert suite.returncode != 0 and "main_data.hdf5 (missing locally" in printed
    (failed,) = (status for status in statuses(folder).values() if status["status"] != "done")
    making = f"make it with: cqlbench datasets make {PENDULUM} --root results/datasets"
    assert failed["status"] == "failed" and failed["reason"].endswith(f"is not in results/datasets; {making}")
    if way == "put back":
        shutil.move(tmp_path / "away", folder / "results/datasets")
    again = retry(folder)
    assert again.returncode == 0, again.stdout + again.stderr
    assert "removed, failed" in again.stdout and (folder / SCORES).is_file()
    assert len(finished(folder)) == 3 and first in finished(folder).items()
    assert before.items() <= contents(folder).items()
    if way == "made again":
        fault_table("a dataset is deleted", "between two runs and while one begins", 2, "nothing")


def test_data_of_ones_own_that_go_away_and_come_back_as_others(tmp_path, fault_table):
    folder = prepare(tmp_path / "suite", TINY | {"datasets": [f"file:{tmp_path}/log.npz"]})
    write_log(tmp_path / "log.npz", best=1.0)
    suite = start(folder, SCORES, "--cores", 1)
    wait_for(lambda: len(finished(folder)) == 1, suite)
    (before,) = finished(folder)
    (tmp_path / "log.npz").unlink()
    wait_for(lambda: len(statuses(folder)) == 2, suite)
    write_log(tmp_path / "log.npz", best=2.0)
    printed, _ = suite.communicate()
    assert suite.returncode != 0
    reasons = [status["reason"] for status in statuses(folder).values() if status["status"] == "failed"]
    assert reasons and all("log.npz does not exist" in reason for reason in reasons)
    assert before in finished(folder)
    # Not in one table with the others.
    assert "its runs were trained on different contents of the dataset" in printed
    assert "cqlbench retry SUITE --retrain-stale" in printed
    again = retry(folder, "--retrain-stale")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "removed, made from other data" in again.stdout
    assert len(finished(folder)) == 3 and (folder / SCORES).is_file()
    assert len(content_hashes(folder)) == 1
    fault_table("data of one's own go away and come back as others", "between the runs of a suite", 2, "nothing")


@pytest.mark.parametrize(
    "buffer", [pytest.param((), marks=pytest.mark.faults), ("--buffer-transitions", 16_384)], ids=["memory", "mapped"]
)
def test_a_run_that_has_begun_needs_no_name_of_its_data(tmp_path, buffer, fault_table):
    """What is deleted, or replaced as all our commands do, stays there for those who have opened it."""
    make_dataset(PENDULUM, tmp_path / "datasets", transitions=20_000)
    whole, bereft = tmp_path / "whole", tmp_path / "bereft"
    subprocess.run(training(tmp_path, whole, *buffer), check=True, capture_output=True)
    bereft.mkdir()
    process = subprocess.Popen(training(tmp_path, bereft, *buffer), stdout=subprocess.DEVNULL)
    wait_for(lambda: last_update(bereft) > 0, process)
    shutil.rmtree(tmp_path / "datasets")
    make_dataset(PENDULUM, tmp_path / "datasets", transitions=1_500)
    assert not (bereft / runs.STATUS).exists(), "it was over too soon to be disturbed"
    assert process.wait() == 0 and of_one(bereft) == of_one(whole)
    place = "mapped" if buffer else "in memory"
    fault_table("a dataset is deleted and another put there", f"while a run trains from it, {place}", 1, "nothing")


def training(folder: Path, run: Path, *words: object) -> list[str]:
    budget = ("--updates", 4_000, "--evaluate-every", 1_000, "--episodes", 1, "--value-states", 0, "--width", 8)
    return training_command(run, "--dataset", PENDULUM, "--method", "bc", "--results", folder, *budget, *words)


@pytest.mark.parametrize("copy", [pytest.param("kept", marks=pytest.mark.faults), "altered"])
def test_one_byte_of_a_dataset(results, tmp_path, copy, fault_table):
    """The copy that runs read proves itself by the hash of the dataset as it was made; with neither there is no run."""
    shutil.copytree(results / "datasets", tmp_path / "datasets")
    file = dataset_file(tmp_path / "datasets", PENDULUM)
    with h5py.File(file, "r+") as episodes:
        rewards = episodes["episode_0/rewards"]
        changed = np.frombuffer(bytearray(rewards[:].tobytes()), rewards.dtype).copy()
        changed.view(np.uint8)[0] ^= 1
        rewards[:] = changed
    if copy == "altered":
        flat = file.parents[1] / "transitions.npz"
        content = bytearray(flat.read_bytes())
        content[len(content) // 2] ^= 1
        flat.write_bytes(content)
    words = ("--dataset", PENDULUM, "--method", "bc", "--updates", 10, "--evaluate-every", 10, "--episodes", 1)
    words = (*words, "--value-states", 0, "--results", tmp_path, "--out", tmp_path / "run", "--keep-going")
    said = cqlbench("train", *words).stderr
    status = json.loads((tmp_path / "run" / runs.STATUS).read_text())
    if copy == "kept":
        assert said == "" and status["status"] == "done"
    else:
        assert "is not the data it was made with; make it again with: cqlbench datasets make" in said
        assert status["status"] == "failed" and status["reason"] in said
    place = "the copy that runs read whole" if copy == "kept" else "and in the copy that runs read"
    fault_table("a byte of a dataset is turned", f"in its rewards, {place}", 1, "nothing")


def write_log(path: Path, best: float) -> None:
    """Thirty episodes of ten steps."""
    generator = np.random.default_rng(0)
    last = np.arange(300) % 10 == 9
    arrays = {name: generator.uniform(-1, 1, (300, 2)) for name in ("observations", "actions", "next_observations")}
    np.savez(path, **arrays, rewards=generator.uniform(0, best, 300), terminals=last & False, timeouts=last)


def content_hashes(folder: Path) -> set[str]:
    provenances = (json.loads((run / runs.PROVENANCE).read_text()) for run in run_folders(folder).values())
    return {provenance["dataset"]["content_hash"] for provenance in provenances}
