from __future__ import annotations

import pytest
from typer.testing import CliRunner

from cqlbench.cli import app
from cqlbench.errors import UserError
from cqlbench.published.facts import published_scores
from cqlbench.published.lookup import find_published


def test_every_row_has_a_source_and_is_a_score():
    table = published_scores()
    assert len(table) == 1032 and table["source"].notna().all()
    assert not table.duplicated(["source", "dataset", "algorithm", "statistic"]).any()
    assert set(table["statistic"]) == {"last", "best"}
    assert table["score_mean"].between(-10, 250).all() and (table["score_std"].dropna() >= 0).all()


def test_the_command_prints_rows_with_sources_and_notes():
    result = CliRunner().invoke(app, ["published", "--dataset", "d4rl:hopper-medium-v2", "--algorithm", "d3rlpy-cql"])
    assert result.exit_code == 0
    rows = [line for line in result.output.splitlines() if line.startswith("hopper-medium-v2")]
    assert len(rows) == 5
    assert "59.1 3.8     4 1,000,000    [1]" in rows[0]
    # A row without spread or seeds has empty cells, and its note is spelled out below.
    assert rows[-1].split() == ["hopper-medium-v2", "CQL", "last", "58.5", "1,000,000", "[4]", "(2)"]
    assert "\n[1] CORL README (corl-team/CORL@eeeeef2)\n" in result.output
    assert "(2) secondary source" in result.output


def test_what_would_be_called_reproduced_is_what_the_verdict_says():
    from cqlbench.published.reproduction import MARGIN, NOT_REPRODUCED, REPRODUCED, half_width, welch_interval

    def verdict(mean: float, seeds: int, deviation: float = 4.1, theirs: int = 5) -> str:
        sample = deviation * (theirs / (theirs - 1)) ** 0.5
        low, high = welch_interval(mean / 100, sample / 100, seeds, 0.6, sample / 100, theirs)
        if low > -MARGIN and high < MARGIN:
            return REPRODUCED
        return NOT_REPRODUCED if low > MARGIN or high < -MARGIN else ""

    half = 100 * half_width(0.041, 5, 30)
    assert verdict(60 + 5 - half - 0.01, 30) == verdict(60 - 5 + half + 0.01, 30) == REPRODUCED
    assert verdict(60 + 5 - half + 0.01, 30) == verdict(60 + 5 + half - 0.01, 30) == ""
    assert verdict(60 + 5 + half + 0.01, 30) == verdict(60 - 5 - half - 0.01, 30) == NOT_REPRODUCED


def test_with_seeds_the_command_says_what_to_expect():
    words = ["published", "--dataset", "hopper-medium-v2", "--algorithm", "CQL"]
    result = CliRunner().invoke(app, [*words, "--seeds", "1000000"])
    rows = [line for line in result.output.splitlines() if line.startswith("hopper-medium-v2")]
    # Four seeds that spread so leave an interval wider than the margin, however many ours are.
    assert "never" in rows[0] and "below 49.0, above 69.2" in rows[0]
    assert not any("never" in row or "below" in row for row in (rows[1], *rows[3:]))
    assert CliRunner().invoke(app, [*words, "--seeds", "1"]).exit_code == 2


def test_all_of_them():
    result = CliRunner().invoke(app, ["published"])
    assert result.exit_code == 0 and result.output.count("\n") > 1032


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"dataset": "hopper/medium-v0"}, "there are hopper-medium-v0, hopper-medium-v2.$"),
        ({"dataset": "no-such"}, "there are ant-medium-expert-v0, .*walker2d-random-v0"),
        ({"dataset": "pen-human-v1", "algorithm": "sac"}, "known on pen-human-v1; there are 10% BC, AWAC, "),
        ({"algorithm": "mine"}, "--algorithm mine: no score of it is known; there are .*CQL"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(asked, said):
    with pytest.raises(UserError, match=said):
        find_published(**asked)
