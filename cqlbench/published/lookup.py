"""Which published scores there are of a dataset or an algorithm, as text."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from cqlbench.errors import UserError
from cqlbench.published.facts import published_scores
from cqlbench.published.names import algorithm_key, kind_of_data, published_name
from cqlbench.published.reproduction import MARGIN, half_width


def find_published(dataset: str | None = None, algorithm: str | None = None) -> pd.DataFrame:
    """The rows of `published_scores` of this dataset and this algorithm, or of all where None.

    Any of our spellings will do: `d4rl:hopper-medium-v2`, `d3rlpy-cql`. Raises UserError, with the names that there
    are, where no row matches.
    """
    table = published_scores()
    if dataset is not None:
        own = table["dataset"] == published_name(dataset)
        if not own.any():
            kin = table["dataset"][table["dataset"].map(kind_of_data) == kind_of_data(dataset)]
            names = _listed(kin if len(kin) else table["dataset"])
            raise UserError(f"--dataset {dataset}: no score of it is known; there are {names}.")
        table = table[own]
    if algorithm is not None:
        own = table["algorithm"].map(algorithm_key) == algorithm_key(algorithm)
        if not own.any():
            where = f" on {dataset}" if dataset else ""
            raise UserError(
                f"--algorithm {algorithm}: no score of it is known{where}; there are {_listed(table['algorithm'])}."
            )
        table = table[own]
    return table.reset_index(drop=True)


def describe(table: pd.DataFrame, seeds: int | None = None) -> str:
    """Rows of `published_scores` as a text table, its sources and notes spelled out below it.

    With `seeds`, two or more, also which means of so many seeds of ours would be called reproduced and which not, if
    they spread as theirs do; nothing where they print no spread, and for a best score, which gets no verdict.
    """
    sources, notes = table["source"].unique(), table["note"].dropna().unique()
    marks = {source: f"[{number}]" for number, source in enumerate(sources, 1)}
    marks |= {note: f"({number})" for number, note in enumerate(notes, 1)}
    shown = pd.DataFrame(
        {
            "dataset": table["dataset"],
            "algorithm": table["algorithm"],
            "statistic": table["statistic"],
            "score": table["score_mean"].map("{:.1f}".format),
            "std": table["score_std"].map("{:.1f}".format, na_action="ignore"),
            "seeds": table["num_seeds"].map("{:.0f}".format, na_action="ignore"),
            "updates": table["num_updates"].map("{:,}".format),
            "source": table["source"].map(marks),
            "note": table["note"].map(marks),
        }
    )
    if seeds is not None:
        bounds = [_bounds(row, seeds) for row in table.to_dict("records")]
        shown.insert(4, "reproduced", [inner for inner, _ in bounds])
        shown.insert(5, "not reproduced", [outer for _, outer in bounds])
    legend = [f"{marks[text]} {text}" for text in (*sources, *notes)]
    return "\n".join([shown.fillna("").to_string(index=False), "", *legend])


def _bounds(row: dict[str, Any], seeds: int) -> tuple[str, str]:
    """Of which scores of ours the verdict would be that they are the same, and of which that they are not."""
    half = 100 * half_width(row["score_std"] / 100, row["num_seeds"], seeds)
    if row["statistic"] == "best" or np.isnan(half):
        return "", ""
    mean, rest = row["score_mean"], 100 * MARGIN - half
    inner = f"{mean - rest:.1f} to {mean + rest:.1f}" if rest > 0 else "never"
    return inner, f"below {mean - 100 * MARGIN - half:.1f}, above {mean + 100 * MARGIN + half:.1f}"


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
