"""Do the verdicts of a comparison hold what they state? Simulated seed scores of which the truth is known.

Every scenario, and whether its numbers were expected within TOLERANCE of what is stated, was written down before the
first simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import numpy as np
import pandas as pd

from cqlbench.seeding import generator_for
from cqlbench.statistics import CONFIDENCE
from cqlbench.statistics.paired import GAIN, holm, likely_spreads, paired_test, power

CALIBRATION = "calibration.csv"
SEEDS = (3, 5, 10)
DATASETS = (1, 4)
REPETITIONS = 20_000
TOLERANCE = 0.02
# The standard deviation over seeds of a method's scores, five points.
SPREAD = 0.05
# How often a run collapses in the scenarios where runs do, and by how much: 40 points.
COLLAPSE_RATE, COLLAPSE = 0.2, 0.40

Draw = Callable[[np.random.Generator, tuple[int, ...]], np.ndarray]


@dataclass(frozen=True)
class Scenario:
    """Seed scores of a method and of its reference, each with mean zero, and the spread of their difference.

    `calibrated`: whether coverage and false positives were expected within TOLERANCE.
    """

    name: str
    method: Draw
    reference: Draw
    deviation: float
    calibrated: bool


def _normal(spread: float) -> Draw:
    return lambda generator, shape: spread * generator.standard_normal(shape)


def _uniform(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return SPREAD * generator.uniform(-(3**0.5), 3**0.5, shape)


def _heavy(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Student's t with three degrees of freedom, whose variance is three."""
    return SPREAD * generator.standard_t(3, shape) / 3**0.5


def _skewed(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """An exponential tail downwards: most seeds near the best, some far below."""
    return SPREAD * (1 - generator.exponential(size=shape))


def _collapsing(generator: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Normal, but that some runs lose COLLAPSE."""
    fallen = generator.random(shape) < COLLAPSE_RATE
    return _normal(SPREAD)(generator, shape) - COLLAPSE * fallen + COLLAPSE * COLLAPSE_RATE


_COLLAPSING_VARIANCE = SPREAD**2 + COLLAPSE**2 * COLLAPSE_RATE * (1 - COLLAPSE_RATE)
_TIGHT = 0.01
SCENARIOS = (
    Scenario("normal", _normal(SPREAD), _normal(SPREAD), 2**0.5 * SPREAD, True),
    Scenario("normal, spreads of 8 and 2 points", _normal(0.08), _normal(0.02), (0.08**2 + 0.02**2) ** 0.5, True),
    Scenario("uniform", _uniform, _uniform, 2**0.5 * SPREAD, True),
    Scenario("heavy tails (t, 3 degrees)", _heavy, _heavy, 2**0.5 * SPREAD, True),
    Scenario("both skewed downwards", _skewed, _skewed, 2**0.5 * SPREAD, True),
    Scenario(
        "the method alone skewed, the reference within 1 point",
        _skewed,
        _normal(_TIGHT),
        (SPREAD**2 + _TIGHT**2) ** 0.5,
        False,
    ),
    Scenario("a fifth of both collapses", _collapsing, _collapsing, (2 * _COLLAPSING_VARIANCE) ** 0.5, False),
    Scenario(
        "a fifth of the method alone collapses",
        _collapsing,
        _normal(SPREAD),
        (_COLLAPSING_VARIANCE + SPREAD**2) ** 0.5,
        False,
    ),
)


def calibrate(repetitions: int = REPETITIONS) -> pd.DataFrame:
    """One row per scenario, number of seeds and number of datasets compared at once.

    `coverage`: share of 95 % intervals that hold the true difference. `false_positives`: share of comparisons with any
    verdict but `no evidence either way` while no dataset has a difference. `power_stated`: what `power` says for a true
    GAIN on one dataset, given the scenario's true spread; `power_found`: share of verdicts `better` there;
    `wrong_way`: share of verdicts `worse`. Whoever compares does not know the true spread: `power_too_high` is how
    often the power they are told is above `power_stated` (half of the time), `power_range_holds` how often the range
    they are told holds it (SPREAD_CONFIDENCE).
    """
    rows = []
    for scenario, seeds, datasets in product(SCENARIOS, SEEDS, DATASETS):
        generator = generator_for("calibration", scenario.name, seeds, datasets)
        shape = (repetitions, datasets, seeds)
        differences = scenario.method(generator, shape) - scenario.reference(generator, shape)
        null = paired_test(differences)
        differences[:, 0] += GAIN
        gained = paired_test(differences)
        decided = holm(gained.p)[:, 0] < 1 - CONFIDENCE
        low, middle, high = likely_spreads(seeds, gained.deviation[:, 0])
        coverage = ((null.low <= 0) & (null.high >= 0)).mean()
        false_positives = (holm(null.p) < 1 - CONFIDENCE).any(-1).mean()
        stated = power(seeds, GAIN, scenario.deviation, datasets)
        found = (decided & (gained.mean[:, 0] > 0)).mean()
        rows.append(
            {
                "scenario": scenario.name,
                "seeds": seeds,
                "datasets": datasets,
                "repetitions": repetitions,
                "coverage": coverage,
                "false_positives": false_positives,
                "expected_within": scenario.calibrated,
                "coverage_within": abs(coverage - CONFIDENCE) <= TOLERANCE,
                "false_positives_within": abs(false_positives - (1 - CONFIDENCE)) <= TOLERANCE,
                "power_stated": stated,
                "power_found": found,
                "power_within": abs(found - stated) <= TOLERANCE,
                "wrong_way": (decided & (gained.mean[:, 0] < 0)).mean(),
                "power_too_high": (middle < scenario.deviation).mean(),
                "power_range_holds": ((low <= scenario.deviation) & (scenario.deviation <= high)).mean(),
            }
        )
    return pd.DataFrame(rows)


def markdown(table: pd.DataFrame) -> str:
    """The table for people, in percent: a row per scenario and number of seeds; bold is off by more than TOLERANCE."""
    alone, several = (table[table["datasets"] == count].set_index(["scenario", "seeds"]) for count in DATASETS)
    lines = [
        "| seed scores | seeds | coverage | false positives "
        f"| on {DATASETS[1]} datasets | +{100 * GAIN:g} points found | stated |",
        "|" + " --- |" * 7,
    ]
    for key in alone.index:
        one, four = alone.loc[key], several.loc[key]
        cells = [
            _share(one["coverage"], one["coverage_within"]),
            _share(one["false_positives"], one["false_positives_within"]),
            _share(four["false_positives"], four["false_positives_within"]),
            _share(one["power_found"], one["power_within"]),
            _share(one["power_stated"], True),
        ]
        lines.append("| " + " | ".join([key[0], str(key[1]), *cells]) + " |")
    return "\n".join(lines) + "\n"


def _share(value: float, within: bool) -> str:
    return f"{100 * value:.1f}" if within else f"**{100 * value:.1f}**"
