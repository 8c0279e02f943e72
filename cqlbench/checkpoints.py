"""Resume points of a run: all that its next update depends on, in files that prove themselves whole.

They lie in `<run folder>/checkpoints` while the run goes on, the newest two of them. A file's name carries the hash of
its content, so that one cut short by a crash is known from one that is whole; nothing in them is ever unpickled. Once
the run is over, `finished.json` proves that.
"""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cqlbench import runs
from cqlbench.writers import aside, write_json

KEPT = 2


class Checkpoint(NamedTuple):
    """A run after `update` updates: its method's training state, its tables so far, what it has taken until then."""

    update: int
    method: dict[str, Tensor]
    tables: dict[str, bytes]
    timings: dict[str, float]


class Checkpoints:
    """The checkpoints of the run in `run_folder`. `identity` is what must be equal for one to be gone on from."""

    def __init__(self, run_folder: Path, identity: dict[str, Any], every: float) -> None:
        self.run_folder, self.folder, self.every = run_folder, run_folder / runs.CHECKPOINTS, every
        self.identity = json.dumps(identity, sort_keys=True)
        self.last = time.monotonic()

    @property
    def due(self) -> bool:
        """Whether `every` seconds have passed since the last one."""
        return time.monotonic() - self.last >= self.every

    def save(self, checkpoint: Checkpoint) -> None:
        """Writes one, whole or not at all, with the state of the process's global generators; forgets the oldest."""
        tensors = {f"method/{name}": tensor.clone().contiguous() for name, tensor in checkpoint.method.items()}
        for name, content in checkpoint.tables.items():
            tensors[f"table/{name}"] = torch.frombuffer(bytearray(content or b"\0"), dtype=torch.uint8)
        tensors |= {f"generator/{name}": state for name, state in _generators().items()}
        described = {
            "identity": self.identity,
            "update": checkpoint.update,
            "timings": checkpoint.timings,
            "empty_tables": [name for name, content in checkpoint.tables.items() if not content],
        }
        content = save(tensors, {"checkpoint": json.dumps(described)})
        self.folder.mkdir(exist_ok=True)
        path = self.folder / f"{checkpoint.update:012d}-{_digest(content)}.safetensors"
        with aside(path) as beside:
            beside.write_bytes(content)
        for old in self._files()[KEPT:]:
            old.unlink()
        self.last = time.monotonic()

    def newest(self, tell: Callable[[str], None]) -> Checkpoint | None:
        """The newest that is whole and of this identity, and the global generators as they were then; None for none.

        The others are removed, and `tell` is told why.
        """
        for path in self._files():
            try:
                checkpoint = self._read(path)
            except ValueError as error:
                tell(f"checkpoint {path.name} cannot be used: {error}")
                path.unlink()
            else:
                return checkpoint
        return None

    def finish(self, status: dict[str, Any]) -> None:
        """Notes that the run is over with this status, and what its files then were."""
        write_json(self.run_folder / runs.FINISHED, {"status": status} | self._proof())

    def finished(self) -> dict[str, Any] | None:
        """The status of a run of this identity that is over and whose files are as they were then; else None.

        Snakemake removes the status of a run that was done when it was itself killed before it had heard of it.
        """
        path = self.run_folder / runs.FINISHED
        try:
            noted = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            return None
        status = noted.get("status") if isinstance(noted, dict) else None
        return status if noted == {"status": status} | self._proof() else None

    def _proof(self) -> dict[str, Any]:
        files = [name for name in runs.FILES if name not in (runs.STATUS, runs.TIMING, runs.FINISHED)]
        present = [name for name in files if (self.run_folder / name).is_file()]
        contents = {name: hashlib.sha256((self.run_folder / name).read_bytes()).hexdigest() for name in present}
        return {"identity": hashlib.sha256(self.identity.encode()).hexdigest(), "files": contents}

    def remove(self) -> None:
        """Forgets them all."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("[0-9]*.safetensors"), reverse=True)

    def _read(self, path: Path) -> Checkpoint:
        """Raises ValueError with the reason where the file is damaged or of another run."""
        if _digest(path.read_bytes()) != path.stem.partition("-")[2]:
            raise ValueError("it is damaged (its content is not what its name says).")
        try:
            with safe_open(path, "pt") as file:
                described = json.loads(file.metadata()["checkpoint"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
            identity = described["identity"]
        except (SafetensorError, KeyError, TypeError) as error:
            raise ValueError(f"it is no checkpoint ({error}).") from error
        if identity != self.identity:
            raise ValueError("it is of another dataset, code, package or device.")

        def under(kind: str) -> dict[str, Tensor]:
            return {name.removeprefix(kind): tensor for name, tensor in tensors.items() if name.startswith(kind)}

        tables = {name: content.numpy().tobytes() for name, content in under("table/").items()}
        tables |= dict.fromkeys(described["empty_tables"], b"")
        _restore_generators(under("generator/"))
        return Checkpoint(described["update"], under("method/"), tables, described["timings"])


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _generators() -> dict[str, Tensor]:
    """The state of every global generator that a method may draw from: d3rlpy draws from torch's."""
    version, numbers, normal = random.getstate()
    legacy = np.random.get_state(legacy=False)
    states = {
        "torch": torch.get_rng_state(),
        "python": torch.tensor([version, *numbers]),
        "python_normal": torch.tensor([float("nan") if normal is None else normal], dtype=torch.float64),
        "numpy": torch.tensor([*legacy["state"]["key"].tolist(), legacy["state"]["pos"], legacy["has_gauss"]]),
        "numpy_normal": torch.tensor([legacy["gauss"]], dtype=torch.float64),
    }
    if torch.cuda.is_available():
        states |= {f"cuda{index}": state for index, state in enumerate(torch.cuda.get_rng_state_all())}
    return states


def _restore_generators(states: dict[str, Tensor]) -> None:
    torch.set_rng_state(states["torch"])
    version, *numbers = states["python"].tolist()
    normal = states["python_normal"].item()
    random.setstate((version, tuple(numbers), None if np.isnan(normal) else normal))
    *keys, position, has_normal = states["numpy"].tolist()
    np.random.set_state(("MT19937", np.array(keys, np.uint32), position, has_normal, states["numpy_normal"].item()))
    for name, state in states.items():
        if name.startswith("cuda"):
            torch.cuda.set_rng_state(state, int(name.removeprefix("cuda")))
