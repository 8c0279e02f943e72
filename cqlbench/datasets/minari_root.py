"""Minari takes its folder from the environment: where it works for a while, and how its datasets find their place."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_VARIABLE = "MINARI_DATASETS_PATH"


def minari_folder(root: Path, name: str) -> Path:
    """Where `mujoco/hopper/medium-v0` lies: under `root`, or where Minari keeps its own; under `root` if in neither."""
    own = Path(os.environ.get(_VARIABLE, Path.home() / ".minari" / "datasets"))
    folders = [Path(base) / name / "data" for base in (root, own)]
    return next((folder for folder in folders if folder.is_dir()), folders[0])


@contextmanager
def minari_works_in(folder: Path) -> Iterator[None]:
    """Inside the block Minari reads and writes `folder`."""
    before = os.environ.get(_VARIABLE)
    os.environ[_VARIABLE] = str(Path(folder).resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ[_VARIABLE]
        else:
            os.environ[_VARIABLE] = before


def move_in(workshop: Path, root: Path) -> None:
    """Moves every dataset of the Minari root `workshop` to its place in `root`, and what names their groups."""
    # Not every folder called data is one: the hub's client keeps its notes beside.
    for metadata in sorted(workshop.rglob("data/metadata.json")):
        dataset = metadata.parent.parent
        place = root / dataset.relative_to(workshop)
        for group in place.relative_to(root).parents:
            named = workshop / group / "namespace_metadata.json"
            if named.is_file():
                (root / group).mkdir(parents=True, exist_ok=True)
                shutil.copy(named, root / group)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        os.replace(dataset, place)
    shutil.rmtree(workshop)
