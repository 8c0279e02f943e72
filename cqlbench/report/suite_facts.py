"""What the page says of a suite as a whole, from its tables; what no table knows, from its file or from about.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pandas as pd
import yaml

from cqlbench.errors import UserError
from cqlbench.published.curves import ABOUT
from cqlbench.suites import Suite

KEYS = ("title", "note", "source")


class SuiteFacts(NamedTuple):
    """Names and numbers of a suite. Each of `updates`, `episodes`, `states` holds the values that occur, ascending.

    `evaluations` are the points of training at which runs were evaluated; `trained_here` is whether any of its runs
    has a folder, which imported tables have not.
    """

    name: str
    title: str
    note: str
    source: str
    datasets: list[str]
    methods: int
    seeds: list[int]
    runs: int
    updates: list[int]
    evaluations: list[int]
    episodes: list[int]
    states: list[int]
    trained_here: bool


def suite_facts(
    folder: Path, suite: Suite | None, runs: pd.DataFrame, scores: pd.DataFrame, values: pd.DataFrame
) -> SuiteFacts:
    """The facts of `folder`'s tables. Raises UserError for an about.yaml that is not one."""
    known = {"title": suite.title, "note": suite.note, "source": ""} if suite else _read_about(folder / ABOUT)
    name = suite.name if suite else folder.resolve().name
    return SuiteFacts(
        name=name,
        title=known.get("title") or name,
        note=known.get("note") or "",
        source=known.get("source") or "",
        datasets=list(suite.datasets) if suite else sorted(runs["dataset"].unique()),
        methods=runs["method"].nunique(),
        seeds=_occurring(runs["seed"]),
        runs=len(runs),
        updates=_occurring(runs["updates"]),
        evaluations=_occurring(scores["update"]),
        episodes=_occurring(scores["episodes"]),
        states=_occurring(values["states"]),
        trained_here=bool(runs["folder"].notna().any()),
    )


def _read_about(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: this is not YAML in UTF-8 ({' '.join(str(error).split())}).") from error
    if not isinstance(content, dict) or not all(
        key in KEYS and isinstance(value, str) for key, value in content.items()
    ):
        raise UserError(f"{path}: {content!r} is not allowed; it must hold text under {', '.join(KEYS)}.")
    return content


def _occurring(column: pd.Series) -> list[int]:
    return sorted({int(value) for value in column.dropna()})
