"""What the figures read from the statistics tables: the headline methods, their families and names in print."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style

if TYPE_CHECKING:
    import pandas as pd

Tables = dict[str, "pd.DataFrame"]


def headline_rows(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the headline methods; an empty table does not know that this column is a truth value."""
    return table[table["headline"].astype(bool)]


def headline_families(tables: Tables) -> dict[str, str]:
    """The family of each headline method."""
    table = headline_rows(tables["table"])
    return dict(zip(table["method"], table["family"], strict=True))


def headline_labels(table: pd.DataFrame) -> dict[str, str]:
    """Each family's headline method in print."""
    table = headline_rows(table)
    return {row.family: style.label(row.method, row.family) for row in table.itertuples(index=False)}


def by_family(table: pd.DataFrame, methods: dict[str, str], tables: Tables) -> list[tuple[str, pd.DataFrame, str]]:
    """(family, its rows, its name in print) in the order of every figure."""
    labels = headline_labels(tables["table"])
    families = table["method"].map(methods)
    return [(family, table[families == family], labels[family]) for family in style.ordered(families)]
