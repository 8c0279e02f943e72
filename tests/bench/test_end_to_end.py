"""Whole commands, in turn."""

import pytest

from cqlbench.bench.end_to_end import compare_commands
from cqlbench.errors import UserError


def test_whole_commands_are_timed_in_pairs(results):
    done = []
    row = compare_commands("pendulum/medium-v0", results, 8, 5, 1, lambda: done.append(1))
    assert len(done) == 2
    assert (row.contender, row.reference, row.hidden, row.updates) == ("cql", "d3rlpy-cql", 8, 5)
    assert row.ratio_median == pytest.approx(row.reference_seconds_median / row.seconds_median)
    # Nothing imports torch, reads a dataset and evaluates in a tenth of a second.
    assert row.seconds_median > 0.1


def test_a_command_that_fails_says_why(tmp_path):
    with pytest.raises(UserError, match="pendulum/medium-v0"):
        compare_commands("pendulum/medium-v0", tmp_path, 8, 5, 1, lambda: None)
