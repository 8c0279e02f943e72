"""How far a suite is, read from its run folders: while it runs, and after whatever stopped it."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cqlbench import runs
from cqlbench.costs import expected_seconds, known_rates
from cqlbench.records import STATUSES, read_record
from cqlbench.runs import Run
from cqlbench.suites import Suite

RUNNING, STOPPED, LEFT = "running", "stopped", "left"
STATES = (*STATUSES, RUNNING, STOPPED, LEFT)
# A run that has written nothing for so many seconds is taken for dead; a row of train.csv seldom takes that long.
SILENCE = 600.0


class Standing(NamedTuple):
    """One run: its state, the update it has come to, why it came to nothing, seconds since it last wrote something."""

    run: Run
    state: str
    update: int
    reason: str | None
    silence: float | None


@dataclass(frozen=True)
class Overview:
    """A suite's runs with the CPU hours they took and, None where that is not known, will take."""

    suite: str
    standings: tuple[Standing, ...]
    hours_spent: float
    hours_to_go: float | None

    def counts(self) -> dict[str, int]:
        """Runs by state, in the order of STATES, without those that no run is in."""
        counted = Counter(standing.state for standing in self.standings)
        return {state: counted[state] for state in STATES if counted[state]}

    def __str__(self) -> str:
        to_go = "an unknown number" if self.hours_to_go is None else f"about {self.hours_to_go:.1f}"
        counts = ", ".join(f"{count} {state}" for state, count in self.counts().items())
        lines = [
            f"suite {self.suite}: {len(self.standings)} runs: {counts}",
            f"CPU hours: {self.hours_spent:.1f} spent, {to_go} to go",
        ]
        for standing in self.standings:
            run = standing.run
            words = f"{run.dataset}  {run.name}  seed {run.seed}"
            if standing.state in (RUNNING, STOPPED):
                since = f"last wrote something {_duration(standing.silence or 0)} ago"
                lines.append(
                    f"{standing.state}: {words}: update {standing.update:,} of {run.protocol.updates:,}, {since}"
                )
            elif standing.reason:
                lines.append(f"{standing.state}: {words}: {standing.reason}")
        return "\n".join(lines)


def look_at(suite: Suite, results: Path) -> Overview:
    """The suite's runs as their folders below `results` tell it now. A run that two methods share counts once."""
    now, rates = time.time(), known_rates(results)
    planned = {run.folder(results): run for _, run in suite.runs()}
    standings, spent, to_go = [], 0.0, 0.0
    unknown = False
    for folder, run in planned.items():
        standing = _look_at_run(run, folder, now)
        standings.append(standing)
        spent += _cpu_seconds(folder)
        if standing.state in (RUNNING, STOPPED, LEFT):
            whole = expected_seconds(run, rates)
            unknown |= whole is None
            to_go += (whole or 0.0) * (1 - standing.update / run.protocol.updates)
    return Overview(suite.name, tuple(standings), spent / 3600, None if unknown else to_go / 3600)


def _look_at_run(run: Run, folder: Path, now: float) -> Standing:
    if status := read_record(folder / runs.STATUS):
        return Standing(run, status["status"], status.get("update") or 0, status.get("reason"), None)
    growing = [folder / f"{runs.TRAIN}.partial", folder / runs.LOG]
    written = []
    for path in growing:
        with suppress(FileNotFoundError):
            written.append(path.stat().st_mtime)
    if not written:
        return Standing(run, LEFT, 0, None, None)
    silence = max(0.0, now - max(written))
    return Standing(run, STOPPED if silence > SILENCE else RUNNING, _last_update(growing[0]), None, silence)


def _last_update(table: Path) -> int:
    """The update of the last whole row of a table that is being written."""
    *_, last = _content(table).rpartition("\n")[0].split("\n")
    first = last.partition(",")[0]
    return int(first) if first.isdigit() else 0


def _cpu_seconds(folder: Path) -> float:
    """What the run has noted; a run that is going on notes it at its end."""
    return read_record(folder / runs.TIMING).get("cpu_seconds_job", 0.0)


def _content(path: Path) -> str:
    """Empty where it is not there, or not any more: the run may be going on."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.0f} h"
