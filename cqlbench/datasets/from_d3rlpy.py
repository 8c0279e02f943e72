"""d3rlpy's ReplayBuffer files, as `ReplayBuffer.dump` writes them (version 2.8.1, d3rlpy/dataset/io.py).

An episode has as many observations as actions, so the next observation of its last step is not in the file: d3rlpy
itself leaves that step out where the episode was cut, and never looks at it where it terminated.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cqlbench.datasets.foreign import Origin, check_shapes, join, read_flags
from cqlbench.datasets.guard import check_size, has, open_hdf5, quoted, read_hdf5
from cqlbench.datasets.offline import Recording
from cqlbench.errors import UserError

if TYPE_CHECKING:
    import h5py


def is_replay_buffer(file: h5py.File) -> bool:
    """Whether an open HDF5 file is of this layout."""
    return has(file, "num_episodes") and has(file, "columns")


def read(path: Path, origin: Origin) -> tuple[Recording, Origin]:
    """The steps of every episode. Raises UserError as `read_hdf5` does, and for observations in several parts."""
    parts: dict[str, list[np.ndarray]] = {"observations": [], "actions": [], "rewards": []}
    terminals, ends = [], []
    size = 0
    with open_hdf5(path) as file:
        count = read_hdf5(file, "num_episodes")
        if count.shape != () or count.dtype.kind not in "iu":
            raise UserError(f"{path}: num_episodes is {quoted(count)}; it must be a whole number.")
        for episode in range(int(count)):
            if has(file, f"observations_{episode}_0"):
                raise UserError(f"{path}: observations are in several parts; join them into one vector first.")
            for name, arrays in parts.items():
                arrays.append(read_hdf5(file, f"{name}_{episode}"))
                size += arrays[-1].nbytes
            # One array may stand under a thousand names.
            check_size(str(path), size)
            check_shapes(f"{path}, episode {episode}", {name: arrays[-1] for name, arrays in parts.items()})
            last = np.zeros(len(parts["rewards"][-1]), bool)
            last[-1:] = True
            terminated = read_flags(f"{path}: terminated_{episode}", read_hdf5(file, f"terminated_{episode}").ravel())
            terminals.append(last & terminated)
            ends.append(last)
    if not ends:
        raise UserError(f"{path}: there are no episodes in it.")
    recording = Recording(
        **{name: join(f"{path}: {name}", found) for name, found in parts.items()},
        terminals=np.concatenate(terminals),
        ends=np.concatenate(ends),
        next_observations=None,
    )
    return recording, origin
