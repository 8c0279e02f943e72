"""Every planted defect is killed by a check and named by the lab, no check kills the code itself; the page says so."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cqlbench.algorithms import cql
from cqlbench.conformance import checks, table
from cqlbench.conformance.lab.defects import DEFECTS
from cqlbench.conformance.planted.mutants import MUTANTS, NAMED
from cqlbench.conformance.planted.mutation import Mutant, load
from cqlbench.errors import UserError

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"


@pytest.fixture(scope="module")
def rows() -> list[table.Row]:
    return table.rows()


@pytest.mark.parametrize("name", table.COLUMNS)
def test_everything_is_as_it_should_be(name, rows):
    of_table = [row for row in rows if row.table == name]
    assert of_table and [row.cells for row in of_table if not row.passed] == []


def test_the_page_has_these_tables(rows, tmp_path):
    copy = tmp_path / "page.md"
    copy.write_text(PAGE.read_text())
    table.write(rows, copy)
    assert copy.read_text() == PAGE.read_text(), "renew it: cqlbench conformance --all --out docs/conformance.md"


def test_a_page_without_the_marks_is_left_as_it_is(tmp_path):
    page = tmp_path / "page.md"
    with pytest.raises(UserError, match="no such page"):
        table.write([], page)
    page.write_text("mine")
    with pytest.raises(UserError, match="does not hold"):
        table.write([], page)
    assert page.read_text() == "mine"


def test_a_row_that_fails_is_seen():
    """A mutant without effect is neither killed nor named; one whose name is not its defect's is not named."""
    harmless = Mutant("harmless", "losses", "return (values - targets)", "return (targets - values)", "here")
    row = table.row_of(harmless)
    assert not row.passed and row.cells[2:] == ("**none**", "**agrees**")
    halved = next(mutant for mutant in NAMED if mutant.name == "halved TD error")
    row = table.row_of(replace(halved, name="another"))
    assert not row.passed and row.cells[3] == "halved TD error"
    assert "0 of 1" in table.markdown([row])


def test_every_mutant_has_a_name_of_its_own_and_every_defect_of_the_lab_a_mutant():
    names = [mutant.name for mutant in MUTANTS]
    assert len(names) == len(set(names))
    assert {defect.name for defect in DEFECTS} <= {mutant.name for mutant in NAMED}


def test_loading_a_mutant_leaves_the_imported_package_as_it_is():
    mutated = load(MUTANTS[0])
    assert mutated.cql is not cql and mutated.cql.CQL is not cql.CQL
    assert load() == checks.REAL and load().cql is cql
    # The mutant's modules use each other, not the real ones.
    assert mutated.cql.soft_maximum is mutated.losses.soft_maximum
    assert issubclass(mutated.cql.CQL, mutated.sac.SAC)


@pytest.mark.parametrize("old", ["no such text", "self.config.cql_alpha"])
def test_a_mutant_that_no_longer_fits_the_code_is_an_error(old):
    times = inspect.getsource(cql).count(old)
    with pytest.raises(ValueError, match=f"'lost'.* {times} times"):
        load(Mutant("lost", "algorithms.cql", old, "", "here"))
    assert load() == checks.REAL


def test_nan_and_other_shapes_differ():
    zeros = np.zeros(2)
    assert checks.difference(zeros, zeros) == 0
    assert checks.difference(np.array([0.0, np.nan]), zeros) == checks.difference(np.zeros((2, 2)), zeros) == np.inf


def test_a_loss_that_becomes_nan_is_killed():
    broken = Mutant("nan", "losses", "(values - targets).square().mean(1)", "(values - targets).mean(1).log()", "here")
    assert "critic loss" in checks.killers(load(broken))
