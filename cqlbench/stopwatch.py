"""What a process spends on each kind of work, by the wall clock and in CPU time."""

from __future__ import annotations

import os
import sys
import time


class Stopwatch:
    """Adds up this process's seconds by kind of work; those before it was made count as `before`.

    CPU seconds are those of all threads, in user and in system mode, without child processes.
    """

    def __init__(self, before: str) -> None:
        self.seconds = {before: process_age()}
        self.cpu_seconds = {before: time.process_time()}
        self.last = time.perf_counter(), time.process_time()

    def lap(self, work: str) -> None:
        """What has passed since the lap before was spent on `work`."""
        wall, cpu = time.perf_counter(), time.process_time()
        self.seconds[work] = self.seconds.get(work, 0.0) + wall - self.last[0]
        self.cpu_seconds[work] = self.cpu_seconds.get(work, 0.0) + cpu - self.last[1]
        self.last = wall, cpu

    def add(self, timings: dict[str, float]) -> None:
        """Counts what `timings` of another process says was spent before this one."""
        for key, spent in timings.items():
            unit, _, work = key.rpartition("seconds_")
            times = self.cpu_seconds if unit else self.seconds
            times[work] = times.get(work, 0.0) + spent

    def timings(self) -> dict[str, float]:
        """`seconds_<work>` and `cpu_seconds_<work>` of each kind of work, in the order of their first laps."""
        return {
            f"{unit}_{work}": spent
            for unit, times in (("seconds", self.seconds), ("cpu_seconds", self.cpu_seconds))
            for work, spent in times.items()
        }


def process_age() -> float:
    """Wall-clock seconds since this process was started; off Linux its CPU time, which is nearly that of an import."""
    if sys.platform != "linux":
        return time.process_time()
    with open("/proc/self/stat") as file:
        # Field 22, counted from the end of the program's name, which may hold blanks. psutil's is up to a second off.
        started = int(file.read().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
