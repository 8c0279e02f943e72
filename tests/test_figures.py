from __future__ import annotations

import re

import pytest
from synthetic_runs import make_results, make_suite

from cqlbench import statistics, style
from cqlbench.figures import SUFFIXES, draw_figures, figure_names
from cqlbench.scores import RUNS, SCORES, VALUES, collect_runs, collect_scores, collect_values, write_table


def make_tables(folder, filled=True):
    suite = make_suite(folder)
    if filled:
        make_results(suite, folder)
    for name, collect in ((SCORES, collect_scores), (RUNS, collect_runs), (VALUES, collect_values)):
        write_table(collect(suite, folder), folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(statistics, "REPETITIONS", 50)
        statistics.write_statistics(folder)
    return suite


def test_the_figures_are_those_foretold_and_the_same_bytes_twice(tmp_path):
    suite = make_tables(tmp_path)
    draw_figures(tmp_path)
    expected = {f"{name}.{suffix}" for name in figure_names(suite.axes) for suffix in SUFFIXES}
    first = {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()}
    assert set(first) == expected
    draw_figures(tmp_path)
    assert {path.name: path.read_bytes() for path in (tmp_path / "figures").iterdir()} == first
    assert not re.search(rb"<dc:date>", first["scores.svg"])


def test_a_suite_without_a_finished_run_has_the_same_figures(tmp_path):
    suite = make_tables(tmp_path, filled=False)
    draw_figures(tmp_path)
    found = {path.name for path in (tmp_path / "figures").iterdir()}
    assert found == {f"{name}.{suffix}" for name in figure_names(suite.axes) for suffix in SUFFIXES}


def test_names_need_no_order():
    assert figure_names(["b", "a"])[-2:] == ["sweep-a", "sweep-b"]
    assert figure_names([]) == figure_names(["a"])[:-1]


def test_looks_do_not_depend_on_the_company():
    looks = {(style.colour(family), style.marker(family)) for family in style.KNOWN}
    assert len(looks) == len(style.KNOWN)
    assert style.colour("my-method") == style.colour("my-method") != style.colour("cql")
    assert style.ordered(["zeta", "bc", "alpha", "cql"]) == ["cql", "bc", "alpha", "zeta"]
    assert style.label("d3rlpy-cql cql_alpha=10", "d3rlpy-cql") == "d3rlpy CQL, cql_alpha = 10"
