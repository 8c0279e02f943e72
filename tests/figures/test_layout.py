"""No text leaves its figure or touches another: with ten methods on thirty datasets, on paper and in a talk."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pytest
from crowd import LOOKS, crowded
from matplotlib.text import Text
from small_suite import make_tables

from cqlbench import style
from cqlbench.figures.draw import DRAWINGS, drawings
from cqlbench.figures.pages import PAGES, PAPER, drawing_style
from cqlbench.figures.panels import panel_grid
from cqlbench.scores import read_table

# Pixels, of 100 an inch, by which boxes may share their rims: a box has room for letters that its text need not have.
TOUCH = 1.5


def faults(figure, monkeypatch):
    """What is wrong with the texts of the figure, in words. A number outside of its axis is not drawn."""
    drawn = {}
    plain = Text.draw

    def draw(self, renderer):
        if self.get_visible() and self.get_text().strip():
            drawn[id(self)] = self
        plain(self, renderer)

    with monkeypatch.context() as patch:
        patch.setattr(Text, "draw", draw)
        figure.draw_without_rendering()
    texts = list(drawn.values())
    assert texts
    # Left, bottom, right, top, in pixels; of a name at a line's end without the stroke that leads there.
    boxes = np.array([Text.get_window_extent(text).extents for text in texts])
    found = [
        f"{texts[place].get_text()!r} leaves the canvas"
        for place in np.flatnonzero((boxes[:, :2] < -TOUCH).any(1) | (boxes[:, 2:] > figure.bbox.max + TOUCH).any(1))
    ]
    shared = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:]) - np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    found += [
        f"{texts[one].get_text()!r} and {texts[other].get_text()!r} overlap"
        for one, other in np.argwhere(np.triu((shared > TOUCH).all(2), 1))
    ]
    return found


def test_a_fault_is_found(monkeypatch):
    with drawing_style():
        figure, panels = panel_grid(PAPER, ["one", "other"])
        assert not faults(figure, monkeypatch)
        panels["one"].text(0.5, 0.5, "upon each")
        panels["one"].text(0.6, 0.51, "other")
        panels["other"].text(0.9, 0.5, "beyond the rim").set_in_layout(False)
        found = faults(figure, monkeypatch)
        plt.close(figure)
    assert found == ["'beyond the rim' leaves the canvas", "'upon each' and 'other' overlap"]


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    make_tables(folder)
    return {path.stem: read_table(path) for path in (folder / "statistics").iterdir()}


NAMES = [*DRAWINGS, "sweep-cql_alpha"]


# To lay out so many letters takes minutes: those of slides have a target of their own.
CROWDED = [
    pytest.param(page, id=name, marks=pytest.mark.thorough if name == "talk" else pytest.mark.slow)
    for name, page in PAGES.items()
]


@pytest.mark.parametrize("page", CROWDED)
@pytest.mark.parametrize("name", NAMES)
def test_ten_methods_on_thirty_datasets(tables, name, page, monkeypatch):
    drawing = drawings(tables)[name]
    with drawing_style(page):
        figure = drawing.draw(crowded(drawing.rows(tables)), LOOKS, page)
        found = faults(figure, monkeypatch)
        plt.close(figure)
    assert figure.get_size_inches()[0] in (page.width, page.column)
    assert not found


@pytest.mark.parametrize("page", PAGES.values(), ids=PAGES)
@pytest.mark.parametrize("name", NAMES)
def test_few_methods_on_one_dataset(tables, name, page, monkeypatch):
    drawing = drawings(tables)[name]
    rows = drawing.rows(tables)
    if "dataset" in rows:
        rows = rows[rows["dataset"] == rows["dataset"].iloc[0]]
    with drawing_style(page):
        figure = drawing.draw(rows, style.looks(tables["table"]["family"]), page)
        found = faults(figure, monkeypatch)
        plt.close(figure)
    assert not found
