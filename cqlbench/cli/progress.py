"""What a person sees of a run: a bar in a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

from cqlbench.runs import Run

# Losses worth a place on the line, where the method has them.
SHOWN = ("td_loss", "conservative_gap", "bc_loss", "critic_loss", "loss")


@contextmanager
def watch(run: Run) -> Iterator[_Watcher]:
    """Shows updates per second, losses, the last return and the time left while the block runs."""
    if not sys.stdout.isatty():
        yield _Watcher(run, None)
        return
    columns = (MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"), TimeRemainingColumn())
    with Bar(*columns) as bar:
        yield _Watcher(run, bar)


class _Watcher:
    def __init__(self, run: Run, bar: Bar | None) -> None:
        self.bar, self.updates, self.last_return = bar, run.protocol.updates, ""
        self.task = bar.add_task("starting", total=self.updates) if bar else None
        self.began = time.monotonic()

    def trained(self, update: int, metrics: dict[str, float]) -> None:
        rate = update / (time.monotonic() - self.began)
        losses = "  ".join(f"{name} {metrics[name]:.3g}" for name in SHOWN if name in metrics)
        text = f"{rate:.0f} updates/s  {losses}{self.last_return}"
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=update, description=text)
        else:
            left = (self.updates - update) / rate
            print(f"update {update:,} of {self.updates:,}  {text}  {left:.0f} s left", flush=True)

    def evaluated(self, update: int, return_mean: float) -> None:
        self.last_return = f"  return {return_mean:.1f}"
        if not self.bar:
            print(f"update {update:,}: mean return {return_mean:.1f}", flush=True)
