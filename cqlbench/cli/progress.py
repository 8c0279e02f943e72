"""What a person sees of a run: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cqlbench.runs import Run

if TYPE_CHECKING:
    from cqlbench.event_files import EventFiles

# Losses worth a place on the line, where the method has them.
SHOWN = ("td_loss", "conservative_gap", "bc_loss", "critic_loss", "loss")


@contextmanager
def watch(run: Run, event_folder: Path | None = None) -> Iterator[_Watcher]:
    """Shows updates per second, losses, the last return and the time left while the block runs.

    With `event_folder`, the run's folder, also writes TensorBoard's event files there.
    """
    events = None
    if event_folder:
        from cqlbench.event_files import EventFiles

        events = EventFiles(event_folder)
    if not sys.stdout.isatty():
        yield _Watcher(run, None, events)
        return
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns) as bar:
        yield _Watcher(run, bar, events)


class _Watcher:
    def __init__(self, run: Run, bar: Bar | None, events: EventFiles | None) -> None:
        self.bar, self.events, self.updates, self.last_return = bar, events, run.protocol.updates, ""
        self.task = bar.add_task("starting", total=self.updates) if bar else None
        self.began, self.first = time.monotonic(), 0

    def told(self, text: str) -> None:
        if self.bar:
            self.bar.console.print(text)
        else:
            print(text, flush=True)

    def started(self, update: int) -> None:
        self.began, self.first = time.monotonic(), update

    def trained(self, update: int, metrics: dict[str, float]) -> None:
        if self.events:
            self.events.trained(update, metrics)
        rate = (update - self.first) / (time.monotonic() - self.began)
        losses = "  ".join(f"{name} {metrics[name]:.3g}" for name in SHOWN if name in metrics)
        text = f"{rate:.0f} updates/s  {losses}{self.last_return}"
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=update, description=text)
        else:
            left = (self.updates - update) / rate
            print(f"update {update:,} of {self.updates:,}  {text}  {left:.0f} s left", flush=True)

    def evaluated(self, update: int, measures: dict[str, float]) -> None:
        if self.events:
            self.events.evaluated(update, measures)
        if "return_mean" not in measures:
            return  # no simulator
        self.last_return = f"  return {measures['return_mean']:.1f}"
        if not self.bar:
            print(f"update {update:,}: mean return {measures['return_mean']:.1f}", flush=True)
