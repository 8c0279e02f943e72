"""Each second is counted once, as the work it was spent on."""

import subprocess
import sys
import time

import pytest

from cqlbench.stopwatch import Stopwatch


def test_waiting_takes_the_wall_clock_and_no_cpu():
    stopwatch = Stopwatch(before="imports")
    time.sleep(0.2)
    stopwatch.lap("waiting")
    while time.process_time() < stopwatch.last[1] + 0.1:
        pass
    stopwatch.lap("counting")
    time.sleep(0.1)
    stopwatch.lap("waiting")
    timings = stopwatch.timings()
    assert timings["seconds_waiting"] >= 0.3 and timings["cpu_seconds_waiting"] < 0.05
    assert 0.1 <= timings["cpu_seconds_counting"] <= timings["seconds_counting"] + 0.01
    assert timings["cpu_seconds_imports"] + timings["cpu_seconds_counting"] <= time.process_time()


def test_what_came_before_begins_with_the_process():
    code = "import time; time.sleep(0.5); from cqlbench.stopwatch import Stopwatch; print(Stopwatch('imports').seconds)"
    began = time.perf_counter()
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seconds = float(printed.split()[-1].rstrip("}\n"))
    if sys.platform == "linux":
        assert 0.5 <= seconds <= time.perf_counter() - began + 0.02
    else:
        assert seconds == pytest.approx(0.1, abs=0.1)
