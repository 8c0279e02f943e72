"""Kills a real run at chosen moments, as often as asked, and lets the same command go on until it is done."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cqlbench import runs

MOMENTS = ("import", "update", "checkpoint", "evaluation")


class Attempts(NamedTuple):
    """How a run was brought to its end: the moments it was killed at, and after which update each attempt began."""

    killed: list[str]
    began_after: list[int]
    reached: list[int]


def rows(path: Path) -> list[str]:
    """The whole lines of a table that is being written."""
    beside = path.with_name(path.name + ".partial")
    text = beside.read_text() if beside.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()[1:]


def last_update(folder: Path) -> int:
    """The newest row of the training table."""
    logged = rows(folder / runs.TRAIN)
    return int(logged[-1].partition(",")[0]) if logged else 0


def run_killed(command: list[str], folder: Path, moments: list[str], updates: int, seed: int) -> Attempts:
    """Starts `command` (a `cqlbench train` into `folder`) and kills it at the given moments, one after another.

    The kills at `update` are spread over the run; a run that ends before its moment came is not killed there.
    """
    generator = random.Random(seed)
    attempts = Attempts([], [], [])
    for number, moment in enumerate([*moments, None]):
        before = _lines(folder)
        with (folder / runs.LOG).open("a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        target = updates * (number + 1) // (len(moments) + 2)
        come = {
            "import": _after(generator.uniform(0, 2)),
            "update": lambda target=target: last_update(folder) >= target,
            "checkpoint": lambda: any((folder / runs.CHECKPOINTS).glob(".*")),
            "evaluation": lambda: _in_evaluation(folder),
            None: lambda: False,
        }[moment]
        # Until it writes a line, the tables are those of the attempt before.
        while process.poll() is None and not (come() and (moment == "import" or _lines(folder) > before)):
            time.sleep(0.0002)
        if moment == "update":
            time.sleep(generator.uniform(0, 0.05))
        # Read before the kill: what was on the disk then is the most that can be lost.
        if moment and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            attempts.killed.append(moment)
        process.wait()
        attempts.reached.append(last_update(folder))
        went_on = [line for line in (folder / runs.LOG).read_text().splitlines()[before:] if "going on after" in line]
        attempts.began_after.append(int(went_on[0].split()[4].strip(",").replace(",", "")) if went_on else 0)
        if (folder / runs.STATUS).exists():
            break
    return attempts


def training_command(folder: Path, *words: object) -> list[str]:
    return [sys.executable, "-m", "cqlbench", "train", "--out", str(folder), *map(str, words)]


def _lines(folder: Path) -> int:
    log = folder / runs.LOG
    return len(log.read_text().splitlines()) if log.exists() else 0


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def _in_evaluation(folder: Path) -> bool:
    """Trained up to a point of evaluation that is not in the table of evaluations yet."""
    update = last_update(folder)
    evaluated = rows(folder / runs.EVALUATION)
    return update > 0 and update % EVALUATE_EVERY == 0 and len(evaluated) * EVALUATE_EVERY < update


EVALUATE_EVERY = 40
