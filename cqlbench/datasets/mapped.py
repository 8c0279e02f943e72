"""The arrays of a flat copy as they lie on the disk: mapped, read where they are looked at, and read ahead."""

from __future__ import annotations

import mmap
import os
import zipfile
from collections.abc import Iterable
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

    def expect(self, names: Iterable[str], start: int, stop: int) -> None:
        """These rows will soon be read: the system fetches them while others are worked on, without a thread here."""
        for name in names:
            first, length = self._range(name, start, stop)
            page = first - first % mmap.PAGESIZE
            self.map.madvise(mmap.MADV_WILLNEED, page, first + length - page)

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows start to stop of an array, in memory. They leave the system's cache of the file: they will not be read
        again before much else has been."""
        array, (first, length) = self.arrays[name], self._range(name, start, stop)
        content = os.pread(self.file.fileno(), length, first)
        self._forget(first, length)
        return np.frombuffer(content, array.dtype).reshape(-1, *array.shape[1:])

    def release(self) -> None:
        """What has been looked at leaves the memory, the system's cache of the file too."""
        self.map.madvise(mmap.MADV_DONTNEED)
        self._forget(0, 0)  # from the start to the end

    def _forget(self, first: int, length: int) -> None:
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self.file.fileno(), first, length, os.POSIX_FADV_DONTNEED)

    def _range(self, name: str, start: int, stop: int) -> tuple[int, int]:
        """(first byte, bytes)"""
        offset, width = self.places[name]
        return offset + start * width, (min(stop, len(self.arrays[name])) - start) * width
