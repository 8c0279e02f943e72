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
