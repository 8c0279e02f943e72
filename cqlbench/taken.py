"""Runs that a suite does not train but takes from the tables of another: those of results/reference/, of a fresh clone.

A run is taken only where it is the very one that would be trained: the same settings, budget and protocol (its config
hash), the same seed, and the same content of the dataset. The code that made it may be another; that is told, since
runs.csv names it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cqlbench.algorithms.registry import find_algorithm
from cqlbench.datasets.store import stored_metadata
from cqlbench.datasets.tables import read_hashes
from cqlbench.errors import UserError
from cqlbench.runs import RESULTS_OF_TRAINING, Run
from cqlbench.scores import AXIS, KEYS, RUNS, SCORES, read_table, refuse_mixed_contents
from cqlbench.suites import Method, Suite


def taken_tables(suite: Suite) -> list[Path]:
    """The tables of scores that the suite takes runs from."""
    return [
        Path(folder, SCORES) for folder in sorted({method.taken_from for method in suite.methods if method.taken_from})
    ]


def why_not_taken(wanted: Sequence[tuple[Method, Run]], folder: Path, datasets: Path) -> str | None:
    """The first reason why `folder` cannot stand for these runs, in words; None where it can.

    The content that counts is that of the dataset below `datasets`, or where it has not been made, what the package's
    table says it will be.
    """
    if not (folder / SCORES).is_file() or not (folder / RUNS).is_file():
        return f"{folder} has no {SCORES} and {RUNS}"
    scores, planned = read_table(folder / SCORES), read_table(folder / RUNS)
    contents = {run.dataset: _content(run.dataset, datasets) for _, run in wanted}
    for method, run in wanted:
        found = _rows_of(run, scores)
        if found.empty:
            return f"{folder} {_difference(method, run, scores)}"
        label, content = found[["method", "dataset_hash"]].iloc[-1]
        status = planned.set_index(KEYS[RUNS]).loc[(run.dataset, label, run.seed), "status"]
        if status not in RESULTS_OF_TRAINING:
            return f"seed {run.seed} of {label} on {run.dataset} in {folder} is {status}"
        if content != contents[run.dataset]:
            return (
                f"{folder} has {run.dataset} with another content ({content[:12]}, here "
                f"{(contents[run.dataset] or 'not known')[:12]})"
            )
    return None


def add_taken(tables: dict[str, pd.DataFrame], suite: Suite, datasets: Path) -> dict[str, pd.DataFrame]:
    """The tables of `collect_tables` with the rows of the suite's taken runs.

    Their methods are called as in this suite; in runs.csv `folder` is empty and `taken_from` says where they are from.
    Of a table that is not there nothing is taken. Raises UserError where a run cannot be taken, with the reason.
    """
    refuse_other_runs(suite, datasets)
    rows: dict[str, list[dict[str, Any]]] = {name: table.to_dict("records") for name, table in tables.items()}
    sources: dict[str, dict[str, pd.DataFrame]] = {}
    for method, run in suite.taken_runs():
        assert method.taken_from is not None
        folder = Path(method.taken_from)
        source = sources.setdefault(
            method.taken_from, {name: read_table(folder / name) for name in tables if (folder / name).is_file()}
        )
        label = _rows_of(run, source[SCORES])["method"].iloc[0]
        settings = method.config.settings()
        entry = {"method": method.label, "family": method.family, "headline": method.headline}
        own = {
            SCORES: entry | {axis: settings.get(axis) for axis in suite.axes},
            RUNS: entry
            | {"folder": None, "taken_from": folder.as_posix()}
            | {AXIS + axis: "null" if value is None else value for axis, value in method.axes.items()},
        }
        for name, table in source.items():
            of_run = (table["dataset"] == run.dataset) & (table["method"] == label) & (table["seed"] == run.seed)
            rows[name] += [row | own.get(name, {"method": method.label}) for row in table[of_run].to_dict("records")]
    joined = {
        name: pd.DataFrame(rows[name], columns=table.columns).sort_values(KEYS[name], ignore_index=True)
        for name, table in tables.items()
    }
    refuse_mixed_contents(joined[SCORES])
    return joined


def refuse_other_runs(suite: Suite, datasets: Path) -> None:
    """Raises UserError where a folder that the suite takes runs from does not have them, or has others, with why."""
    taken = suite.taken_runs()
    for family, folder in dict.fromkeys((method.family, method.taken_from) for method, _ in taken):
        assert folder is not None
        if reason := why_not_taken([pair for pair in taken if pair[0].family == family], Path(folder), datasets):
            raise UserError(
                f"suite {suite.name}: methods.{family}.taken_from: {reason}. Leave the key out to train these runs."
            )


def _content(dataset: str, datasets: Path) -> str | None:
    stored = stored_metadata(dataset, datasets)
    if stored:
        return stored["content_hash"]
    expected = read_hashes().get(dataset)
    return expected.sha256 if expected else None


def _rows_of(run: Run, scores: pd.DataFrame) -> pd.DataFrame:
    same = (scores["dataset"] == run.dataset) & (scores["config_hash"] == run.config_hash)
    return scores[same & (scores["seed"] == run.seed)]


def _difference(method: Method, run: Run, scores: pd.DataFrame) -> str:
    """What it is that the table does not have."""
    entry = find_algorithm(method.algorithm)
    here = scores[
        (scores["dataset"] == run.dataset)
        & (scores["algorithm"] == entry.algorithm)
        & (scores["implementation"] == entry.implementation)
    ]
    if here.empty:
        return f"has no run of {method.algorithm} on {run.dataset}"
    budget = int(here["update"].max())
    if budget != run.protocol.updates:
        return f"has {method.algorithm} on {run.dataset} after {budget} updates, not {run.protocol.updates}"
    episodes = sorted(set(here["episodes"]))
    if run.protocol.episodes not in episodes:
        return (
            f"has {method.algorithm} on {run.dataset} evaluated by {episodes[0]} episodes, not {run.protocol.episodes}"
        )
    if run.config_hash not in set(here["config_hash"]):
        return f"has {method.algorithm} on {run.dataset} with other settings or another protocol"
    return f"lacks seed {run.seed} of {method.algorithm} on {run.dataset}"
