"""Every planted defect is killed by a check, and none of the checks kills the code itself."""

from __future__ import annotations

import dataclasses
import inspect

import pytest

from cqlbench.algorithms import cql
from cqlbench.conformance import checks
from cqlbench.conformance.mutants import MUTANTS
from cqlbench.conformance.mutation import Mutant, load

by_name = pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)


@pytest.mark.parametrize("check", checks.CHECKS, ids=lambda check: check.name)
def test_the_real_code_passes(check):
    assert check.measure(checks.REAL) <= check.limit


@by_name
def test_every_mutant_is_killed_by_a_number_and_not_only_by_an_error(mutant):
    code = load(mutant)
    assert any(differs(check, code) for check in checks.CHECKS)


def differs(check, code) -> bool:
    try:
        return check.measure(code) > check.limit
    except Exception:
        return False


def test_names_are_given_once():
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))


def test_loading_a_mutant_leaves_the_imported_package_as_it_is():
    before = {name: getattr(checks.REAL, name) for name in ("policy", "losses", "cql")}
    mutated = load(MUTANTS[0])
    assert mutated.cql is not cql and mutated.cql.CQL is not cql.CQL
    assert load() == checks.REAL
    assert all(getattr(load(), name) is module for name, module in before.items())
    # The mutant's modules use each other, not the real ones.
    assert mutated.cql.soft_maximum is mutated.losses.soft_maximum
    assert issubclass(mutated.cql.CQL, mutated.sac.SAC)


@pytest.mark.parametrize("old, found", [("no such text", 0), ("self.config.cql_alpha", None)])
def test_a_mutant_that_no_longer_fits_the_code_is_an_error(old, found):
    times = found if found is not None else inspect.getsource(cql).count(old)
    with pytest.raises(ValueError, match=f"'lost'.* {times} times"):
        load(Mutant("lost", "algorithms.cql", old, "", "here"))
    assert load() == checks.REAL


def test_a_code_that_raises_or_answers_nan_does_not_pass():
    check = checks.CHECKS[0]
    for measure in (lambda code: 1 / 0, lambda code: float("nan")):
        assert not dataclasses.replace(check, measure=measure).passes(checks.REAL)
