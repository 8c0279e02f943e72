from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys

import matplotlib
import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image
from small_suite import make_tables
from synthetic_runs import SUITE
from typer.testing import CliRunner

from cqlbench import style
from cqlbench.cli import app
from cqlbench.errors import UserError
from cqlbench.figures import SUFFIXES, draw_figures, figure_names
from cqlbench.figures.draw import DRAWINGS
from cqlbench.figures.pages import PAPER, drawing_style, save_figure
from cqlbench.figures.panels import panel_grid
from cqlbench.figures.sweeps import sweep, sweep_rows
from cqlbench.scores import read_table

matplotlib.use("Agg")


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def foretold(suite):
    return {f"{name}.{suffix}" for name in figure_names(suite.axes) for suffix in (*SUFFIXES, "csv")}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A suite's folder with its figures, and the suite."""
    folder = tmp_path_factory.mktemp("made")
    suite = make_tables(folder)
    draw_figures(folder)
    return folder, suite


def test_the_figures_are_those_foretold_with_their_data_and_undated(made):
    folder, suite = made
    files = files_of(folder / "figures")
    assert set(files) == foretold(suite)
    assert not any(re.search(rb"<dc:date>|CreationDate", file) for file in files.values())
    scores = read_table(folder / "figures" / "learning-curves.csv")
    assert list(scores) == ["dataset", "method", "family", "label", "update", "score_mean", "lowest", "highest"]
    assert set(scores["label"]) == {
        "CQL, cql_alpha = 10, num_action_samples = 10", "d3rlpy CQL, cql_alpha = 10", "SAC", "BC",
        "own-idea, num_transitions = null",
    }  # fmt: skip


@pytest.mark.slow
def test_the_same_tables_give_the_same_bytes_in_another_process_without_torch(made, tmp_path):
    first = files_of(made[0] / "figures")
    shutil.copytree(made[0] / "statistics", tmp_path / "statistics")
    code = "import sys; from cqlbench.cli import app; app(standalone_mode=False); assert 'torch' not in sys.modules"
    for style_of_page in ("paper", "talk"):
        command = [sys.executable, "-c", code, "figures", str(tmp_path), "--style", style_of_page]
        subprocess.run(command, check=True, env=os.environ | {"PYTHONHASHSEED": "5"})
    assert files_of(tmp_path / "figures") == first
    talk = files_of(tmp_path / "figures" / "talk")
    assert {name for name in talk if talk[name] == first[name]} == {name for name in first if name.endswith("csv")}


def test_fonts_are_inside_the_pdf_and_letters_are_outlines_in_the_svg(tmp_path):
    with drawing_style():
        figure, panels = panel_grid(PAPER, ["a/dataset"])
        save_figure(figure, tmp_path, "one")
    pdf, svg = (tmp_path / "one.pdf").read_bytes(), (tmp_path / "one.svg").read_text()
    assert b"/FontFile2" in pdf and b"/Subtype /Type0" in pdf and b"/Type3" not in pdf
    assert "<text" not in svg and "<title>one</title>" in svg
    assert Image.open(tmp_path / "one.png").width == round(PAPER.column * PAPER.dpi)


def test_an_unknown_style_is_an_error_that_names_the_known_ones(tmp_path):
    result = CliRunner().invoke(app, ["figures", str(tmp_path), "--style", "poster"])
    assert isinstance(result.exception, UserError) and "paper or talk" in str(result.exception)


def test_a_suite_without_a_finished_run_has_the_same_figures(tmp_path):
    suite = make_tables(tmp_path, filled=False)
    draw_figures(tmp_path)
    assert set(files_of(tmp_path / "figures")) == foretold(suite)


def draw(tables, name):
    """The figure and its axes that are used."""
    rows = DRAWINGS[name].rows(tables)
    figure = DRAWINGS[name].draw(rows, style.looks(tables["table"]["family"]), PAPER)
    return figure, [panel for panel in figure.axes if panel.axison]


def names_of_rows(panel):
    return [label.get_text().replace(",\n", ", ").replace("\n", "") for label in panel.get_yticklabels()]


def rows_of(folder):
    """The figure's panels as (dataset, "score" or "value") -> {row's label: (dots' positions, words in the row)}."""
    tables = {path.stem: read_table(path) for path in (folder / "statistics").iterdir()}
    figure, panels = draw(tables, "score-and-value")
    figure.draw_without_rendering()
    rows = {}
    labels = names_of_rows(panels[0])
    for scores, values in zip(panels[::2], panels[1::2], strict=True):
        for name, panel in (("score", scores), ("value", values)):
            low, high = panel.get_xlim()
            dots = [line for line in panel.lines if line.get_alpha() == 0.4]
            assert len(dots) == len(labels)
            shown = [[x for x in line.get_xdata() if x == x] for line in dots]
            assert all(low <= x <= high for xs in shown for x in xs)
            words = [""] * len(labels)
            for text in panel.texts:
                words[round(text.get_position()[1] - 0.1)] += text.get_text().replace("\n", " ")
            rows[scores.get_title("left"), name] = dict(zip(labels, zip(shown, words, strict=True), strict=True))
    plt.close(figure)
    return rows


def test_score_and_value_shows_headline_methods_and_names_what_they_lack(made):
    rows = rows_of(made[0])
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
    assert [words for _, words in value.values()] == ["", "", "", *["no value"] * 2]
    assert max(value[methods[0]][0]) < 0 < 1e4 < min(value["SAC"][0])
    scores = read_table(made[0] / "statistics" / "finals.csv").query(
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
def drawn(made):
    """The tables of a suite, as the figures get them."""
    return {path.stem: read_table(path) for path in (made[0] / "statistics").iterdir()}


def lines_of(panel):
    """The legend's name of each line with markers, and after it the line without, as (xs, ys)."""
    return [(line.get_label(), line.get_linestyle(), list(line.get_ydata())) for line in panel.lines]


def test_the_gap_figure_draws_both_gaps_of_each_method_with_a_value(drawn):
    figure, (panel, _) = draw(drawn, "action-gap")
    drawn_lines = [line for line in lines_of(panel) if len(line[2]) == 4]
    assert [label for label, stroke, _ in drawn_lines if stroke == "-"] == [
        "CQL, cql_alpha = 10, num_action_samples = 10", "d3rlpy CQL, cql_alpha = 10", "SAC",
    ]  # fmt: skip
    for _, stroke, gap in drawn_lines:
        assert gap == pytest.approx([-3.0 if stroke == "-" else 37.0] * 4)
    plt.close(figure)


def test_the_off_data_figure_has_no_optimism_of_a_method_without_a_value(drawn):
    figure, (panel, _) = draw(drawn, "off-data")
    found = lines_of(panel)
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
    table = drawn["diagnostics"]
    elsewhere = table[(table["measure"] == "q_data") | (table["dataset"] == "hopper/random-expert-v0")]
    figure, panels = draw({**drawn, "diagnostics": elsewhere}, "off-data")
    assert [[text.get_text() for text in panel.texts] for panel in panels] == [["not measured"], []]
    plt.close(figure)
    older = table[table["measure"] == "q_data"]
    figure, panels = draw({**drawn, "diagnostics": older}, "off-data")
    assert not panels and "no run has measured" in figure.texts[0].get_text()
    plt.close(figure)


def test_the_safety_figure_has_a_row_per_method_and_cql_alpha(drawn):
    figure, (left, right, *_) = draw(drawn, "safety")
    assert names_of_rows(left) == [
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


def test_comparisons_are_with_cql_whichever_way_round_they_stand(drawn):
    rows = DRAWINGS["comparisons"].rows(drawn)
    table = drawn["comparisons"].set_index(["dataset", "x", "y"])
    cql = "cql cql_alpha=10 num_action_samples=10"
    assert set(rows["reference"]) == {"CQL, cql_alpha = 10, num_action_samples = 10"}
    assert list(rows["family"]) == 2 * ["d3rlpy-cql", "sac", "bc", "own-idea"]
    for row in rows.itertuples():
        straight = (row.dataset, row.method, cql) in table.index
        found = table.loc[(row.dataset, row.method, cql) if straight else (row.dataset, cql, row.method)]
        sign = 1 if straight else -1
        assert row.difference == sign * found["difference"] and row.low <= row.difference <= row.high
        assert {row.low, row.high} == {sign * found["low"], sign * found["high"]}
        told = {"better": 1, "worse": -1}.get(row.verdict, 0)
        assert told == sign * {"better": 1, "worse": -1}.get(found["verdict"], 0)
        assert told == 0 or told * row.difference > 0
    assert "worse" in set(rows["verdict"])


def test_names_need_no_order():
    assert figure_names(["b", "a"])[-2:] == ["sweep-a", "sweep-b"]
    assert figure_names([]) == figure_names(["a"])[:-1]


def test_a_swept_switch_is_shown_in_words():
    row = {"axis": "layer_norm", "family": "cql", "dataset": "hopper/medium-v0", "lowest": 0.1, "highest": 0.3}
    row |= {"predicted_value": None, "true_discounted_return": None}
    table = pd.DataFrame([{**row, "value": value, "score_mean": 0.2} for value in (False, True)])
    figure = sweep(sweep_rows({"sweep": table}, "layer_norm"), style.looks(["cql"]), PAPER)
    assert [label.get_text() for label in figure.axes[0].get_xticklabels()] == ["false", "true"]
    plt.close(figure)
