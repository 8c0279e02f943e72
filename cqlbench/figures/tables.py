"""What the figures read from the statistics tables: the rows of the headline methods, in the order of every figure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cqlbench import style

if TYPE_CHECKING:
    import pandas as pd

Tables = dict[str, "pd.DataFrame"]


def headline(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the headline methods; an empty table does not know that this column is a truth value."""
    return table[table["headline"].astype(bool)]


def headline_methods(tables: Tables) -> dict[str, str]:
    """The family of each headline method, in the order of every figure."""
    methods = headline(tables["table"])
    families = dict(zip(methods["family"], methods["method"], strict=True))
    return {families[family]: family for family in style.ordered(families)}


def in_print(table: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """The rows of the headline methods with their `family` and their name in print, `label`.

    Ordered by method as every figure is, and within a method as they were.
    """
    methods = headline_methods(tables)
    kept = table[table["method"].isin(list(methods))]
    families = kept["method"].map(methods)
    places = kept["method"].map(list(methods).index)
    labels = [style.label(method, methods[method]) for method in kept["method"]]
    kept = kept.assign(family=families, label=labels, _place=places.astype(int))
    return kept.sort_values("_place", kind="stable", ignore_index=True).drop(columns="_place")


def per_dataset(table: pd.DataFrame, tables: Tables) -> pd.DataFrame:
    """As `in_print`, by dataset; a method without a row on a dataset of the suite has an empty one."""
    places = headline(tables["table"])[["dataset", "method"]].sort_values("dataset", kind="stable")
    rows = places.merge(table.drop(columns=["family", "headline"], errors="ignore"), "left", ["dataset", "method"])
    return in_print(rows, tables).sort_values("dataset", kind="stable", ignore_index=True)


def whole(updates: pd.Series) -> pd.Series:
    """Updates as whole numbers, of which some are missing."""
    return updates.astype(float).astype("Int64")
