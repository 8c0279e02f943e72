"""Asks a method every check, each in a process of its own: what hangs, dies or changes the process harms no other."""

from __future__ import annotations

import faulthandler
import importlib
import inspect
import multiprocessing
import os
import re
import signal
import sys
import traceback
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import takewhile
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch

# What torch's optimisers import when the first one is made: a second and more, here once instead of in every child.
import torch._dynamo

import cqlbench
from cqlbench.contract.checks import CHECKS, LeftOut, Subject, Wrong
from cqlbench.errors import UserError

OK, WRONG, LEFT_OUT, NOT_ASKED = "ok", "wrong", "left out", "not asked"
# Lines of the user's own traceback that are shown, and whose lines are not theirs.
FRAMES = 3
OWN_FOLDER = str(Path(__file__).parent)
OTHERS = (*(str(Path(inspect.getfile(module)).parent) for module in (cqlbench, torch, importlib)), "<")
# A child starts with all that is imported here, in a few milliseconds.
PROCESSES = multiprocessing.get_context("fork")


@dataclass(frozen=True)
class Finding:
    """What one check found: `ok`, `wrong`, `left out` or `not asked`, why, and where in the user's code it was."""

    check: str
    outcome: str
    sentence: str
    lines: tuple[str, ...] = ()


def check_method(method: str, settings: dict[str, Any], seconds: int) -> Iterator[Finding]:
    """One finding per check, as they come, of `my_method.py:MyMethod` (or a known name) with `settings`.

    A check may take `seconds`; those in which the machine sleeps or this process is stopped do not count. A check
    whose answer follows from one that is wrong is not asked.
    """
    unanswered: set[str] = set()
    for name, (_, needs) in CHECKS.items():
        if missing := [need for need in needs if need in unanswered]:
            finding = Finding(name, NOT_ASKED, f"{missing[0]} has to be right first.")
        else:
            finding = _ask(name, Subject(method, settings), seconds)
        if finding.outcome in (WRONG, NOT_ASKED):
            unanswered.add(name)
        yield finding


def _ask(name: str, subject: Subject, seconds: int) -> Finding:
    receiver, sender = PROCESSES.Pipe(duplex=False)
    process = PROCESSES.Process(target=_answer, args=(name, subject, sender))
    process.start()
    sender.close()
    try:
        # Second by second: a stop of this process costs no more than the second in which it falls.
        if any(receiver.poll(1) for _ in range(seconds)):
            return receiver.recv()
        return Finding(
            name, WRONG, f"expected an answer within {seconds} seconds; none came.", _where(process, receiver)
        )
    except EOFError:
        process.join()
        code = process.exitcode or 0
        ending = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        return Finding(name, WRONG, f"expected an answer; the process {ending} before there was one.")
    finally:
        process.kill()
        process.join()
        receiver.close()


def _answer(name: str, subject: Subject, sender: Connection) -> None:
    """Runs in the child."""
    # What the method prints is no part of the answer.
    os.dup2(2, 1)
    faulthandler.register(signal.SIGUSR1, file=sender.fileno(), all_threads=False)
    torch.set_num_threads(1)
    try:
        finding = Finding(name, OK, CHECKS[name].check(subject))
    except LeftOut as error:
        finding = Finding(name, LEFT_OUT, str(error))
    except (Wrong, UserError) as error:
        finding = Finding(name, WRONG, _with_notes(error), _own_lines(error.__cause__))
    except BaseException as error:  # a user's code may raise anything, or end all
        message = str(error).strip().splitlines() or [""]
        finding = Finding(
            name, WRONG, _with_notes(error, f"it raised {type(error).__name__}: {message[0]}"), _own_lines(error)
        )
    # Before the answer, after which this process may be killed.
    sys.stdout.flush()
    sender.send(finding)


def _with_notes(error: BaseException, sentence: str = "") -> str:
    """Its sentence and what was going on."""
    return " ".join([(sentence or str(error)), *(f"({note})" for note in getattr(error, "__notes__", []))])


def _own_lines(error: BaseException | None) -> tuple[str, ...]:
    """The last lines of a traceback that are the user's own."""
    frames = traceback.extract_tb(error.__traceback__) if error else []
    own = [frame for frame in frames if not frame.filename.startswith(OTHERS)]
    return tuple(line for text in traceback.format_list(own[-FRAMES:]) for line in text.rstrip().splitlines())


def _where(process: Any, receiver: Connection) -> tuple[str, ...]:
    """The lines at which a process is that does not answer, innermost last."""
    assert process.pid
    os.kill(process.pid, signal.SIGUSR1)
    told = b""
    while receiver.poll(0.5 if told else 5) and (more := os.read(receiver.fileno(), 1 << 16)):
        told += more
    # Innermost first; behind the user's own come ours, which called them.
    frames = re.findall(r'File ".*', told.decode(errors="replace"))
    inner = takewhile(lambda frame: OWN_FOLDER not in frame, frames)
    own = [frame for frame in inner if not frame.removeprefix('File "').startswith(OTHERS)]
    return tuple(f"  {frame}" for frame in reversed(own[:FRAMES]))
