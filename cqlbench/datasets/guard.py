"""Other people's files: plain numbers out of the file itself, of a size that fits, and nothing else.

Nothing is unpickled, no link leads to another file, and how large an array is said to be is looked at before it is
read. Whatever is wrong is a UserError that names the file and the array.
"""

from __future__ import annotations

import io
import lzma
import math
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil

from cqlbench.errors import UserError

if TYPE_CHECKING:
    import h5py

# An array is read, cast and cut: at the worst it is there three times.
COPIES = 3
# Of damaged files h5py raises about everything, TypeError for types that it does not know.
_READ_ERRORS = (
    OSError, ValueError, KeyError, EOFError, RuntimeError, TypeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile,
)  # fmt: skip
# NumPy's own headers take a hundred bytes, and it reads none of more than 10,000 characters.
_HEADER = 20_000
# What stands in a file is repeated in a sentence up to here.
_LONGEST = 80


def check_size(place: str, size: int) -> None:
    """Raises UserError where `size` bytes, and what is made of them, are more than the free memory."""
    free = psutil.virtual_memory().available
    if size * COPIES > free:
        raise UserError(
            f"{place}: {size / 1e9:,.1f} GB of numbers, of which {COPIES} copies do not fit into the {free / 1e9:,.1f} "
            "GB of free memory; nothing was read. If the file is what it should be, use a part of it."
        )


def check_numbers(place: str, dtype: np.dtype) -> None:
    """Raises UserError where `dtype` is not one of plain numbers: truth values, integers, floats."""
    if dtype.kind not in "biuf":
        raise UserError(f"{place}: its type is {dtype}; only plain numbers are read, and nothing is unpickled.")


@contextmanager
def open_hdf5(path: Path) -> Iterator[h5py.File]:
    """The file, for reading. Raises UserError where it is not there or not HDF5, also when that shows only later."""
    import h5py

    with _reading(path, "HDF5"), h5py.File(path, "r") as file:
        yield file


def read_hdf5(file: h5py.File, name: str) -> np.ndarray:
    """The array at `name` (`episode_0/actions`).

    Raises UserError where there is none, where it is not one of numbers, where its numbers lie in another file, and
    where it is too large.
    """
    import h5py

    place = f"{file.filename}: {name}"
    node: Any = file
    for part in name.split("/"):
        if not isinstance(node, h5py.Group) or not has(node, part):
            # Names that are not UTF-8 come as bytes.
            found = sorted(map(str, node)) if isinstance(node, h5py.Group) else []
            raise UserError(f"{place} is missing; at its place are {listed(found)}.")
        # Of the link itself, not of what it leads to.
        if node.id.links.get_info(part.encode()).type != h5py.h5l.TYPE_HARD:
            raise UserError(f"{place} is a link; links are not followed. Copy the array itself into the file.")
        node = node[part]
    if not isinstance(node, h5py.Dataset):
        raise UserError(f"{place} is a group, not an array.")
    if node.is_virtual or node.external:
        raise UserError(f"{place} keeps its numbers in another file, which is not opened. Copy them into this one.")
    check_numbers(place, node.dtype)
    check_size(place, math.prod(node.shape or ()) * node.dtype.itemsize)
    return np.asarray(node[()])


def has(group: h5py.Group, name: str) -> bool:
    """Whether something is called `name` in the group; no link is followed."""
    return group.id.links.exists(name.encode())


@contextmanager
def open_npz(path: Path) -> Iterator[dict[str, zipfile.Path]]:
    """The arrays in the file by their names, unread. Raises UserError where it is not there or not .npz."""
    with _reading(path, ".npz"), zipfile.ZipFile(path) as archive:
        yield {
            name.removesuffix(".npy"): zipfile.Path(archive, name)
            for name in archive.namelist()
            if name.endswith(".npy")
        }


def read_npy(entry: zipfile.Path) -> np.ndarray:
    """One of the arrays of `open_npz`. Raises UserError where it is not one of numbers or is too large."""
    with entry.open("rb") as stream:
        # A header may be said to be gigabytes long, and they would be unpacked.
        head = io.BytesIO(stream.read(_HEADER))
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(head)
    check_numbers(str(entry), dtype)
    check_size(str(entry), math.prod(shape) * dtype.itemsize)
    with entry.open("rb") as stream:
        return np.lib.format.read_array(stream, allow_pickle=False)


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    if not path.is_file():
        raise UserError(f"{path} does not exist.")
    try:
        yield
    except _READ_ERRORS as error:
        raise UserError(f"{path} cannot be read as {kind} ({reason_of(error)}); it may be damaged or cut.") from error


def reason_of(error: Exception) -> str:
    """The first line of what an error says, to stand in brackets."""
    return one_line((str(error) or type(error).__name__).splitlines()[0])


def quoted(found: object) -> str:
    """What stands in a file, in quotation marks where it is a text, as a sentence can hold it."""
    return one_line(repr(found))


def one_line(text: str) -> str:
    """A text out of a file, as a sentence can hold it: in one line, of a long one the beginning."""
    said = text if text.isprintable() else repr(text)
    return said if len(said) <= _LONGEST else f"{said[:_LONGEST]}..."


def listed(names: list[str]) -> str:
    """Of many names the first ten: a file may have thousands."""
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return ", ".join(map(one_line, names[:10])) + more or "no arrays"
