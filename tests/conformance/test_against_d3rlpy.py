"""Our d3rlpy dialect and d3rlpy itself: the same numbers from the same weights, batches and noise."""

from __future__ import annotations

import pytest
import torch

from cqlbench.conformance.against_d3rlpy import (
    CASES,
    LOSS_LIMIT,
    PARAMETER_LIMIT,
    UPDATES,
    Twins,
    compare,
    random_batches,
)

every_case = pytest.mark.parametrize("case", CASES)
TERMS = {
    "critic loss",
    "conservative loss",
    "actor loss",
    "temperature",
    "temperature loss",
    "Lagrange multiplier",
    "Lagrange loss",
}


@every_case
def test_the_losses_agree_at_once(case):
    agreements, _ = compare(case)
    fixed = {"Lagrange loss"} if case == "fixed alpha" else set()
    assert {agreement.term for agreement in agreements} == TERMS - fixed
    assert [agreement for agreement in agreements if agreement.relative_difference > LOSS_LIMIT] == []


@every_case
def test_the_parameters_agree_after_many_updates(case):
    assert UPDATES == 100
    _, parameters = compare(case)
    assert parameters <= PARAMETER_LIMIT


def test_the_limits_are_those_promised():
    assert LOSS_LIMIT == 1e-5 and PARAMETER_LIMIT == 1e-4


def test_both_sides_learn_and_their_multipliers_move():
    twins = Twins(1)
    before = [tensor.clone() for tensor in twins.their_parameters()]
    for batch in random_batches(3, 32):
        twins.update(batch)
    assert all(slope != 0 for pair in twins.slopes.values() for slopes in pair for slope in slopes)
    for was, ours, theirs in zip(before, twins.our_parameters(), twins.their_parameters(), strict=True):
        assert not torch.equal(was, theirs) and not torch.equal(was, ours)


@pytest.mark.parametrize(
    "setting, value, term",
    [
        ("importance_weights", False, "conservative loss"),
        ("threshold_of", "weighted_gap", "conservative loss"),
        ("multipliers_first", "none", "actor loss"),
        ("temperature_loss_of", "log_temperature", "temperature loss"),
    ],
)
def test_one_choice_apart_is_seen(setting, value, term):
    """Settings of ours that d3rlpy does not have: what agrees above would not, were the dialect's choice another."""
    twins = Twins(1, **{setting: value})
    _, second = [twins.update(batch) for batch in random_batches(2, 32)]
    assert max(agreement.relative_difference for agreement in second if agreement.term == term) > LOSS_LIMIT
