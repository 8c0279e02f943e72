"""A suite that is killed with all its children: nothing done is redone, nothing half-done is believed."""

from __future__ import annotations

import os
import signal
import time

import pytest
from real_suites import finished, prepare, run_through, start

SUITE = {
    "name": "interrupted",
    "datasets": ["pendulum/medium-v0"],
    "seeds": [0, 1, 2],
    "protocol": {"updates": 400, "evaluate_every": 100, "episodes": 2, "value_states": 4},
    "common": {"width": 8, "batch_size": 32},
    "methods": {"bc": {}, "cql": {"cql_alpha": 1}},
}
# Every table that does not hold times.
TABLES = ("scores.csv", "values.csv", "training.csv", "episodes.csv", "statistics/finals.csv", "statistics/table.csv")


@pytest.mark.faults
@pytest.mark.parametrize("kills", [1, 4])
def test_a_killed_suite_goes_on(results, tmp_path, kills, kill_table):
    whole, killed = (prepare(tmp_path / name, SUITE, results) for name in ("whole", "killed"))
    run_through(whole, "--cores", 2)
    known: dict[str, tuple[int, ...]] = {}
    for number in range(kills):
        suite = start(killed, "--cores", 2)
        until = time.monotonic() + 120
        # Some runs done, some going on.
        while not finished(killed).keys() - known.keys() and time.monotonic() < until:
            time.sleep(0.05)
        time.sleep(0.3 * number)
        os.killpg(suite.pid, signal.SIGKILL)
        suite.communicate()
        # Snakemake may have taken away the status of one that it had not heard of yet; that run will be known again.
        now = finished(killed)
        assert all(now.get(run, when) == when for run, when in known.items()), "a run has been done again"
        known |= now
        # What to do about the lock is said by Snakemake itself.
        locked = start(killed, "--cores", 2)
        printed, _ = locked.communicate()
        assert locked.returncode != 0 and "--unlock" in printed, printed
        run_through(killed, "--unlock")
    run_through(killed, "--cores", 2)
    assert known.items() <= finished(killed).items(), "a run that was done has been done again"
    for table in TABLES:
        ours, theirs = (folder / "results/suites/interrupted" / table for folder in (killed, whole))
        assert ours.read_bytes() == theirs.read_bytes(), table
    assert (killed / "results/suites/interrupted/report.html").is_file()
    kill_table(fault="killed suite", method="snakemake and all its children", times=kills)
