"""Made-up runs are runs to the commands that read them, and known growths get their verdicts."""

from pathlib import Path

import pytest

from cqlbench import runs
from cqlbench.bench import many_runs
from cqlbench.bench.many_runs import Row, markdown, measure_many_runs, read_rows, verdicts, write_runs
from cqlbench.errors import UserError
from cqlbench.scores import RUNS, collect_tables
from cqlbench.standing import look_at
from cqlbench.suites import load_suite

TOP = Path(__file__).parents[2]
SMALL = many_runs.SUITE | {
    "datasets": ["pendulum/medium-v0"],
    "methods": {"cql": {"cql_alpha": [1, 10]}, "bc": {}},
    "headline": {"cql_alpha": 10},
}


def test_made_up_runs_are_read_as_runs_are(tmp_path, monkeypatch):
    monkeypatch.setattr(many_runs, "SUITE", SMALL)
    monkeypatch.setattr(many_runs, "FAILED_ONE_IN", 3)
    monkeypatch.setattr(many_runs, "DIVERGED_ONE_IN", 3)
    suite_file = many_runs._write_suite(tmp_path, 10)
    write_runs(suite_file, tmp_path)
    suite = load_suite(suite_file)
    tables = collect_tables(suite, tmp_path)
    counts = tables[RUNS]["status"].value_counts().to_dict()
    assert sum(counts.values()) == 30 and set(counts) == {runs.DONE, runs.DIVERGED, runs.FAILED}
    assert look_at(suite, tmp_path).counts() == counts
    assert all(not table.empty for table in tables.values())


@pytest.mark.thorough
def test_every_step_is_measured(monkeypatch):
    monkeypatch.setattr(many_runs, "SUITE", SMALL)
    monkeypatch.chdir(TOP)
    rows = measure_many_runs([3, 6], advance=int)
    assert [(row.runs, row.step) for row in rows] == [(size, step) for size in (3, 6) for step in many_runs.steps(TOP)]
    assert all(row.seconds > 0 and row.peak_memory_mb > 10 for row in rows)
    assert {row.step for row in rows if row.written_mb} == {"scores", "statistics", "figures", "costs", "report"}


@pytest.mark.parametrize(("sizes", "reason"), [([1500], "1500 is not allowed"), ([1000], "no Snakefile here")])
def test_what_cannot_be_measured_is_said(tmp_path, monkeypatch, sizes, reason):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=reason):
        measure_many_runs(sizes, advance=int)


def test_growths_and_bounds_get_their_verdicts():
    growing = {"scores": lambda n: n / 100, "report": lambda n: (n / 1_000) ** 2}
    rows = [Row(n, step, took(n), 300, n / 1_000) for n in (100, 1_000, 10_000) for step, took in growing.items()]
    scores, report, _, seconds, size = verdicts(rows)
    assert "runs^1.00, linear or better" in scores and "runs^2.00, worse than linear" in report
    assert seconds.endswith("with 10,000 runs: 200.0, at most 120: missed") and size.endswith("at most 20: met")


def test_the_page_shows_the_committed_measurement():
    page = (TOP / "docs" / "scale.md").read_text()
    table = page.partition("<!-- many-runs -->\n")[2].partition("<!-- /many-runs -->")[0]
    assert table == markdown(read_rows(TOP / "results" / "reference" / "bench" / many_runs.TABLE))
