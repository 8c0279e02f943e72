"""Estimates of a suite: joined with its methods, over seeds, judged, drawn."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from cqlbench.errors import UserError
from cqlbench.estimates.expectations import DECLARED, judge
from cqlbench.estimates.figure import draw_figure
from cqlbench.estimates.printed import markdown
from cqlbench.estimates.tables import COLUMNS, ESTIMATES, MEASURES, collect, run_table, summarise
from cqlbench.scores import write_table
from cqlbench.suites import Suite, load_suite

SUITE = """
name: invented
datasets: [hopper/medium-v0]
seeds: [0, 1, 2]
methods:
  cql: {cql_alpha: 10}
  sac: {}
  bc: {}
estimates: {}
"""
TRUTH = 200.0
# By seed: the method's own value, and fitted Q evaluation's.
VALUES = {
    "cql": ([60, 70, 80], [210, 190, 300]),
    "sac": ([9e3, 2e4, 7e5], [4e5, math.nan, 301]),
    "bc": ([math.nan] * 3, [239, 161, 200]),
}


@pytest.fixture
def suite(tmp_path: Path) -> Suite:
    (tmp_path / "invented.yaml").write_text(SUITE)
    return load_suite(tmp_path / "invented.yaml")


def write_rows(suite: Suite, folder: Path, **changes) -> None:
    for method, run in suite.runs():
        own, fitted = VALUES[method.family]
        known = {"dataset": run.dataset, "seed": run.seed, "status": "done", "fqe_updates": 10, "true_value": TRUTH}
        row = known | {"predicted_value": own[run.seed], "fqe_value": fitted[run.seed]}
        if (method.family, run.seed) == ("sac", 0):
            row |= changes
        write_table(pd.DataFrame([row], columns=COLUMNS), run_table(folder, run))


def test_a_run_that_failed_at_once_is_told_by_its_place(suite, tmp_path):
    write_rows(suite, tmp_path)
    (_, failed), *_ = suite.runs()
    write_table(pd.DataFrame([{"status": "failed"}], columns=COLUMNS), run_table(tmp_path, failed))
    table = collect(suite, tmp_path).set_index("status")
    assert table.loc["failed", ["dataset", "seed"]].tolist() == ["hopper/medium-v0", 0] and len(table) == 9
    assert summarise(collect(suite, tmp_path)).set_index(["method", "measure"]).loc[("cql", "fqe_value"), "seeds"] == 2


def test_rows_find_their_methods_and_seeds_are_counted(suite, tmp_path):
    write_rows(suite, tmp_path)
    table = collect(suite, tmp_path)
    assert table["method"].tolist() == [name for name in ("bc", "cql", "sac") for _ in range(3)]
    summary = summarise(table).set_index(["method", "measure"])
    assert len(summary) == 3 * len(MEASURES)
    cql = summary.loc["cql", "fqe_value"]
    assert (cql["seeds"], cql["lowest"], cql["highest"]) == (3, 190, 300) and cql["mean"] == pytest.approx(700 / 3)
    assert summary.loc["sac", "fqe_value"]["seeds"] == 2
    none = summary.loc["bc", "predicted_value"]
    assert none["seeds"] == 0 and math.isnan(none["mean"])


def test_tables_that_are_missing_or_unlike_are_refused(suite, tmp_path):
    write_rows(suite, tmp_path, held_out_hash="another")
    with pytest.raises(UserError, match="hopper/medium-v0: its runs were estimated on different held-out data"):
        collect(suite, tmp_path)
    write_rows(suite, tmp_path, status="failed", fqe_updates=None)
    assert len(collect(suite, tmp_path)) == 9
    run_table(tmp_path, suite.runs()[0][1]).unlink()
    with pytest.raises(UserError, match="does not exist. Make it first with `cqlbench estimate`"):
        collect(suite, tmp_path)


def test_an_expectation_holds_for_every_seed_or_fails(suite, tmp_path):
    write_rows(suite, tmp_path)
    verdicts = judge(collect(suite, tmp_path)).set_index(["number", "dataset", "family"])
    assert len(verdicts) == sum(len(one.families) * len(one.datasets) for one in DECLARED)
    medium = {key: row for key, row in verdicts.iterrows() if key[1] == "hopper/medium-v0"}
    seen = {(number, family): (row["holding"], row["verdict"]) for (number, _, family), row in medium.items()}
    assert seen == {
        (1, "bc"): (3, "held"),
        (2, "cql"): (2, "failed"),
        (2, "d3rlpy-cql"): (0, "undecided"),
        (3, "cql"): (3, "held"),
        (3, "d3rlpy-cql"): (0, "undecided"),
        (3, "sac"): (1, "failed"),
        (4, "sac"): (2, "failed"),
    }
    assert (verdicts.loc[(slice(None), "hopper/random-expert-v0"), "verdict"] == "undecided").all()


def test_a_table_names_what_there_is(suite, tmp_path):
    write_rows(suite, tmp_path, fqe_impossible=1)
    lines = markdown(summarise(collect(suite, tmp_path))).splitlines()
    assert "| dataset | method | by its own critic | by fitted Q evaluation | of these impossible | in truth |" in lines
    assert "| hopper/medium-v0 | CQL | 60 to 80 | 190 to 300 | – | 200 |" in lines
    assert "| hopper/medium-v0 | SAC | 9,000 to 7.0e5 | 301 to 4.0e5 | 1 of 1 | 200 |" in lines


def test_the_figure_is_the_same_bytes_twice_and_holds_the_table(suite, tmp_path):
    write_rows(suite, tmp_path)
    write_table(collect(suite, tmp_path), tmp_path / ESTIMATES)
    pictures = []
    for _ in range(2):
        draw_figure(tmp_path)
        pictures.append((tmp_path / "figures" / "estimates.svg").read_bytes())
    assert pictures[0] == pictures[1]
    data = pd.read_csv(tmp_path / "figures" / "estimates.csv")
    assert data["fqe_value"].notna().sum() == 8 and data["true_value"].eq(TRUTH).all()
