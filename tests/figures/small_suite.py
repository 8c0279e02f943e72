"""The statistics tables of the synthetic suite of tests/synthetic_runs.py."""

from __future__ import annotations

import pytest
from synthetic_runs import SUITE, make_results, make_suite

from cqlbench import statistics
from cqlbench.scores import (
    EPISODES,
    RUNS,
    SCORES,
    VALUES,
    collect_episodes,
    collect_runs,
    collect_scores,
    collect_values,
    write_table,
)


def make_tables(folder, filled=True, text=SUITE):
    suite = make_suite(folder, text)
    if filled:
        make_results(suite, folder)
    collectors = {SCORES: collect_scores, RUNS: collect_runs, VALUES: collect_values, EPISODES: collect_episodes}
    for name, collect in collectors.items():
        write_table(collect(suite, folder), folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 50)
        statistics.write_statistics(folder)
    return suite
