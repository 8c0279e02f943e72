from __future__ import annotations

import re
from itertools import combinations

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from synthetic_runs import SUITE, make_results, make_suite

from cqlbench import statistics, style
from cqlbench.algorithms.registry import ALGORITHMS
from cqlbench.figures import SUFFIXES, draw_figures, figure_names
from cqlbench.figures.safety import safety
from cqlbench.figures.score_and_value import score_and_value
from cqlbench.figures.sweeps import sweep
from cqlbench.figures.values import action_gap, off_data
from cqlbench.scores import (
    EPISODES,
    RUNS,
    SCORES,
    VALUES,
    collect_episodes,
    collect_runs,
    collect_scores,
    collect_values,
    read_table,
    write_table,
)

matplotlib.use("Agg")


def make_tables(folder, filled=True, text=SUITE):
    suite = make_suite(folder, text)
    if filled:
        make_results(suite, folder)
    collectors = {SCORES: collect_scores, RUNS: collect_runs, VALUES: collect_values, EPISODES: collect_episodes}
    for name, collect in collectors.items():
        write_table(collect(suite, folder), folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cqlbench.statistics.bootstrap.REPETITIONS", 50)
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
    assert not re.search(rb"<dc:date>", first["score-and-value.svg"])


def test_a_suite_without_a_finished_run_has_the_same_figures(tmp_path):
    suite = make_tables(tmp_path, filled=False)
    draw_figures(tmp_path)
    found = {path.name for path in (tmp_path / "figures").iterdir()}
    assert found == {f"{name}.{suffix}" for name in figure_names(suite.axes) for suffix in SUFFIXES}


def rows_of(folder):
    """The figure's panels as (dataset, "score" or "value") -> {row's label: (dots' positions, words in the row)}."""
    tables = {name: read_table(folder / "statistics" / f"{name}.csv") for name in ("table", "finals", "holes")}
    figure = score_and_value(tables)
    figure.draw_without_rendering()
    rows = {}
    for block in figure.subfigs:
        labels = [label.get_text().replace("\n", ", ") for label in block.axes[0].get_yticklabels()]
        for name, panel in zip(("score", "value"), block.axes, strict=True):
            low, high = panel.get_xlim()
            dots = [line for line in panel.lines if line.get_alpha() == 0.4]
            assert len(dots) == len(labels)
            shown = [[x for x in line.get_xdata() if x == x] for line in dots]
            assert all(low <= x <= high for xs in shown for x in xs)
            words = [""] * len(labels)
            for text in panel.texts:
                words[round(text.get_position()[1] - 0.1)] += text.get_text()
            rows[block.get_suptitle(), name] = dict(zip(labels, zip(shown, words, strict=True), strict=True))
    plt.close(figure)
    return rows


def test_score_and_value_shows_headline_methods_and_names_what_they_lack(tmp_path):
    make_tables(tmp_path)
    rows = rows_of(tmp_path)
    assert set(rows) == {
        (f"hopper/{kind}-v0", part) for kind in ("medium", "random-expert") for part in ("score", "value")
    }
    methods = [
        "CQL, cql_alpha = 10, num_action_samples = 10", "d3rlpy CQL, cql_alpha = 10", "SAC", "BC",
        "own-idea, num_transitions = null",
    ]  # fmt: skip
    assert all(list(panel) == methods for panel in rows.values())
    assert rows["hopper/medium-v0", "score"]["BC"][1] == "missing: seed 2"
    assert rows["hopper/random-expert-v0", "score"]["SAC"][1] == "failed: seed 1"
    assert [len(dots) for dots, _ in rows["hopper/medium-v0", "score"].values()] == [3, 3, 3, 2, 3]
    value = rows["hopper/medium-v0", "value"]
    assert [len(dots) for dots, _ in value.values()] == [3, 3, 3, 0, 0]
    assert [words for _, words in value.values()] == ["", "", "", *["predicts no value"] * 2]
    assert max(value[methods[0]][0]) < 0 < 1e4 < min(value["SAC"][0])
    scores = read_table(tmp_path / "statistics" / "finals.csv").query(
        "method == 'sac' and dataset == 'hopper/medium-v0'"
    )
    assert rows["hopper/medium-v0", "score"]["SAC"][0] == pytest.approx(list(100 * scores["score"]))


def test_score_and_value_of_one_seed_says_that_it_has_no_interval(tmp_path):
    make_tables(tmp_path, text=SUITE.replace("[0, 1, 2]", "[1]"))
    rows = rows_of(tmp_path)
    assert {words for _, words in rows["hopper/medium-v0", "score"].values()} == {"one seed, no interval"}
    assert rows["hopper/random-expert-v0", "score"]["SAC"] == ([], "failed: seed 1")
    assert rows["hopper/random-expert-v0", "value"]["SAC"] == ([], "")


def test_many_seeds_without_a_result_are_counted(tmp_path):
    make_tables(tmp_path, filled=False, text=SUITE.replace("[0, 1, 2]", "[0, 1, 2, 3, 4, 5]"))
    assert all(row == ([], "missing: 6 seeds") for row in rows_of(tmp_path)["hopper/medium-v0", "score"].values())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """The tables of a suite, as the figures get them."""
    folder = tmp_path_factory.mktemp("drawn")
    make_tables(folder)
    return {path.stem: read_table(path) for path in (folder / "statistics").iterdir()}


def lines_of(panel):
    """The legend's name of each line with markers, and after it the line without, as (xs, ys)."""
    return [(line.get_label(), line.get_linestyle(), list(line.get_ydata())) for line in panel.lines]


def test_the_gap_figure_draws_both_gaps_of_each_method_with_a_value(drawn):
    figure = action_gap(drawn)
    panel = figure.axes[0]
    drawn_lines = [line for line in lines_of(panel) if len(line[2]) == 4]
    assert [label for label, stroke, _ in drawn_lines if stroke == "-"] == [
        "CQL, cql_alpha = 10, num_action_samples = 10", "d3rlpy CQL, cql_alpha = 10", "SAC",
    ]  # fmt: skip
    for _, stroke, gap in drawn_lines:
        assert gap == pytest.approx([-3.0 if stroke == "-" else 37.0] * 4)
    plt.close(figure)


def test_the_off_data_figure_has_no_optimism_of_a_method_without_a_value(drawn):
    figure = off_data(drawn)
    found = lines_of(figure.axes[0])
    shares = {label: ys for label, stroke, ys in found if stroke == "-"}
    # d3rlpy's runs are older than the measure.
    assert list(shares) == [
        "CQL, cql_alpha = 10, num_action_samples = 10",
        "SAC",
        "BC",
        "own-idea, num_transitions = null",
    ]
    assert all(ys == [25.0] * 4 for ys in shares.values())
    assert [ys for _, stroke, ys in found if stroke == "--"] == [[0.0] * 4, [100.0] * 4, [], []]
    plt.close(figure)


def test_a_measure_that_no_run_has_is_said_to_be_missing(drawn):
    older = drawn["diagnostics"][drawn["diagnostics"]["measure"] == "q_data"]
    figure = off_data({**drawn, "diagnostics": older})
    assert [text.get_text() for panel in figure.axes for text in panel.texts] == ["not measured"] * 2
    plt.close(figure)


def test_the_safety_figure_has_a_row_per_method_and_cql_alpha(drawn):
    figure = safety(drawn)
    left, right = figure.subfigs[0].axes
    names = [label.get_text().replace("\n", ", ") for label in left.get_yticklabels()]
    assert names == [
        *(f"CQL, cql_alpha = {alpha}, num_action_samples = 10" for alpha in (0, 1, 10)),
        "d3rlpy CQL, cql_alpha = 1", "d3rlpy CQL, cql_alpha = 10", "SAC", "BC", "own-idea, num_transitions = null",
    ]  # fmt: skip
    rows = drawn["safety"].query("shown and dataset == 'hopper/medium-v0' and family == 'cql'")
    filled, hollow = (
        next(line for line in left.lines if line.get_markerfacecolor() == face and len(line.get_xdata()) == 3)
        for face in (style.colour("cql"), "white")
    )
    assert list(filled.get_xdata()) == pytest.approx(list(100 * rows["score_mean"]))
    assert list(hollow.get_xdata()) == pytest.approx(list(100 * rows["cvar"]))
    assert list(filled.get_ydata()) == [0, 1, 2]
    early = right.lines[0]
    assert list(early.get_xdata()) == pytest.approx([40.0] * 3)
    plt.close(figure)


def test_names_need_no_order():
    assert figure_names(["b", "a"])[-2:] == ["sweep-a", "sweep-b"]
    assert figure_names([]) == figure_names(["a"])[:-1]


# Machado, Oliveira and Fernandes 2009: what protanopia, deuteranopia and tritanopia leave of linear RGB.
SIGHTS = np.array([
    [[1, 0, 0], [0, 1, 0], [0, 0, 1]],
    [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
])  # fmt: skip
TO_XYZ = np.array([[0.412456, 0.357576, 0.180438], [0.212673, 0.715152, 0.072175], [0.019334, 0.119192, 0.950304]])


def seen(colour):
    """CIELAB of the colour in each of SIGHTS: (4, 3)."""
    linear = np.array(matplotlib.colors.to_rgb(colour))
    linear = np.where(linear <= 0.04045, linear / 12.92, ((linear + 0.055) / 1.055) ** 2.4)
    x, y, z = (np.clip(SIGHTS @ linear, 0, 1) @ TO_XYZ.T / TO_XYZ.sum(1)).T
    x, y, z = (np.where(part > 0.008856, np.cbrt(part), 7.787 * part + 16 / 116) for part in (x, y, z))
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=1)


def test_known_colours_are_told_apart_with_every_kind_of_sight():
    # 2.3 is a just noticeable difference between patches; thin lines need several times that.
    for one, other in combinations([*style.KNOWN, "white"], 2):
        colours = [style.colour(name) if name in style.KNOWN else name for name in (one, other)]
        distances = np.linalg.norm(seen(colours[0]) - seen(colours[1]), axis=1)
        assert distances.min() > 15, (one, other, distances)


def test_every_method_of_the_registry_has_a_look_of_its_own():
    assert set(style.KNOWN) == set(ALGORITHMS)


def test_looks_do_not_depend_on_the_company():
    looks = {(style.colour(family), style.marker(family)) for family in style.KNOWN}
    assert len(looks) == len(style.KNOWN)
    assert style.colour("my-method") == style.colour("my-method") != style.colour("cql")
    assert style.ordered(["zeta", "bc", "alpha", "cql"]) == ["cql", "bc", "alpha", "zeta"]
    assert style.label("d3rlpy-cql cql_alpha=10", "d3rlpy-cql") == "d3rlpy CQL, cql_alpha = 10"


def test_a_swept_switch_is_shown_in_words():
    row = {"axis": "layer_norm", "family": "cql", "dataset": "hopper/medium-v0", "lowest": 0.1, "highest": 0.3}
    table = pd.DataFrame(
        [{**row, "value": value, "score_mean": 0.2, "predicted_value": None} for value in (False, True)]
    )
    figure = sweep({"sweep": table}, "layer_norm")
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["false", "true"]
