"""One figure per experiment, drawn from its table."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cqlbench.figures.draw import FOLDER
from cqlbench.figures.pages import PAPER, drawing_style, save_figure
from cqlbench.figures.panels import legend, panel_grid
from cqlbench.style import OTHERS
from cqlbench.theory.experiments import read_experiment
from cqlbench.theory.mdps import MAP
from cqlbench.theory.theorems import NOT_MET, VIOLATED

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

VIOLATION = "#D55E00"
ARROWS = "↑→↓←"


def draw_figure(experiment: str, folder: Path) -> None:
    """Draws `folder`/<experiment>.csv into `folder`/figures. Raises UserError as `read_experiment` does."""
    table = read_experiment(experiment, folder)
    (folder / FOLDER).mkdir(parents=True, exist_ok=True)
    with drawing_style():
        save_figure(DRAWINGS[experiment](table), folder / FOLDER, experiment)


def _families(table: pd.DataFrame) -> dict[str, tuple[str, str]]:
    """The colour and marker of each family of MDPs, by its place among the table's rows."""
    return dict(zip(dict.fromkeys(table["family"]), OTHERS, strict=False))


def _needed(panel: Axes, table: pd.DataFrame, dynamics: str = "sampled") -> None:
    """Share of draws in which a fraction of the threshold would have done, per family."""
    shown = table[(table["dynamics"] == dynamics) & (table["share"] > 0)]
    for family, (colour, _) in _families(table).items():
        own = shown[shown["family"] == family]["share"]
        if len(own):
            panel.ecdf(own, color=colour, label=family)
    panel.axvline(1, color=VIOLATION, linewidth=1, label="the theorem's alpha")
    panel.set(
        xscale="log",
        xlim=(1e-8, 3),
        ylim=(0, 1.02),
        xlabel="smallest alpha that works / the theorem's",
        ylabel="share of draws that need a penalty",
    )


def _dots(panel: Axes, table: pd.DataFrame, x: str, y: str) -> None:
    """A dot per draw; hollow where the condition is not met, marked where the theorem is violated."""
    for family, (colour, mark) in _families(table).items():
        own = table[table["family"] == family]
        unmet = own["verdict"] == NOT_MET
        panel.plot(own[x][~unmet], own[y][~unmet], mark, color=colour, label=family, markersize=4, alpha=0.5, mew=0)
        panel.plot(own[x][unmet], own[y][unmet], mark, color=colour, markersize=4, alpha=0.7, mfc="none")
    violated = table[table["verdict"] == VIOLATED]
    if len(violated):
        panel.plot(violated[x], violated[y], "o", color=VIOLATION, mfc="none", markersize=8, label="violated")


def _diagonal(panel: Axes) -> None:
    panel.axline((0, 0), slope=1, color="0.4", linewidth=1)


def _pair() -> tuple[Figure, Axes, Axes]:
    figure, panels = panel_grid(PAPER, ["left", "right"], titles={})
    return figure, panels["left"], panels["right"]


def _finish(figure: Figure, left: Axes, right: Axes) -> Figure:
    legend(PAPER, figure, [left, right])
    return figure


def theorem_1(table: pd.DataFrame) -> Figure:
    """Needed over demanded alpha; how much too low the estimate is at the demanded one."""
    figure, left, right = _pair()
    _needed(left, table)
    _dots(right, table[table["dynamics"] == "sampled"], "threshold", "too_low")
    right.axhline(2, color="0.4", linewidth=1, linestyle="--", label="lower than any value can be")
    right.set(
        xscale="log",
        yscale="log",
        xlabel="the theorem's alpha",
        ylabel="truth - estimate, in $R_{max} / (1 - \\gamma)$",
    )
    return _finish(figure, left, right)


def theorem_2(table: pd.DataFrame) -> Figure:
    """Needed over demanded alpha; equation 2 beside equation 1 at the same alpha."""
    figure, left, right = _pair()
    _needed(left, table)
    _dots(right, table[table["dynamics"] == "known"], "lower_by_equation_1", "lower_by_equation_2")
    _diagonal(right)
    right.set(
        xscale="log",
        yscale="log",
        xlabel="truth - estimate, equation 1, alpha = 1",
        ylabel="truth - estimate, equation 2",
    )
    return _finish(figure, left, right)


def theorem_3(table: pd.DataFrame) -> Figure:
    """Needed over demanded alpha; the worst estimate against the condition's margin."""
    figure, left, right = _pair()
    _needed(left, table)
    _dots(right, table[table["dynamics"] == "known"], "margin", "highest")
    right.axhline(0, color="0.4", linewidth=1)
    right.axvline(0, color="0.4", linewidth=1)
    right.set_xscale("symlog", linthresh=1e-3)
    right.set_yscale("symlog", linthresh=1e-3)
    right.set(
        xticks=[-1, -0.01, 0, 0.01, 1],
        xlabel="margin of the condition, worst state (hollow: not met)",
        ylabel="estimate - truth, worst state, known",
    )
    return _finish(figure, left, right)


def theorem_4(table: pd.DataFrame) -> Figure:
    """Needed over demanded alpha; the learnt against the true gap."""
    figure, left, right = _pair()
    _needed(left, table)
    _dots(right, table[table["dynamics"] == "known"], "true_gap", "gap_with")
    _diagonal(right)
    right.set_yscale("symlog", linthresh=1)
    right.set(xlabel="true gap, mean over states", ylabel="CQL's gap at the theorem's alpha")
    return _finish(figure, left, right)


def theorem_5(table: pd.DataFrame) -> Figure:
    """The identity; the true gain against alpha."""
    figure, left, right = _pair()
    _dots(left, table, "penalised", "estimate")
    _diagonal(left)
    left.set(xlabel="penalised return in the empirical MDP", ylabel="equation 2's value from the start")
    _dots(right, table, "paper_alpha", "gain")
    right.axhline(0, color="0.4", linewidth=1)
    right.set_yscale("symlog", linthresh=0.1)
    right.set(xscale="log", xlabel="paper_alpha", ylabel="true return - the behaviour's")
    return _finish(figure, left, right)


def theorem_6(table: pd.DataFrame) -> Figure:
    """Loss against zeta; zeta over the largest loss against the data."""
    figure, left, right = _pair()
    _dots(left, table, "zeta", "loss")
    left.set_xscale("symlog", linthresh=0.1)
    left.set_yscale("symlog", linthresh=0.1)
    low = min(table["zeta"].min(), 0)
    left.plot([low, table["zeta"].max()], [low, table["zeta"].max()], color="0.4", linewidth=1)
    left.set(xlabel="zeta", ylabel="true loss against the behaviour", ylim=(None, 1.2 * max(table["can_lose"])))
    _dots(right, table, "transitions", "zeta_share")
    right.axhline(1, color="0.4", linewidth=1, linestyle="--", label="says nothing above")
    right.axhline(0, color="0.4", linewidth=1)
    right.set_yscale("symlog", linthresh=1)
    right.set(xscale="log", xlabel="transitions", ylabel="zeta / the most that can be lost", ylim=(-10, None))
    return _finish(figure, left, right)


def unseen_action(table: pd.DataFrame) -> Figure:
    """Q of the unseen action, and the greedy policy's return, against updates."""
    figure, left, right = _pair()
    methods = table.groupby("method", sort=False)
    # Equations 1 and 2 are the same where there are no data: one line must not hide the other.
    for width, (method, own), (colour, mark) in zip((2, 5, 2, 1), methods, OTHERS, strict=False):
        line: dict[str, Any] = {"color": colour, "label": method, "linewidth": width, "markersize": 3, "alpha": 0.8}
        left.plot(own["update"], own["q_jump"], mark + "-", **line)
        right.plot(own["update"], own["true"], mark + "-", **line)
    left.axhline(table["true_jump"][0], color="0.4", linestyle="--", linewidth=1, label="true value of the jump")
    right.axhline(table["behaviour"][0], color="0.4", linestyle=":", linewidth=1, label="the behaviour's return")
    left.set_yscale("symlog", linthresh=1)
    left.set(xscale="log", xlabel="gradient step", ylabel="Q of the unseen jump at the start")
    right.set(xscale="log", xlabel="gradient step", ylabel="true return of the greedy policy")
    return _finish(figure, left, right)


def gridworld(table: pd.DataFrame) -> Figure:
    """Maps of predicted value, and of predicted minus true value, one column per method."""
    methods = list(dict.fromkeys(table["method"]))
    keys = [(row, method) for row in ("predicted", "difference") for method in methods]
    titles = {("predicted", method): method for method in methods}
    figure, panels = panel_grid(PAPER, keys, columns=len(methods), ratio=0.85, titles=titles)
    limit = max(table["predicted"].abs().max(), table["true"].abs().max())
    for (row, method), panel in panels.items():
        own = table[table["method"] == method]
        grid = own.pivot(index="row", columns="column", values=row)
        panel.set_facecolor("0.35")
        image = panel.imshow(grid, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="equal")
        panel.set(xticks=[], yticks=[])
        panel.grid(False)
        for cell in own.itertuples(index=False):
            letter = MAP[cell.row][cell.column]
            text = ARROWS[cell.action] if row == "predicted" and letter in ".S" else letter.replace(".", "")
            panel.text(cell.column, cell.row, text, ha="center", va="center", fontsize=7, color="0.15")
        if method == methods[0]:
            panel.set_ylabel({"predicted": "predicted", "difference": "minus true"}[row])
    figure.colorbar(image, ax=list(panels.values()), shrink=0.8, label="value")
    return figure


DRAWINGS: dict[str, Callable[[Any], Figure]] = {
    "theorem-3.1": theorem_1,
    "theorem-3.2": theorem_2,
    "theorem-3.3": theorem_3,
    "theorem-3.4": theorem_4,
    "theorem-3.5": theorem_5,
    "theorem-3.6": theorem_6,
    "unseen-action": unseen_action,
    "gridworld": gridworld,
}
