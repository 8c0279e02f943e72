"""Files that appear whole or not at all: written aside, then renamed."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def aside(path: Path) -> Iterator[Path]:
    """A path in the same folder to write to; it becomes `path` when the block ends well and vanishes when not.

    What it then names is on the disk: a power cut does not leave a name whose content is lost.
    """
    beside = path.with_name(f".{os.getpid()}.{path.name}")
    try:
        beside.touch()
        mode = beside.stat().st_mode
        yield beside
        # Some libraries write a file for its owner alone.
        beside.chmod(mode)
        _sync(beside)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def write_text(path: Path, text: str) -> None:
    """UTF-8 with the line ends that `text` has."""
    with aside(path) as beside:
        beside.write_text(text, encoding="utf-8", newline="\n")


def write_json(path: Path, content: Any) -> None:
    """Indented, keys in the order given."""
    write_text(path, json.dumps(content, indent=2) + "\n")


class CsvWriter:
    """A table that grows row by row in `<path>.partial`, where it can be watched, and takes its place when the `with`
    block it is used in ends well.

    The columns are those of the first row, or the ones given; a later row with others raises ValueError. A table goes
    on from `earlier`, its `content` at another time.
    """

    def __init__(self, path: Path, columns: list[str] | None = None, earlier: bytes = b"") -> None:
        self.path = path
        self.partial = path.with_name(path.name + ".partial")
        self.file = self.partial.open("w", newline="", encoding="utf-8")
        self.writer: csv.DictWriter | None = None
        if earlier:
            text = earlier.decode("utf-8")
            self.file.write(text)
            self.file.flush()
            self._start(next(csv.reader(text.splitlines())))
        elif columns:
            self._start(columns).writeheader()
            self.file.flush()

    @property
    def content(self) -> bytes:
        """The rows until now, as they stand in the file."""
        return self.partial.read_bytes()

    def write(self, row: dict[str, Any]) -> None:
        if self.writer is None:
            self._start(list(row)).writeheader()
        assert self.writer
        self.writer.writerow(row)
        self.file.flush()

    def _start(self, columns: list[str]) -> csv.DictWriter:
        self.writer = csv.DictWriter(self.file, columns, extrasaction="raise", lineterminator="\n")
        return self.writer

    def __enter__(self) -> CsvWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.file.close()
        if kind is None:
            _sync(self.partial)
            os.replace(self.partial, self.path)
