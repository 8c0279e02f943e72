"""Trainings at once beside one alone."""

import psutil
import pytest

from cqlbench.bench.processes import compare_processes
from cqlbench.errors import UserError


# With one core the command refuses two processes: there is no "at once" to measure.
@pytest.mark.skipif((psutil.cpu_count() or 1) < 2, reason="needs two cores")
def test_two_at_once_beside_one():
    rounds = []
    training, gemm = (measured := compare_processes(8, 2, 2, 0, lambda: rounds.append(1))).rows
    assert len(rounds) == 2
    assert (training.work, gemm.work, training.unit, gemm.unit) == ("training", "gemm", "updates/s", "GFLOP/s")
    for row in (training, gemm):
        assert row.processes == 2
        assert row.rate_single > 0
        assert 0 < row.efficiency_low <= row.efficiency_median <= row.efficiency_high
    assert measured.verdict.bound == 0.85


def test_more_processes_than_cores_are_refused():
    with pytest.raises(UserError, match="cores"):
        compare_processes(8, 10_000, 2, 0, lambda: None)
