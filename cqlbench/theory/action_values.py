"""Learned Q beside true Q over the action axis, on the linear-quadratic task with one state and one action.

Reads finished runs and asks their critics and policies; see `cqlbench.theory.lqr` for the truth.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from cqlbench import runs
from cqlbench.algorithms.configs import discount_of
from cqlbench.datasets.behaviour import load_behaviour
from cqlbench.datasets.kinds import KINDS, parse_id
from cqlbench.diagnostics import has_value
from cqlbench.environments.controllers import LinearPolicy, optimal_policy
from cqlbench.environments.linear_quadratic import benchmark_problem
from cqlbench.errors import UserError
from cqlbench.records import read_record
from cqlbench.runs import Run
from cqlbench.seeding import seed_for
from cqlbench.suites import Suite
from cqlbench.theory.lqr import Grid, action_value, state_value
from cqlbench.trained import Trained, load_trained

DATASET = "lqr1/medium-v0"
CURVES = "action-values.csv"
PEAKS = "action-value-peaks.csv"
EXPECTATIONS = "action-value-expectations.csv"

STATES = (-0.5, 0.0, 0.5)
ACTIONS = np.linspace(-1, 1, 81)
# Within so many standard deviations of the controller's mean an action is one of the data's.
INSIDE = 3.0
# A policy is known by so many sampled actions per state, so many times over.
SAMPLES, REPEATS = 250, 8
# Where to look at Q of the policy's own actions.
POLICY_SAMPLES = 1000

METHOD_COLUMNS = ["dataset", "method", "family", "headline", "seed"]
CURVE_COLUMNS = [
    *METHOD_COLUMNS, "state", "action", "predicted_value", "true_value", "true_standard_error", "optimal_value",
    "behaviour_value", "behaviour_density",
]  # fmt: skip
PEAK_COLUMNS = [
    *METHOD_COLUMNS, "status", "state", "behaviour_action", "behaviour_std", "peak_action", "peak_predicted",
    "peak_true", "true_peak_action", "policy_action", "policy_predicted", "policy_true", "policy_standard_error",
    "error_inside", "error_outside",
]  # fmt: skip


class Truth(NamedTuple):
    """The value of a sampled policy on the grid, once per repeat, and what its critic's targets add: (R, G) each."""

    grid: Grid
    rewards: np.ndarray
    bonuses: np.ndarray
    discount: float

    def of(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """Q of the task's rewards, (R, B), of states (B, 1) and actions (B, 1)."""
        following = self.rewards @ self.grid.transitions(states, actions).T
        return self.grid.problem.rewards(states, actions) + self.discount * following

    def bonus(self, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
        """What the targets add to it, (B,): nothing for the action itself."""
        return self.discount * (self.bonuses @ self.grid.transitions(states, actions).T).mean(0)


def measure(suite: Suite, results: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The curves over the action axis, and a row per run and state about their peaks and the policy's actions.

    A run that has not ended well, or is missing, has rows with its status and no numbers; a method without a value is
    left out. Raises UserError where the suite has no run on `lqr1/medium-v0`.
    """
    task, kind = parse_id(DATASET)
    if DATASET not in suite.datasets:
        raise UserError(
            f"{suite.name}: has no run on {DATASET}, where the true value is known; use a suite that has, such as "
            "workflow/config/lqr.yaml."
        )
    curves, peaks = [], []
    for method, run in suite.runs():
        if run.dataset != DATASET:
            continue
        about = {
            "dataset": run.dataset,
            "method": method.label,
            "family": method.family,
            "headline": method.headline,
            "seed": run.seed,
        }
        status = _status(run, results)
        if status != "done":
            peaks += [about | {"status": status, "state": state} for state in STATES]
            continue
        trained = load_trained(run.folder(results))
        if not has_value(trained.algorithm):
            continue
        (behaviour,) = KINDS[kind](load_behaviour(task))
        assert isinstance(behaviour, LinearPolicy)
        own_curves, own_peaks = _measure_run(trained, behaviour)
        curves += [about | row for row in own_curves]
        peaks += [about | {"status": status} | row for row in own_peaks]
    return pd.DataFrame(curves, columns=CURVE_COLUMNS), pd.DataFrame(peaks, columns=PEAK_COLUMNS)


def _status(run: Run, results: Path) -> str:
    return read_record(run.folder(results) / runs.STATUS).get("status", "missing")


def _measure_run(trained: Trained, behaviour: LinearPolicy) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    problem = benchmark_problem(1)
    optimum, behaviour_value = (state_value(problem, policy) for policy in (optimal_policy(problem), behaviour))
    truth = _solve(trained)
    actions = ACTIONS[:, None]
    curves, peaks = [], []
    for state in STATES:
        states = np.full_like(actions, state)
        predicted = _predict(trained, truth, states, actions)
        true = truth.of(states, actions)
        centre = float(-behaviour.gain.item() * state)
        distance = np.abs(ACTIONS - centre) / behaviour.std
        density = np.exp(-0.5 * distance**2) / (behaviour.std * math.sqrt(2 * math.pi))
        columns = {
            "action": ACTIONS,
            "predicted_value": predicted,
            "true_value": true.mean(0),
            "true_standard_error": _standard_error(true),
            "optimal_value": action_value(problem, optimum, states, actions),
            "behaviour_value": action_value(problem, behaviour_value, states, actions),
            "behaviour_density": density,
        }
        curves += [
            {"state": state} | dict(zip(columns, map(float, row), strict=True))
            for row in zip(*columns.values(), strict=True)
        ]
        peak, true_peak = int(predicted.argmax()), int(true.mean(0).argmax())
        taken = _sample(trained, np.full((POLICY_SAMPLES, 1), state), "policy")[0]
        at_policy = truth.of(np.full_like(taken, state), taken).mean(1)
        error = np.abs(predicted - true.mean(0))
        peaks.append(
            {
                "state": state,
                "behaviour_action": centre,
                "behaviour_std": behaviour.std,
                "peak_action": ACTIONS[peak],
                "peak_predicted": predicted[peak],
                "peak_true": true.mean(0)[peak],
                "true_peak_action": ACTIONS[true_peak],
                "policy_action": taken.mean(),
                "policy_predicted": _predict(trained, truth, np.full_like(taken, state), taken).mean(),
                "policy_true": at_policy.mean(),
                "policy_standard_error": float(_standard_error(at_policy)),
                "error_inside": error[distance <= INSIDE].mean(),
                "error_outside": error[distance > INSIDE].mean(),
            }
        )
    return curves, peaks


def _solve(trained: Trained) -> Truth:
    """The policy's value by `REPEATS` independent samples of it, under the discount it was trained with."""
    config = trained.run.config
    discount = discount_of(config)
    grid = Grid(benchmark_problem(1))
    rewards, bonuses = [], []
    for repeat in range(REPEATS):
        actions, bonus = _sample(trained, np.repeat(grid.states, SAMPLES, axis=0), f"grid {repeat}")
        shape = (len(grid.states), SAMPLES)
        solved = grid.value(actions.reshape(shape), bonus.reshape(shape) + config.reward_shift, discount)
        rewards.append(solved[0])
        bonuses.append(solved[1])
    return Truth(grid, np.stack(rewards), np.stack(bonuses), discount)


def _sample(trained: Trained, states: np.ndarray, purpose: str) -> tuple[np.ndarray, np.ndarray]:
    """Actions of the stochastic policy (B, 1) and what the targets add for each (B,), in float64."""
    generator = torch.Generator().manual_seed(seed_for("action values", purpose, trained.run.seed))
    algorithm: Any = trained.algorithm  # one that `has_value`
    actions, bonus = algorithm.sample(trained.normaliser.observations(states), generator)
    return np.asarray(actions, np.float64), np.asarray(bonus, np.float64)


def _predict(trained: Trained, truth: Truth, states: np.ndarray, actions: np.ndarray) -> np.ndarray:
    """The smaller critic's Q (B,) as a value of the task's own rewards."""
    config = trained.run.config
    observations = trained.normaliser.observations(states)
    algorithm: Any = trained.algorithm  # one that `has_value`
    critics = np.atleast_2d(algorithm.value(observations, actions.astype(np.float32)))
    added = config.reward_shift + truth.bonus(states, actions)
    return (critics.min(0).astype(np.float64) - added) / config.reward_scale


def _standard_error(repeats: np.ndarray) -> np.ndarray:
    return repeats.std(0, ddof=1) / math.sqrt(len(repeats))


def _outside(rows: pd.DataFrame) -> pd.Series:
    return (rows["peak_action"] - rows["behaviour_action"]).abs() > INSIDE * rows["behaviour_std"]


class Expectation(NamedTuple):
    """What was expected of some methods at some states, for every seed, before the runs (docs/lqr.md)."""

    number: int
    sentence: str
    families: tuple[str, ...]
    states: tuple[float, ...]
    holds: Callable[[pd.DataFrame], pd.Series]


NAIVE, CONSERVATIVE = ("sac", "d3rlpy-sac"), ("cql", "d3rlpy-cql")
DECLARED = (
    Expectation(1, "learned Q peaks outside the data's actions", NAIVE, (-0.5, 0.5), _outside),
    Expectation(
        1,
        "learned Q is above the truth at its peak",
        NAIVE,
        (-0.5, 0.5),
        lambda rows: rows["peak_predicted"] > rows["peak_true"],
    ),
    Expectation(2, "learned Q peaks inside the data's actions", CONSERVATIVE, STATES, lambda rows: ~_outside(rows)),
    Expectation(
        2,
        "learned Q is below the truth over the policy's actions",
        CONSERVATIVE,
        STATES,
        lambda rows: rows["policy_predicted"] < rows["policy_true"],
    ),
    Expectation(
        3,
        "learned Q is nearer to the truth inside the data's actions than outside",
        NAIVE + CONSERVATIVE,
        STATES,
        lambda rows: rows["error_inside"] < rows["error_outside"],
    ),
)


def judge(peaks: pd.DataFrame, seeds: int) -> pd.DataFrame:
    """One row per expectation and headline method: in how many of its cases (state, seed) it holds, and the verdict.

    `held` where it holds in every case, `failed` at the first where it does not, `undecided` where runs are missing.
    """
    rows = []
    done = peaks[peaks["headline"].astype(bool) & (peaks["status"] == "done")]
    for expected in DECLARED:
        for family in expected.families:
            own = done[(done["family"] == family) & done["state"].isin(expected.states)]
            holds = expected.holds(own)
            complete = len(own) == seeds * len(expected.states)
            verdict = "failed" if not holds.all() else "held" if complete else "undecided"
            row = {"number": expected.number, "expectation": expected.sentence, "family": family}
            rows.append(row | {"holding": int(holds.sum()), "cases": len(own), "verdict": verdict})
    return pd.DataFrame(rows)
