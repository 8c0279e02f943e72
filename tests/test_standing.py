"""What `cqlbench status` says is what lies in the run folders."""

from __future__ import annotations

import json
import os
import time

import numpy as np
from synthetic_runs import make_suite, write_run
from typer.testing import CliRunner

from cqlbench import runs
from cqlbench.cli import app
from cqlbench.standing import SILENCE, look_at

SUITE = """
name: standing
datasets: [hopper/medium-v0]
seeds: [0, 1, 2, 3]
protocol: {updates: 1000, evaluate_every: 250, episodes: 5, value_states: 8}
common: {width: 64}
methods: {bc: {}, sac: {}}
"""


def test_every_state_is_seen_and_counted(tmp_path):
    suite = make_suite(tmp_path, SUITE)
    (done, failed, running, silent, *left) = [run for _, run in suite.runs()]
    for run, broken in ((done, False), (failed, True)):
        write_run("bc", run, run.folder(tmp_path), np.random.default_rng(0), broken)
        timing = run.folder(tmp_path) / runs.TIMING
        timing.write_text(json.dumps(json.loads(timing.read_text()) | {"cpu_seconds_job": 900.0}))
    for run, ago in ((running, 5), (silent, SILENCE + 60)):
        folder = run.folder(tmp_path)
        folder.mkdir(parents=True)
        # The last row is not whole yet.
        (folder / f"{runs.TRAIN}.partial").write_text("update,loss\n50,1.0\n100,0.5\n15")
        (folder / runs.LOG).write_text("")
        for path in folder.iterdir():
            os.utime(path, (time.time() - ago,) * 2)
    overview = look_at(suite, tmp_path)
    assert overview.counts() == {"done": 1, "failed": 1, "running": 1, "stopped": 1, "left": len(left)}
    assert [standing.update for standing in overview.standings[2:4]] == [100, 100]
    assert overview.hours_spent == 0.5
    # At the rate of the run that is done, 1,000 updates in 61.5 s; SAC is priced from the package's table.
    printed = CliRunner().invoke(app, ["status", str(tmp_path / "synthetic.yaml"), "--results", str(tmp_path)])
    assert printed.exit_code == 0, printed.output
    lines = printed.stdout.splitlines()
    assert lines[0] == "suite standing: 8 runs: 1 done, 1 failed, 1 running, 1 stopped, 4 left"
    assert lines[1].startswith("CPU hours: 0.5 spent, about ")
    assert any(line.startswith("running: hopper/medium-v0") and "100 of 1,000" in line for line in lines)
    assert any(line.startswith("stopped: ") and "11 min ago" in line for line in lines)
    assert any(line.startswith("failed: ") and "ValueError" in line for line in lines)


def test_a_suite_that_has_not_begun_is_left(tmp_path):
    overview = look_at(make_suite(tmp_path, SUITE), tmp_path)
    assert overview.counts() == {"left": 8} and overview.hours_spent == 0
