"""A run in a process of its own, watched from outside: whatever becomes of it, its folder says so."""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NoReturn

from cqlbench import runs
from cqlbench.errors import UserError
from cqlbench.stopwatch import process_age
from cqlbench.writers import write_json

# What Python, torch on the CPU and torch on a GPU say when there is no more; the end of such a run's log.
NO_MEMORY = ("MemoryError", "allocate memory", "OutOfMemoryError", "out of memory")
# A process that was asked to end has so many seconds for it.
GRACE = 5.0


@contextmanager
def sole_trainer(folder: Path) -> Iterator[None]:
    """Inside the block no other process is in one of the same `folder`; the system ends it with the process.

    Raises UserError where another one stays in its for GRACE seconds; one that was just killed does not. A file system
    that knows no locks gives none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    until = time.monotonic() + GRACE
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > until:
                    raise UserError(
                        f"{folder}: another process is training into it; nothing was touched. Wait for it, or end it."
                    ) from error
                time.sleep(0.1)
            except OSError:
                break
        yield
    finally:
        os.close(handle)


def supervise(command: list[str], folder: Path, time_limit: float | None = None) -> str | None:
    """Runs `command`, which trains into `folder`, with its output in the run's log; at most `time_limit` minutes.

    Returns None where it left a status. Where it left none, writes one, `failed`, `timed out` or `out of memory` with
    the reason, and returns both in words. Adds to timing.json what both processes took together. Raises UserError
    where another process trains into the folder.
    """
    with sole_trainer(folder):
        if (folder / runs.FINISHED).is_file():
            # Whether it is the same run that has been finished, the child will know.
            (folder / runs.STATUS).unlink(missing_ok=True)
        else:
            runs.clear_folder(folder)
    # Where the child finds the run finished it stays as it is: what this process takes is not what the run took.
    found, finished = _content(folder / runs.TIMING), _content(folder / runs.FINISHED)
    # A request to stop reaches this process alone; it has to end the child too.
    signal.signal(signal.SIGTERM, _stop)
    # One that goes on from a checkpoint continues the log; what others said in it is not its own.
    with (folder / runs.LOG).open("a" if (folder / runs.CHECKPOINTS).is_dir() else "w") as log:
        begin = log.tell()
        # A group of its own, to end all of it at once; not a session, which would have its own share of the processor.
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, preexec_fn=_end_with_parent, process_group=0
        )
        try:
            code: int | None = child.wait(None if time_limit is None else 60 * time_limit)
        except subprocess.TimeoutExpired:
            code = None
        finally:
            # Also where the run was asked to stop, which is no result and leaves nothing that looks like one.
            _end(child)
    if not (folder / runs.STATUS).exists():
        # Not where it has died because another process has begun to train here in the meantime.
        with sole_trainer(folder):
            noted = _content(folder / runs.FINISHED)
            if noted in ("", finished):
                # A run that an earlier attempt has finished stays whole: whether it is this one, the next may know.
                if not noted:
                    _add_job_times(folder / runs.TIMING)
                status, reason = _what_happened(code, _said(folder / runs.LOG, begin), time_limit)
                write_json(folder / runs.STATUS, {"status": status, "reason": reason, "update": None})
                return f"{status}: {reason}"
            # It was killed between its last two files.
            write_json(folder / runs.STATUS, json.loads(noted)["status"])
    if _content(folder / runs.TIMING) != found:
        _add_job_times(folder / runs.TIMING)
    # There where it, or an earlier attempt, was killed while it removed them.
    shutil.rmtree(folder / runs.CHECKPOINTS, ignore_errors=True)
    return None


def _content(file: Path) -> str:
    return file.read_text(errors="replace") if file.is_file() else ""


def _said(log: Path, begin: int) -> str:
    return log.read_bytes()[begin:].decode(errors="replace")


def _add_job_times(timing: Path) -> None:
    """Adds to a run's times what both processes took together, user and system."""
    known = json.loads(_content(timing) or "{}")
    spent = {"seconds_job": process_age(), "cpu_seconds_job": sum(os.times()[:4])}
    # And what was spent before it went on from a checkpoint.
    write_json(timing, known | {key: value + known.get(f"{key}_before", 0.0) for key, value in spent.items()})


def _what_happened(code: int | None, log: str, time_limit: float | None) -> tuple[str, str]:
    """Status and reason of a run that left none."""
    lines = log.strip().splitlines()
    last = lines[-1] if lines else "no output"
    if code is None:
        return runs.TIMED_OUT, f"stopped after {time_limit:g} minutes, its time limit; the log ends with: {last}"
    if any(words in last for words in NO_MEMORY):
        return runs.OUT_OF_MEMORY, last
    if code == -signal.SIGKILL:
        return runs.FAILED, "killed by SIGKILL (often the system's answer to too little memory)"
    return runs.FAILED, f"killed by {signal.Signals(-code).name}" if code < 0 else last


def _stop(*_: object) -> NoReturn:
    sys.exit(128 + signal.SIGTERM)


def _end(child: subprocess.Popen) -> None:
    """Ends the child, where it has not ended by itself, and all that it has started."""
    if child.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            os.killpg(child.pid, signal.SIGTERM)
            child.wait(GRACE)
    # No word to those that it has left behind: they would say their last one in the log, after its own.
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def _end_with_parent() -> None:
    """In the child: it dies with its supervisor, however that dies, and writes nothing into a folder given to another.

    Off Linux there is no such order.
    """
    set_parent_death_signal = 1  # PR_SET_PDEATHSIG of sys/prctl.h
    libc = ctypes.CDLL(None)
    if hasattr(libc, "prctl"):
        libc.prctl(set_parent_death_signal, signal.SIGKILL)
