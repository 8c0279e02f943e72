"""Whatever becomes of a run's process, its folder says what, and nothing of it lives on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from cqlbench import runs
from cqlbench.supervision import supervise

METHOD = """
import os, subprocess, sys, time
import numpy as np, torch

class Unlucky:
    def __init__(self, spec, config, seed, device):
        self.weight, self.size, self.updates = torch.zeros(1), spec.action_size, 0

    def update(self, batch):
        self.updates += 1
        if self.updates == 25:
            FATE
        return {"loss": 0.0}

    def act(self, observations):
        return np.zeros((len(observations), self.size), np.float32)

    def state_dict(self):
        return {"weight": self.weight}

    def load_state_dict(self, state):
        self.weight = state["weight"]
"""
HANGS = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(999)', __file__]); time.sleep(999)"
STAYS = "subprocess.Popen(['sh', '-c', 'trap : TERM; while :; do sleep 999; done', __file__]); os._exit(3)"
FATES = {
    "hangs": (HANGS, "timed out", "after 0.25 minutes, its time limit; the log ends with: update 24 of 80"),
    "raises": ("raise ValueError('the third law was broken')", "failed", "ValueError: the third law was broken"),
    "leaves something behind": (STAYS, "failed", "update 24 of 80"),
    "leaves": ("os._exit(3)", "failed", "update 24 of 80"),
    "is killed": ("os.kill(os.getpid(), 9)", "failed", "killed by SIGKILL"),
    "asks for too much": ("torch.empty(1 << 60)", "out of memory", "allocate memory"),
    "runs out": ("raise MemoryError", "out of memory", "MemoryError"),
}


def command(results: Path, folder: Path, fate: str, *words: object) -> list[str]:
    method = folder.with_suffix(".py")
    method.write_text(METHOD.replace("FATE", fate))
    fixed = ["--dataset", "pendulum/medium-v0", "--updates", 80, "--evaluate-every", 40, "--value-states", 0]
    words = (*fixed, "--results", results, "--method", f"{method}:Unlucky", "--out", folder, "--keep-going", *words)
    return [sys.executable, "-m", "cqlbench", "train", *map(str, words)]


def children_of(marker: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if marker in " ".join(_words(process))]


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.mark.parametrize("fate", FATES)
def test_what_became_of_a_run_is_in_its_status(results, tmp_path, fate, fault_table):
    does, status, reason = FATES[fate]
    outcome = subprocess.run(
        command(results, tmp_path / "run", does, "--time-limit", 0.25 if fate == "hangs" else 2),
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stderr
    written = json.loads((tmp_path / "run" / runs.STATUS).read_text())
    assert written["status"] == status and reason in written["reason"], written
    assert status in outcome.stderr and reason in outcome.stderr
    assert json.loads((tmp_path / "run" / runs.TIMING).read_text())["cpu_seconds_job"] > 0
    assert not children_of(str(tmp_path))
    # What it was is still known, by commands that look at its folder alone.
    assert (tmp_path / "run" / runs.CONFIG).is_file() and (tmp_path / "run" / runs.PROVENANCE).is_file()
    fault_table(f"a run that {fate}", "a method of one's own, at its 25th update", 1, "that run, which says so")


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_a_run_ends_with_its_supervisor_and_leaves_no_status(results, tmp_path, sign, fault_table):
    supervisor = subprocess.Popen(
        command(results, tmp_path / "run", "time.sleep(99)"),
        stderr=subprocess.DEVNULL,
        # A job in the background of a shell has been told not to hear this one.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    log = tmp_path / "run" / runs.LOG
    while not (log.exists() and "update 24" in log.read_text()):
        assert supervisor.poll() is None
        time.sleep(0.05)
    os.kill(supervisor.pid, sign)
    assert supervisor.wait() != 0
    until = time.monotonic() + 10
    while children_of(str(tmp_path)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not children_of(str(tmp_path))
    assert not (tmp_path / "run" / runs.STATUS).exists()
    fault_table("the supervisor of a run is ended", sign.name, 1, "the run so far, which had no checkpoint")


def test_a_time_limit_needs_a_supervisor(results, tmp_path):
    words = [word for word in command(results, tmp_path / "run", "pass") if word != "--keep-going"]
    outcome = subprocess.run([*words, "--time-limit", "1"], capture_output=True, text=True, check=False)
    assert outcome.returncode == 2 or outcome.returncode == 1
    assert "--keep-going" in outcome.stderr and "Traceback" not in outcome.stderr


@pytest.mark.slow
def test_a_folder_that_is_trained_into_is_left_alone(results, tmp_path, fault_table):
    """By a second supervisor and by a second run without one."""
    supervised = command(results, tmp_path / "run", "time.sleep(25)")
    first = subprocess.Popen(supervised, stderr=subprocess.DEVNULL)
    log = tmp_path / "run" / runs.LOG
    while not (log.exists() and "update 24" in log.read_text()):
        assert first.poll() is None
        time.sleep(0.05)
    for words in (supervised, [word for word in supervised if word != "--keep-going"]):
        second = subprocess.run(words, capture_output=True, text=True, check=False)
        assert second.returncode == 2 and "another process is training into it" in second.stderr
    assert first.wait() == 0
    assert json.loads((tmp_path / "run" / runs.STATUS).read_text())["status"] == "done"
    assert (tmp_path / "run" / runs.CONFIG).is_file() and log.read_text().count("update 24") == 1
    fault_table("two processes in one run folder", "with and without a supervisor", 2, "nothing")


def test_a_time_limit_is_above_nothing(results, tmp_path):
    words = command(results, tmp_path / "run", "pass", "--time-limit", "0")
    outcome = subprocess.run(words, capture_output=True, text=True, check=False)
    assert outcome.returncode == 2 and "--time-limit 0: not allowed; it must be above 0" in outcome.stderr
    assert not (tmp_path / "run").exists()


def noting_the_end(folder: Path, *, then: str) -> list[str]:
    """A process that notes in `folder` that its run is over, as the last thing it does before `then`."""
    noted = json.dumps({"status": {"status": "done", "reason": None, "update": 80}})
    lines = ["import os, pathlib", f"pathlib.Path({str(folder / runs.FINISHED)!r}).write_text({noted!r})", then]
    return [sys.executable, "-c", "\n".join(lines)]


def test_a_run_killed_before_its_last_file_is_done(tmp_path):
    (tmp_path / runs.CHECKPOINTS).mkdir()
    assert supervise(noting_the_end(tmp_path, then="os.kill(os.getpid(), 9)"), tmp_path) is None
    assert json.loads((tmp_path / runs.STATUS).read_text()) == {"status": "done", "reason": None, "update": 80}
    assert not (tmp_path / runs.CHECKPOINTS).exists()


def test_an_attempt_that_dies_early_leaves_a_finished_run_whole(tmp_path):
    supervise(noting_the_end(tmp_path, then=""), tmp_path)
    (tmp_path / runs.POLICY).write_bytes(b"learned")
    before = (tmp_path / runs.FINISHED).read_bytes()
    told = supervise([sys.executable, "-c", "import sys; sys.exit('no data')"], tmp_path)
    assert told == "failed: no data" and json.loads((tmp_path / runs.STATUS).read_text())["status"] == "failed"
    assert (tmp_path / runs.POLICY).read_bytes() == b"learned"
    assert (tmp_path / runs.FINISHED).read_bytes() == before


def test_an_attempt_that_took_the_finished_run_away_leaves_none(tmp_path):
    supervise(noting_the_end(tmp_path, then=""), tmp_path)
    lines = f"import os, sys; os.remove({str(tmp_path / runs.FINISHED)!r}); sys.exit('broken')"
    assert supervise([sys.executable, "-c", lines], tmp_path) == "failed: broken"
    assert "cpu_seconds_job" in json.loads((tmp_path / runs.TIMING).read_text())


def test_only_its_own_words_are_its_reason(tmp_path):
    """An earlier attempt's are in the log too, where the run goes on from a checkpoint."""
    (tmp_path / runs.CHECKPOINTS).mkdir()
    (tmp_path / runs.LOG).write_text("MemoryError\n")
    assert supervise([sys.executable, "-c", "import os; os._exit(3)"], tmp_path) == "failed: no output"
    assert (tmp_path / runs.LOG).read_text() == "MemoryError\n"
