"""Files that appear whole or not at all: written aside, then renamed."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO


@contextmanager
def whole_file(path: Path) -> Iterator[TextIO]:
    """Opens `<path>.partial` for text; renames it to `path` when the block ends well."""
    aside = path.with_name(path.name + ".partial")
    with aside.open("w", newline="", encoding="utf-8") as file:
        yield file
    os.replace(aside, path)


def write_json(path: Path, content: Any) -> None:
    """Indented, keys in the order given."""
    with whole_file(path) as file:
        json.dump(content, file, indent=2)
        file.write("\n")


class CsvWriter:
    """A table that grows row by row beside its place, flushed as it goes, and takes its place when
    the `with` block it is used in ends well.

    The columns are those of the first row, or the ones given; a later row with others raises ValueError.
    """

    def __init__(self, path: Path, columns: list[str] | None = None) -> None:
        self.path = path
        self.aside = path.with_name(path.name + ".partial")
        self.file = self.aside.open("w", newline="", encoding="utf-8")
        self.writer: csv.DictWriter | None = None
        if columns:
            self._start(columns)

    def _start(self, columns: list[str]) -> None:
        self.writer = csv.DictWriter(self.file, columns, extrasaction="raise", lineterminator="\n")
        self.writer.writeheader()

    def write(self, row: dict[str, Any]) -> None:
        if self.writer is None:
            self._start(list(row))
        assert self.writer
        self.writer.writerow(row)
        self.file.flush()

    def __enter__(self) -> CsvWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.file.close()
        if kind is None:
            os.replace(self.aside, self.path)
