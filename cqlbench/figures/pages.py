"""Where figures go, a paper or a talk: their sizes and type, and how their files are written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cqlbench.writers import aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# PDF for papers, SVG for pages, PNG for everything else.
SUFFIXES = ("svg", "pdf", "png")


@dataclass(frozen=True)
class Page:
    """Widths in inches, type and lines in points."""

    width: float
    # Of a figure with one panel.
    column: float
    # A panel's height over its width.
    ratio: float
    font: float
    line: float
    dpi: int

    @property
    def ticks(self) -> float:
        """The type of numbers and names along axes."""
        return 0.9 * self.font

    @property
    def remarks(self) -> float:
        """The type of remarks inside of panels."""
        return 0.8 * self.font

    def lines(self, count: float) -> float:
        """The height of `count` lines of text, inches."""
        return 1.3 * count * self.font / 72


PAPER = Page(width=7.0, column=3.4, ratio=0.75, font=8, line=1.2, dpi=200)
TALK = Page(width=13.33, column=13.33, ratio=9 / 16, font=16, line=2.5, dpi=120)
PAGES = {"paper": PAPER, "talk": TALK}


@contextmanager
def drawing_style(page: Page = PAPER) -> Iterator[None]:
    """How every figure looks, without a screen; the same tables give the same bytes."""
    import matplotlib

    matplotlib.use("Agg")
    thin = page.line / 2
    # What a user has set for matplotlib has no influence.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update({
            "font.size": page.font,
            "axes.titlesize": page.font,
            "axes.labelsize": page.font,
            "xtick.labelsize": page.ticks,
            "ytick.labelsize": page.ticks,
            "figure.constrained_layout.h_pad": page.font / 192,
            "figure.constrained_layout.w_pad": page.font / 192,
            "legend.fontsize": page.font,
            "legend.frameon": False,
            "legend.handlelength": 2.2,
            "lines.linewidth": page.line,
            "lines.markersize": 3.2 * page.line,
            "axes.axisbelow": True,
            "axes.edgecolor": "0.6",
            "axes.grid": True,
            "axes.labelcolor": "0.15",
            "axes.linewidth": thin,
            "grid.color": "0.9",
            "grid.linewidth": thin,
            "text.color": "0.15",
            "xtick.color": "0.15",
            "ytick.color": "0.15",
            "xtick.major.size": 0,
            "ytick.major.size": 0,
            "xtick.minor.size": 0,
            "ytick.minor.size": 0,
            "savefig.dpi": page.dpi,
            # Letters as outlines: an SVG shown as a picture cannot load a font, and looks the same everywhere so.
            "svg.fonttype": "path",
            "svg.hashsalt": "cqlbench",
            # TrueType fonts inside the file, as publishers ask for; their letters can be selected and searched.
            "pdf.fonttype": 42,
        })  # fmt: skip
        yield


def save_figure(figure: Figure, folder: Path, name: str) -> None:
    """Writes a figure as each of SUFFIXES and closes it."""
    import matplotlib.pyplot as plt

    # Laid out once, so that all three are the same picture.
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for suffix in SUFFIXES:
        undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}, "png": {"Software": None}}
        with aside(folder / f"{name}.{suffix}") as beside:
            figure.savefig(beside, format=suffix, metadata={"Title": name} | undated[suffix])
    plt.close(figure)
