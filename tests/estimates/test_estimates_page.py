"""docs/estimates.md quotes the committed tables, which are what the package makes of the rows of each run."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import pandas as pd
import pytest

from cqlbench.datasets import load
from cqlbench.estimates.expectations import judge
from cqlbench.estimates.printed import markdown
from cqlbench.estimates.tables import summarise
from cqlbench.scores import read_table

TOP = Path(__file__).parents[2]
REFERENCE = TOP / "results" / "reference" / "estimates"
PAGE = (TOP / "docs" / "estimates.md").read_text()
# Other people's data, which lie beside a checkout where they lie at all.
LOGS = {
    "dataset_hash": TOP.parent / "shared" / "data" / "neorl2" / "DMSD-high-100000-train.npz",
    "held_out_hash": TOP.parent / "shared" / "data" / "neorl2" / "DMSD-high-20000-val.npz",
}


@pytest.mark.parametrize("name", ["hopper", "dmsd"])
def test_the_page_quotes_the_tables_as_committed(name):
    folder = REFERENCE / name
    assert (folder / "estimates.md").read_text().strip() in PAGE
    summary = summarise(read_table(folder / "estimates.csv"))
    pd.testing.assert_frame_equal(summary, read_table(folder / "statistics" / "estimates.csv"))
    assert markdown(summary) + "\n" == (folder / "estimates.md").read_text()


def test_the_page_gives_every_verdict():
    verdicts = read_table(REFERENCE / "hopper" / "estimate-expectations.csv")
    pd.testing.assert_frame_equal(verdicts, judge(read_table(REFERENCE / "hopper" / "estimates.csv")))
    for row in verdicts.itertuples():
        cells = [
            row.number,
            row.expectation,
            row.dataset,
            row.family,
            f"**{row.verdict}**, {row.holding} of {row.cases}",
        ]
        assert f"| {' | '.join(map(str, cells))} |" in PAGE
    assert not (verdicts["verdict"] == "undecided").any()


def test_what_was_expected_of_logs_is_told_as_it_came():
    values = read_table(REFERENCE / "dmsd" / "estimates.csv").set_index(["family", "seed"])["fqe_value"]
    cql, bc = values["cql"].mean(), values["bc"].mean()
    assert f"CQL {cql:.0f}, BC {bc:.0f}: **{'held' if cql > bc else 'failed'}**" in PAGE
    holding = sum(values["sac", seed] > 10 * values["bc", seed] for seed in values["sac"].index)
    assert f"**{'held' if holding == 3 else 'failed'}**, {holding} of 3 seeds" in PAGE
    with (resources.files("cqlbench.published") / "published_scores.csv").open() as file:
        published = pd.read_csv(file).query("dataset == 'neorl2-DMSD'").set_index("algorithm")
    scores, updates = published["score_mean"], published["num_updates"]
    assert f"scores of {scores['CQL']} for CQL and {scores['BC']} for BC" in PAGE
    assert f"after {updates['CQL']:,.0f} updates" in PAGE


@pytest.mark.parametrize("column", LOGS)
def test_the_logs_are_those_of_the_table(column):
    if not LOGS[column].is_file():
        pytest.skip(f"{LOGS[column].name} is not here")
    table = read_table(REFERENCE / "dmsd" / "estimates.csv")
    dataset = load(f"file:{LOGS[column]}")
    assert table[column].eq(dataset.content_hash).all()
    # The share of steps whose second action is at a limit: one of twenty, and more than half.
    share = (abs(dataset.actions[:, 1]) == 1).mean()
    assert share < 0.06 if column == "dataset_hash" else share > 0.5
    said = f"{len(dataset.episode_lengths):,} episodes of {dataset.episode_lengths[0]} steps, mean return"
    assert f"{said} {dataset.episode_returns.mean():.2f}" in PAGE.replace("\n", " ")
