"""The arrays of a flat copy as they lie on the disk: mapped, read where they are looked at, and read ahead."""

from __future__ import annotations

import mmap
import os
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np


class MappedFile:
    """The arrays of an uncompressed .npz, read-only, none of them in memory; `arrays` is by name.

    Raises OSError, ValueError or BadZipFile where the file is not one.
    """

    def __init__(self, path: Path) -> None:
        self.file = path.open("rb")
        self.map = mmap.mmap(self.file.fileno(), 0, access=mmap.ACCESS_READ)
        self.arrays: dict[str, np.ndarray] = {}
        self.places: dict[str, tuple[int, int]] = {}  # of each array: where it starts, and the bytes of a row
        with zipfile.ZipFile(self.file) as members:
            for member in members.infolist():
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ValueError(f"{member.filename} is compressed")
                # The header in the file may be longer than the one in the directory: only opening tells where it ends.
                with members.open(member) as stream:
                    if np.lib.format.read_magic(stream) != (1, 0):
                        raise ValueError(f"{member.filename} is of another version")
                    shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
                    header = stream.tell()
                offset = self._content_of(member) + header
                name = member.filename.removesuffix(".npy")
                flat = np.frombuffer(self.map, dtype, int(np.prod(shape)), offset)
                self.arrays[name] = flat.reshape(shape)
                self.places[name] = offset, flat.nbytes // max(1, len(self.arrays[name]))

    def _content_of(self, member: zipfile.ZipInfo) -> int:
        """Where a member's bytes start: behind its local header, whose last numbers are the lengths of name and extra
        field (PKWARE's APPNOTE, 4.3.7)."""
        start = member.header_offset
        lengths = np.frombuffer(self.map, "<u2", 2, start + 26)
        return start + 30 + int(lengths.sum())

    def expect(self, names: Iterable[str], start: int, rows: int) -> None:
        """These rows will soon be read: the system fetches them while others are worked on, without a thread here."""
        for first, length in self._ranges(names, start, rows):
            self.map.madvise(mmap.MADV_WILLNEED, first, length)

    def release(self, names: Iterable[str], start: int, rows: int) -> None:
        """These rows will not soon be read again: they leave the memory, the system's cache of the file too."""
        for first, length in self._ranges(names, start, rows):
            self.map.madvise(mmap.MADV_DONTNEED, first, length)
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(self.file.fileno(), first, length, os.POSIX_FADV_DONTNEED)

    def _ranges(self, names: Iterable[str], start: int, rows: int) -> Iterator[tuple[int, int]]:
        """(first byte, bytes) of whole pages that hold these rows; what lies beyond the last row is left out."""
        for name in names:
            offset, width = self.places[name]
            first = offset + start * width
            last = offset + min(start + rows, len(self.arrays[name])) * width
            page = first - first % mmap.PAGESIZE
            if last > page:
                yield page, last - page
