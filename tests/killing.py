"""Kills a real run at chosen moments, as often as asked, and lets the same command go on until it is done."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from cqlbench import runs

MOMENTS = ("import", "update", "checkpoint", "evaluation")


class Attempt(NamedTuple):
    """One start of the command: the moment it was killed at, None where it came to its end; the update it went on after
    and the last one it logged, both None where it died before it got so far."""

    killed: str | None
    began_after: int | None
    reached: int | None


def rows(path: Path) -> list[str]:
    """The whole lines of a table that is being written."""
    beside = path.with_name(path.name + ".partial")
    text = beside.read_text() if beside.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()[1:]


def last_update(folder: Path) -> int:
    """The newest row of the training table."""
    logged = rows(folder / runs.TRAIN)
    return int(logged[-1].partition(",")[0]) if logged else 0


def run_killed(command: list[str], folder: Path, moments: list[str], updates: int, seed: int) -> list[Attempt]:
    """Starts `command` (a `cqlbench train` into `folder`) and kills it at the given moments, one after another.

    The kills at `update` are spread over the run; a run that ends before its moment came is not killed there.
    """
    generator = random.Random(seed)
    attempts = []
    for number, moment in enumerate([*moments, None]):
        before = len(_log(folder))
        with (folder / runs.LOG).open("a") as log:
            process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        target = updates * (number + 1) // (len(moments) + 2)
        come = {
            "import": _after(generator.uniform(0, 2)),
            "update": lambda target=target: last_update(folder) >= target,
            # A file of this process: those that were killed have left theirs.
            "checkpoint": lambda pid=process.pid: any((folder / runs.CHECKPOINTS).glob(f".{pid}.*")),
            "evaluation": lambda: _in_evaluation(folder),
            None: lambda: False,
        }[moment]
        # Until it says something, the tables are those of the attempt before.
        while process.poll() is None and not (come() and (moment == "import" or len(_log(folder)) > before)):
            time.sleep(0.0002)
        if moment == "update":
            time.sleep(generator.uniform(0, 0.05))
        killed = moment if moment and process.poll() is None else None
        process.kill()
        process.wait()
        attempts.append(Attempt(killed, *_told(_log(folder)[before:].splitlines())))
        if (folder / runs.STATUS).exists():
            break
    return attempts


def training_command(folder: Path, *words: object) -> list[str]:
    return [sys.executable, "-m", "cqlbench", "train", "--out", str(folder), *map(str, words)]


def _log(folder: Path) -> str:
    """Not by lines: one that is killed may leave its last without an end."""
    log = folder / runs.LOG
    return log.read_text() if log.exists() else ""


def _told(lines: list[str]) -> tuple[int | None, int | None]:
    """After which update an attempt began and which it logged last, by its own words."""
    went_on = [line.partition("going on after update ")[2] for line in lines if "going on after update" in line]
    logged = [line.split()[1] for line in lines if line.startswith("update ") and " of " in line]
    began = int(went_on[0].partition(", from")[0].replace(",", "")) if went_on else 0 if logged else None
    return began, int(logged[-1].replace(",", "")) if logged else began


def _after(seconds: float) -> Callable[[], bool]:
    until = time.monotonic() + seconds
    return lambda: time.monotonic() >= until


def _in_evaluation(folder: Path) -> bool:
    """Trained up to a point of evaluation that is not in the table of evaluations yet."""
    update = last_update(folder)
    evaluated = rows(folder / runs.EVALUATION)
    return update > 0 and update % EVALUATE_EVERY == 0 and len(evaluated) * EVALUATE_EVERY < update


EVALUATE_EVERY = 40
