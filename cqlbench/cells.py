"""CSVs that other people have made: what their cells hold, and which numbers no score or seed can be."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from cqlbench.errors import UserError

# Three times the expert is no score; three points of a hundred are.
LARGEST_SCORE = 3.0
# Above it not every whole number is one that a float can be.
LARGEST_WHOLE = 2**53
WHOLE = f"a whole number from 0 to {LARGEST_WHOLE}"


def read_cells(path: Path, types: Mapping[str, type] | None = None) -> pd.DataFrame:
    """A CSV, compressed or not, of which only empty cells are NaN; columns of `types` are read as these.

    Raises UserError where it is none, or where a row has more cells than the header.
    """
    try:
        with warnings.catch_warnings():
            # Of longer rows the first cells would else become their names, and the others stand in the wrong columns.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                path, float_precision="round_trip", keep_default_na=False, na_values=[""], dtype=types, index_col=False
            )
    except (OSError, EOFError, ValueError, zlib.error, pd.errors.ParserWarning) as error:
        raise UserError(f"{path}: cannot be read as CSV ({' '.join(str(error).split())}).") from error
