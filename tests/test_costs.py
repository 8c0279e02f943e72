from __future__ import annotations

import json
from dataclasses import replace
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
    price = costs.price(suite, tmp_path, costs.known_rates(tmp_path))
    assert (price.runs, price.done, price.failed) == (len(planned), 2, 1)
    assert f"suite smoke: {len(planned)} runs (2 done, 1 failed)" in str(price)


def test_price_is_the_time_of_like_runs(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "read_rates", dict)
    planned = [run for _, run in suite.runs()]
    for run in planned:
        if run.seed == suite.seeds[0]:
            finish(run, tmp_path, seconds=90.0)
    to_go = len(planned) - len(planned) // len(suite.seeds)
    assert costs.price(suite, tmp_path, costs.known_rates(tmp_path)).hours == pytest.approx(to_go * 90 / 3600)


def test_a_kind_never_measured_is_named_not_guessed(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "read_rates", dict)
    price = costs.price(suite, tmp_path, costs.known_rates(tmp_path))
    assert price.hours is None
    assert "unknown: no run of cql with width 32 and depth 2 has been measured" in str(price)


def test_what_changes_an_update_is_a_kind_of_its_own(tmp_path):
    settings = [{}, {"backward_actions": 2}, {"networks": "readable"}, {"num_critics": 4}, {"variant": "rho"}]
    for seconds, changed in enumerate(settings, start=1):
        run = runs.make_run("pendulum/medium-v0", "cql", {"width": 8} | changed, runs.Protocol(updates=12), 0)
        finish(run, tmp_path, seconds=float(seconds))
    rates = {kind.algorithm: rate.updates_per_second for kind, rate in costs.measure_rates(tmp_path).items()}
    assert rates == {
        "cql": 12.0, "cql backward_actions=2": 6.0, "cql networks=readable": 4.0, "cql num_critics=4": 3.0,
        "cql variant=rho": 2.4,
    }  # fmt: skip


def test_a_busy_machine_does_not_change_a_price(suite, tmp_path):
    run = next(run for _, run in suite.runs() if run.algorithm == "bc")
    finish(run, tmp_path, seconds=1000.0)
    path = run.folder(tmp_path) / runs.TIMING
    spent = {"cpu_seconds_imports": 9.0, "cpu_seconds_loading": 1.0, "cpu_seconds_training": 2.0}
    spent |= {"cpu_seconds_evaluation": 0.5, "cpu_seconds_job": 20.0}
    path.write_text(json.dumps(json.loads(path.read_text()) | spent))
    (rate,) = costs.measure_rates(tmp_path).values()
    assert rate.updates_per_second == pytest.approx(suite.protocol.updates / 3.5)


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


def test_a_run_on_its_way_has_no_rate_and_stops_nothing(suite, tmp_path):
    run = suite.runs()[0][1]
    finish(run, tmp_path)
    (run.folder(tmp_path) / runs.STATUS).unlink()
    assert costs.measure_rates(tmp_path) == {}
    assert costs.price(suite, tmp_path, costs.known_rates(tmp_path)).done == 0


def test_a_run_of_two_methods_is_priced_once(suite, tmp_path, monkeypatch):
    monkeypatch.setattr(costs, "read_rates", dict)
    twin = replace(suite, methods=(suite.methods[0], replace(suite.methods[0], label="twin", family="twin")))
    planned = list(dict.fromkeys(run for _, run in twin.runs()))
    finish(planned[0], tmp_path, seconds=90.0)
    price = costs.price(twin, tmp_path, costs.known_rates(tmp_path))
    assert (price.runs, price.done) == (len(planned), 1)
    assert price.hours == pytest.approx((len(planned) - 1) * 90 / 3600)


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
    assert costs.free_memory_mb([limit]) >= costs.OTHER_RUN_MB, "a small machine runs one at a time"


def test_memory_grows_with_what_a_batch_meets():
    def memory(algorithm: str, **settings: int) -> int:
        return costs.run_memory_mb(runs.make_run("hopper/medium-v0", algorithm, settings, runs.Protocol(), 0))

    assert memory("sac", width=1, batch_size=1) == 701
    assert memory("d3rlpy-sac", width=1, batch_size=1) == 901
    # 2 critics x 1024 states x (3 x 10 + 1) actions x 256 units x 3 layers x 2 ways x 4 bytes
    assert memory("cql", width=256, depth=2, num_action_samples=10, batch_size=1024) == 700 + 372
    assert memory("sac", width=256, depth=2, batch_size=1024) == 700 + 12
    for setting in ({"width": 512}, {"depth": 4}, {"num_action_samples": 20}, {"batch_size": 512}):
        assert memory("cql", **setting) > memory("cql")


class TestMinutes:
    @pytest.fixture
    def run(self, suite) -> runs.Run:
        return next(run for _, run in suite.runs() if run.algorithm == "bc")

    def test_a_cluster_gives_more_than_what_was_measured(self, run, tmp_path):
        finish(run, tmp_path, seconds=1000.0)
        granted = 60 * (costs.run_minutes(run, costs.measure_rates(tmp_path), None) - costs.SETTING_UP_MINUTES)
        assert costs.SLOWER * 1000 <= granted < costs.SLOWER * 1000 + 60

    def test_a_run_comes_to_its_own_limit_first(self, run, tmp_path):
        finish(run, tmp_path, seconds=1000.0)
        rates = costs.measure_rates(tmp_path)
        assert costs.run_minutes(run, rates, 2.5) == costs.run_minutes(run, {}, 2.5) == 3 + costs.SETTING_UP_MINUTES

    def test_of_a_kind_never_measured_it_is_a_fixed_one(self, run):
        assert costs.run_minutes(run, {}, None) == costs.UNMEASURED_MINUTES
