"""The verdicts keep what they state where that was expected, and are seen not to where it was not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cqlbench import calibration
from cqlbench.scores import read_table
from cqlbench.seeding import generator_for
from cqlbench.statistics.paired import SPREAD_CONFIDENCE

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def table():
    # The standard error of a share of 5 % is then 0.3 points, of one of 50 % 0.8.
    return calibration.calibrate(repetitions=4_000)


@pytest.mark.parametrize("scenario", calibration.SCENARIOS, ids=lambda scenario: scenario.name)
def test_scenarios_are_what_they_say(scenario):
    generator = generator_for("moments", scenario.name)
    method, reference = (draw(generator, (200_000,)) for draw in (scenario.method, scenario.reference))
    assert method.mean() == pytest.approx(0, abs=0.002)
    assert reference.mean() == pytest.approx(0, abs=0.002)
    # The heavy tails' variance has no variance of its own: its estimate wanders.
    assert np.std(method - reference) == pytest.approx(
        scenario.deviation, rel=0.08 if "heavy" in scenario.name else 0.01
    )


def test_normal_scores_get_what_is_stated(table):
    normal = table[table["scenario"].str.startswith("normal")]
    assert len(normal) == 2 * len(calibration.SEEDS) * len(calibration.DATASETS)
    assert (normal["coverage"] - 0.95).abs().max() <= calibration.TOLERANCE
    assert (normal["false_positives"] - 0.05).abs().max() <= calibration.TOLERANCE
    assert (normal["power_found"] - normal["power_stated"]).abs().max() <= calibration.TOLERANCE
    assert (normal["power_too_high"] - 0.5).abs().max() <= 2 * calibration.TOLERANCE
    assert (normal["power_range_holds"] - SPREAD_CONFIDENCE).abs().max() <= calibration.TOLERANCE


def test_no_scenario_expected_to_hold_has_too_many_false_positives(table):
    expected = table[table["expected_within"]]
    assert (expected["false_positives"] <= 0.05 + calibration.TOLERANCE).all()
    assert (expected["coverage"] >= 0.95 - calibration.TOLERANCE).all()


def test_a_collapse_of_one_method_alone_is_not_covered(table):
    alone = table[table["scenario"] == "a fifth of the method alone collapses"]
    assert not alone["coverage_within"].any() and (alone["false_positives"] > 0.08).all()


def test_the_same_repetitions_give_the_same_table():
    assert calibration.calibrate(50).equals(calibration.calibrate(50))


def test_the_page_shows_the_committed_table():
    table = read_table(ROOT / "results/reference/compare/calibration.csv")
    assert calibration.markdown(table) in (ROOT / "docs/comparing.md").read_text()
    assert set(table["scenario"]) == {scenario.name for scenario in calibration.SCENARIOS}
