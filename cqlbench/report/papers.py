"""For papers: the scores as a LaTeX table, and BibTeX entries of what the numbers rest on."""

from __future__ import annotations

from importlib import metadata
from typing import Any

import pandas as pd

from cqlbench.report.pages import HERE, points
from cqlbench.report.suite_facts import SuiteFacts
from cqlbench.statistics import CONFIDENCE, FINER, REPETITIONS

TABLE = "table.tex"
REFERENCES = "references.bib"
ESCAPES = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}", ">": r"\textgreater{}",
    "|": r"\textbar{}", "–": "--", "’": "'", "“": "``", "”": "''", "±": r"$\pm$", "−": "$-$",
}  # fmt: skip


def escape(text: str) -> str:
    """Text that LaTeX prints as it is."""
    return "".join(ESCAPES.get(letter, letter) for letter in text)


def latex_table(facts: SuiteFacts, headline: list[dict[str, Any]], aggregates: pd.DataFrame) -> str:
    """Scores (mean, standard deviation) of the headline methods per dataset, and their IQM, with booktabs.

    `headline` is the section of this name. The more numerous of datasets and methods run down the page.
    """
    iqm = aggregates[aggregates["statistic"] == "IQM"].set_index("method")
    over_all = [_summary(iqm.loc[row["method"]]) if row["method"] in iqm.index else "--" for row in headline]
    cells = [[_cell(cell) for cell in row["cells"]] for row in headline]
    methods, datasets = [escape(row["name"]) for row in headline], [escape(name) for name in facts.datasets]
    if len(methods) > len(datasets):
        head = ["", *datasets, "IQM"]
        body = [" & ".join([name, *row, iqm]) for name, row, iqm in zip(methods, cells, over_all, strict=True)]
        foot = []
    else:
        head = ["", *methods]
        body = [" & ".join([name, *row]) for name, *row in zip(datasets, *cells, strict=True)]
        foot = [r"\midrule", " & ".join(["IQM", *over_all]) + r" \\"]
    lines = [
        r"% \usepackage{booktabs} in the preamble; \cite keys are in references.bib.",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{_caption(facts)}}}\smallskip",
        rf"\label{{tab:{''.join(letter if letter.isalnum() else '-' for letter in facts.name)}}}",
        rf"\begin{{tabular}}{{l{'r' * (len(head) - 1)}}}",
        r"\toprule",
        " & ".join(head) + r" \\",
        r"\midrule",
        *(line + r" \\" for line in body),
        *foot,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def cited(scores: pd.DataFrame, facts: SuiteFacts) -> list[str]:
    """The keys of references.bib that the numbers rest on."""
    used = {
        "kumar2020cql": scores["algorithm"].astype(str).str.lower().str.startswith("cql").any(),
        "agarwal2021precipice": True,
        "seno2022d3rlpy": (scores["implementation"] == "d3rlpy").any(),
        **dict.fromkeys(["younis2024minari", "todorov2012mujoco", "towers2024gymnasium"], facts.trained_here),
    }
    return [key for key, is_used in used.items() if is_used]


def bibliography(keys: list[str]) -> str:
    """The entries of these keys from references.bib of this folder, and cqlbench's own."""
    entries = (HERE / REFERENCES).read_text().strip().split("\n\n")
    found = {entry[entry.index("{") + 1 : entry.index(",")]: entry for entry in entries}
    return "\n\n".join([*(found[key] for key in keys), _own_entry()]) + "\n"


def _own_entry() -> str:
    known = metadata.metadata("cqlbench")
    return (
        "@misc{cqlbench,\n"
        f"  author = {{{{{known['Author']}}}}},\n"
        f"  title = {{{{cqlbench: {known['Summary'][0].lower() + known['Summary'][1:]}}}}},\n"
        f"  version = {{{known['Version']}}}\n"
        "}"
    )


def _caption(facts: SuiteFacts) -> str:
    seeds = f"{len(facts.seeds)} seed{'s' * (len(facts.seeds) != 1)}"
    updates = " or ".join(f"{count:,}" for count in facts.updates)
    sentences = [
        f"Normalised scores ({escape('×100')}: 0 random, 100 expert) after {updates} updates: mean over {seeds}"
        + (r" $\pm$ standard deviation." if len(facts.seeds) > 1 else "."),
        escape(f"Data: {facts.source}.") if facts.source else "",
        escape(
            f"Last row or column: interquartile mean with its {100 * CONFIDENCE:g} % stratified-bootstrap interval "
            f"over seeds ({FINER * REPETITIONS:,} repetitions)"
        )
        + r"~\cite{agarwal2021precipice}.",
        "Bold: the highest mean of its dataset and all that a $t$ test over seeds, Holm-corrected over all pairs of "
        "methods on all datasets, does not tell apart from it."
        if len(facts.seeds) > 1
        else "",
        escape(facts.note),
    ]
    return " ".join(" ".join(sentence for sentence in sentences if sentence).split())


def _cell(cell: dict[str, Any] | None) -> str:
    if cell is None or not cell["seeds"]:
        return "--"
    mean = points(cell["score_mean"]).replace("-", "$-$")
    if cell["best"]:
        mean = rf"\textbf{{{mean}}}"
    return mean if cell["seeds"] == 1 else rf"{mean} $\pm$ {points(cell['score_std'])}"


def _summary(row: pd.Series) -> str:
    estimate, low, high = (points(row[key]).replace("-", "$-$") for key in ("estimate", "low", "high"))
    return estimate if pd.isna(row["low"]) else f"{estimate} ({low} to {high})"
