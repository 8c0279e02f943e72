"""What the draws say of each theorem: violations as counts with an interval, and how loose its threshold is."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cqlbench.scores import read_table, write_table
from cqlbench.theory.experiments import DELTA, DRAWN, read_experiment
from cqlbench.theory.theorems import VIOLATED

if TYPE_CHECKING:
    import pandas as pd

VERDICTS = "verdicts.csv"
CONFIDENCE = 0.95
# Theorems that speak of no chance: an identity of the empirical MDP.
CERTAIN = ("theorem-3.5",)


def clopper_pearson(count: int, of: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """The exact interval of a share, from `count` among `of`; all of [0, 1] where there is nothing to count."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, count, of - count + 1)) if count else 0.0
    high = float(beta.ppf(1 - tail, count + 1, of - count)) if count < of else 1.0
    return low, high


def judge(experiment: str, table: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per dynamics of a theorem's table.

    The verdict was fixed before the draws: `holds` where the share of violations among the draws that meet the
    condition is at most delta (0 where the dynamics are known or the theorem is an identity), `fails` where it is
    more, `not tested` where no draw meets the condition.
    """
    return [_row(experiment, str(dynamics), rows) for dynamics, rows in table.groupby("dynamics", sort=False)]


def _row(experiment: str, dynamics: str, rows: pd.DataFrame) -> dict[str, Any]:
    met = rows[rows["condition"]]
    # Where a condition asks for an infinite alpha there is nothing to test.
    unmet = rows[~rows["condition"]]["holds"].dropna().astype(bool)
    violations = int((met["verdict"] == VIOLATED).sum())
    low, high = clopper_pearson(violations, len(met))
    delta = 0.0 if dynamics == "known" or experiment in CERTAIN else DELTA
    verdict = "not tested" if met.empty else "holds" if violations <= delta * len(met) else "fails"
    row = {
        "theorem": experiment.removeprefix("theorem-"),
        "dynamics": dynamics,
        "verdict": verdict,
        "draws": len(rows),
        "condition_met": len(met),
        "violations": violations,
        "low": low,
        "high": high,
        "delta": delta,
        "unmet_tested": len(unmet),
        "unmet_failing": int((~unmet).sum()),
    }
    for column in ("as_printed", "as_printed_at_threshold"):
        printed = rows[column].dropna() if column in rows else rows["verdict"].iloc[:0]
        row |= {f"{column}_tested": len(printed), f"{column}_violated": int((printed == VIOLATED).sum())}
    if "vacuous" in rows and dynamics == "sampled":
        row |= {"says_nothing": int(met["vacuous"].sum())}
    if "promised_from" in rows:
        row |= {"promises_an_improvement": int(met["promised_from"].notna().sum())}
    if "share" in rows:
        shares = met["share"].dropna()
        below = rows["holds_below"].dropna()
        row |= {
            "no_penalty_needed": int((rows["smallest"] == 0).sum()),
            "no_alpha_works": int(np.isinf(rows["smallest"]).sum()),
            "share_median": shares.median(),
            "share_90_percent": shares.quantile(0.9),
            "share_largest": shares.max(),
            "tested_below": len(below),
            "failing_below": int((~below.astype(bool)).sum()),
        }
    return row


COLUMNS = (
    "theorem", "dynamics", "verdict", "condition met", "violations", "allowed", "needed / demanded alpha",
    "bound says nothing", "violations as printed",
)  # fmt: skip


def markdown(verdicts: pd.DataFrame) -> str:
    """verdicts.csv as a page shows it."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- " * len(COLUMNS) + "|"]
    return "\n".join([*lines, *("| " + " | ".join(_cells(row)) + " |" for row in verdicts.to_dict("records"))]) + "\n"


def _cells(row: dict[Hashable, Any]) -> list[str]:
    """A row of verdicts.csv as COLUMNS show it."""
    printed = [
        f"{row[f'{column}_violated']} of {row[f'{column}_tested']}{where}"
        for column, where in (("as_printed", ""), ("as_printed_at_threshold", " at the threshold"))
        if row["dynamics"] == "sampled" and row[f"{column}_tested"]
    ]
    loose = f"{row['share_median']:.2g} ({row['share_largest']:.2g})" if row["share_median"] > 0 else "–"
    nothing = row["says_nothing"]
    return [
        row["theorem"],
        row["dynamics"],
        row["verdict"],
        f"{row['condition_met']} of {row['draws']}",
        f"{row['violations']} ({100 * row['low']:.1f} to {100 * row['high']:.1f} %)",
        f"{100 * row['delta']:g} %",
        loose,
        "–" if nothing != nothing else f"{nothing:.0f} of {row['condition_met']}",
        "; ".join(printed) or "–",
    ]


def write_verdicts(folder: Path) -> pd.DataFrame:
    """Judges every theorem's table in `folder` into verdicts.csv. Raises UserError where one has not been made."""
    import pandas as pd

    rows = [row for experiment in DRAWN for row in judge(experiment, read_experiment(experiment, folder))]
    write_table(pd.DataFrame(rows), folder / VERDICTS)
    return read_verdicts(folder)


def read_verdicts(folder: Path) -> pd.DataFrame:
    """verdicts.csv of `folder`, the theorems by name. Raises UserError where it has not been made."""
    return read_table(folder / VERDICTS, f"`cqlbench theory verdicts {folder}`").astype({"theorem": str})
