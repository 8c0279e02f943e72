"""Draws, their verdicts, figures and page, through the commands."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from cqlbench.cli import app
from cqlbench.errors import UserError
from cqlbench.theory import experiments
from cqlbench.theory.experiments import DELTA, DRAWN, DRAWN_FAMILIES, EXPERIMENTS, draw, rows_of
from cqlbench.theory.statements import STATEMENTS
from cqlbench.theory.theorems import HELD, NOT_MET, VIOLATED
from cqlbench.theory.verdicts import clopper_pearson, judge

DRAWS = 6


def call(*words: object) -> str:
    result = CliRunner().invoke(app, ["theory", *map(str, words)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every experiment's table and figure of a few draws, the verdicts and the page."""
    folder = tmp_path_factory.mktemp("theory")
    for experiment in EXPERIMENTS:
        call("run", experiment, "--draws", DRAWS, "--out", folder)
        call("figure", experiment, folder)
    call("verdicts", folder)
    call("report", folder)
    return folder


def test_everything_is_made(made):
    names = {path.relative_to(made).as_posix() for path in made.rglob("*") if path.is_file()}
    assert names == {
        "verdicts.csv",
        "report.html",
        *(f"{experiment}.csv" for experiment in EXPERIMENTS),
        *(f"figures/{experiment}.{suffix}" for experiment in EXPERIMENTS for suffix in ("svg", "pdf", "png")),
    }


def test_the_same_draws_give_the_same_bytes(made, tmp_path):
    for experiment in EXPERIMENTS:
        call("run", experiment, "--draws", DRAWS, "--out", tmp_path)
        assert (tmp_path / f"{experiment}.csv").read_bytes() == (made / f"{experiment}.csv").read_bytes()
    call("figure", "theorem-3.1", tmp_path)
    assert (tmp_path / "figures/theorem-3.1.svg").read_bytes() == (made / "figures/theorem-3.1.svg").read_bytes()


def test_fewer_draws_are_the_first_of_more():
    more = list(rows_of("theorem-3.4", 4))
    assert list(rows_of("theorem-3.4", 2)) == more[: len(more) // 2]


def test_the_page_says_each_condition_beside_its_figure(made):
    page = (made / "report.html").read_text()
    words = re.sub(r"\s+", " ", page.replace("&gt;", ">").replace("&#39;", "'"))
    for statement in STATEMENTS.values():
        assert statement.title in words and statement.condition in words
    assert page.count("data:image/svg+xml;base64,") == len(EXPERIMENTS)
    assert not re.search(r'src="(?!data:)', page)


def test_every_experiment_has_its_words():
    assert tuple(STATEMENTS) == EXPERIMENTS


@pytest.mark.parametrize("experiment", DRAWN)
def test_a_row_per_draw_and_dynamics(made, experiment):
    table = pd.read_csv(made / f"{experiment}.csv")
    assert not table.duplicated(["draw", "dynamics"]).any()
    assert sorted(set(table["draw"])) == list(range(DRAWS))
    assert set(table["family"]) == set(DRAWN_FAMILIES)
    assert set(table["verdict"]) <= {HELD, VIOLATED, NOT_MET}


def test_the_smallest_alpha_is_the_smallest(made):
    """Half of it fails, and it is no larger than the theorem's."""
    for experiment in ("theorem-3.1", "theorem-3.2"):
        table = pd.read_csv(made / f"{experiment}.csv")
        needing = table[(table["smallest"] > 0) & np.isfinite(table["threshold"])]
        assert len(needing)
        assert (needing["smallest"] <= needing["threshold"]).all()
        assert not needing["holds_below"].astype(bool).any()


def test_equation_2_is_tighter_than_equation_1_by_alpha_for_every_step(made):
    table = pd.read_csv(made / "theorem-3.2.csv")
    tighter = table["lower_by_equation_1"] - table["lower_by_equation_2"]
    assert tighter.to_numpy() == pytest.approx(1 / (1 - table["discount"]).to_numpy())


def test_theorem_4_leaves_sampling_to_chance(monkeypatch):
    """Where sampling is said to err by nothing, some draws violate it, and none with known dynamics."""
    monkeypatch.setattr(experiments, "any_value_error", lambda mdp, data, delta, span: np.zeros(mdp.rewards.shape))
    table = pd.DataFrame(rows_of("theorem-3.4", 12))
    assert set(table.loc[table["verdict"] == VIOLATED, "dynamics"]) == {"sampled"}


def test_a_chain_never_jumps():
    for number in range(6):
        here = draw("anything", number, ["chain"])
        assert here.data.counts[:, 2].sum() == 0
        assert (here.data.visits > 0).all()


def test_the_unseen_action_is_never_corrected_by_q_learning_and_sinks_without_end(made):
    table = pd.read_csv(made / "unseen-action.csv").set_index(["method", "update"])
    last = table.index.get_level_values("update").max()
    assert (table.loc["Q-learning", "q_jump"] == 2).all()
    assert table.loc[("Q-learning", last), "true"] < table.loc[("Q-learning", last), "behaviour"]
    for method in ("equation 1", "equation 2", "CQL(H)"):
        assert table.loc[(method, last), "true"] > table.loc[(method, last), "behaviour"]
    fall = table.loc["equation 2", "q_jump"]
    # Half a step of paper_alpha / 3 per update, for ever.
    assert fall[last] == pytest.approx(2 - 0.5 * 0.1 / 3 * (last - 1))
    assert fall[last] < table.loc[("CQL(H)", last), "q_jump"] < 2


@pytest.mark.parametrize(
    ("experiment", "families", "words"),
    [("theorem-3.7", DRAWN_FAMILIES, "theorem-3.6"), ("theorem-3.1", ["maze"], "gridworld")],
)
def test_a_mistake_is_told_what_is_allowed(experiment, families, words):
    with pytest.raises(UserError, match=re.escape(words)):
        list(rows_of(experiment, 1, families))


def test_what_is_missing_is_named_with_what_makes_it(tmp_path):
    for words, maker in (
        (["verdicts"], "theory run theorem-3.1 --out"),
        (["report"], "theory verdicts"),
        (["figure", "gridworld"], "theory run gridworld --out"),
    ):
        result = CliRunner().invoke(app, ["theory", *words, str(tmp_path)])
        assert isinstance(result.exception, UserError)
        assert f"`cqlbench {maker} {tmp_path}`" in str(result.exception)


def test_no_figure_of_another_table(made):
    result = CliRunner().invoke(app, ["theory", "figure", "verdicts", str(made)])
    assert isinstance(result.exception, UserError)
    assert "gridworld" in str(result.exception)


class TestVerdicts:
    def table(self, verdicts: list[str], dynamics: str = "sampled") -> pd.DataFrame:
        return pd.DataFrame(
            {
                "dynamics": dynamics,
                "verdict": verdicts,
                "condition": [verdict != NOT_MET for verdict in verdicts],
                "holds": [verdict == HELD for verdict in verdicts],
            }
        )

    def test_violations_are_judged_by_delta(self):
        few, many = int(20 * DELTA), int(20 * DELTA) + 1
        for count, expected in ((few, "holds"), (many, "fails")):
            table = self.table([VIOLATED] * count + [HELD] * (20 - count) + [NOT_MET] * 5)
            (row,) = judge("theorem-3.6", table)
            assert (row["violations"], row["condition_met"], row["draws"]) == (count, 20, 25)
            assert (row["verdict"], row["unmet_failing"], row["unmet_tested"]) == (expected, 5, 5)
            assert row["low"] < count / 20 < row["high"]

    def test_where_nothing_is_left_to_chance_one_violation_is_too_many(self):
        for experiment, dynamics in (("theorem-3.1", "known"), ("theorem-3.5", "sampled")):
            (row,) = judge(experiment, self.table([VIOLATED] + [HELD] * 99, dynamics))
            assert row["verdict"] == "fails"

    def test_without_a_draw_that_meets_the_condition_nothing_is_tested(self):
        (row,) = judge("theorem-3.6", self.table([NOT_MET] * 3))
        assert row["verdict"] == "not tested"
        assert (row["low"], row["high"]) == (0, 1)

    def test_intervals_are_exact(self):
        assert clopper_pearson(0, 10) == (0, pytest.approx(1 - 0.025**0.1))
        assert clopper_pearson(10, 10) == (pytest.approx(0.025**0.1), 1)
        low, high = clopper_pearson(3, 10)
        assert (low, high) == (pytest.approx(0.06674, abs=1e-5), pytest.approx(0.65245, abs=1e-5))
