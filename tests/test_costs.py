from __future__ import annotations

import json
from pathlib import Path

import pytest

from cqlbench import costs, runs
from cqlbench.errors import UserError
from cqlbench.suites import Suite, load_suite

SMOKE = Path(__file__).parents[1] / "workflow" / "config" / "smoke.yaml"


@pytest.fixture
def suite() -> Suite:
    return load_suite(SMOKE)


def finish(run: runs.Run, results: Path, status: str = "done", seconds: float = 10.0) -> None:
    folder = run.folder(results)
    folder.mkdir(parents=True)
    (folder / runs.CONFIG).write_text(json.dumps(run.description()))
    (folder / runs.TIMING).write_text(json.dumps({"seconds_total": seconds, "cpu": "a machine"}))
    (folder / runs.STATUS).write_text(json.dumps({"status": status, "reason": None}))


def test_price_counts_what_is_done_and_what_failed(suite, tmp_path):
    planned = [run for _, run in suite.runs()]
    finish(planned[0], tmp_path)
    finish(planned[1], tmp_path, "diverged")
    finish(planned[2], tmp_path, "failed")
    price = costs.price(suite, tmp_path)
    assert (price.runs, price.done, price.failed) == (len(planned), 2, 1)
    assert f"suite smoke: {len(planned)} runs (2 done, 1 failed)" in str(price)


def test_price_is_the_time_of_like_runs(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "read_rates", dict)
    planned = [run for _, run in suite.runs()]
    for run in planned:
        if run.seed == suite.seeds[0]:
            finish(run, tmp_path, seconds=90.0)
    to_go = len(planned) - len(planned) // len(suite.seeds)
    assert costs.price(suite, tmp_path).hours == pytest.approx(to_go * 90 / 3600)


def test_a_kind_never_measured_is_named_not_guessed(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "read_rates", dict)
    price = costs.price(suite, tmp_path)
    assert price.hours is None
    assert "unknown: no run of cql with width 32 and depth 2 has been measured" in str(price)


def test_rates_are_medians_of_finished_runs_and_survive_their_table(suite, tmp_path):
    like = [run for _, run in suite.runs() if run.algorithm == "bc"]
    for run, seconds in zip(like, (1.0, 2.0, 40.0), strict=False):
        finish(run, tmp_path, seconds=seconds)
    finish(like[3], tmp_path, "failed", seconds=0.001)
    rates = costs.measure_rates(tmp_path)
    assert list(rates) == [("bc", "32", "2")]
    assert rates[costs.Kind("bc", "32", "2")].updates_per_second == suite.protocol.updates / 2
    costs.write_rates(rates, tmp_path / "rates.csv")
    assert (tmp_path / "rates.csv").read_text().splitlines() == [
        "algorithm,width,depth,updates_per_second,machine",
        f"bc,32,2,{suite.protocol.updates / 2:.1f},a machine",
    ]


def test_a_table_of_no_runs_is_refused(tmp_path):
    with pytest.raises(UserError, match="no finished run"):
        costs.write_rates(costs.measure_rates(tmp_path), tmp_path / "rates.csv")


def test_memory_is_what_the_container_allows(tmp_path):
    limit = tmp_path / "memory.max"
    limit.write_text(f"{2 * 2**30}\n")
    assert costs.free_memory_mb([limit]) <= 2048
    limit.write_text("max\n")
    assert costs.free_memory_mb([limit]) == pytest.approx(costs.free_memory_mb([]), rel=0.2)
    limit.write_text("1\n")
    assert costs.free_memory_mb([limit]) >= costs.run_memory_mb("d3rlpy-cql"), "a small machine runs one at a time"
