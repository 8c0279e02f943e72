"""Methods of one's own to which something happens: one whose values explode, one that takes all the memory there is."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from cqlbench.algorithms.configs import SACConfig
from cqlbench.algorithms.sac import SAC
from cqlbench.tasks import Batch, TaskSpec


class Explodes(SAC):
    """Naive SAC whose critics grow by a third with every update: infinite losses before the hundredth."""

    Config = SACConfig

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        with torch.no_grad():
            for weight in self.critic.parameters():
                weight *= 1.3
        return super().update(batch)


class Hungry:
    """Keeps 32 MB more with every update."""

    def __init__(self, spec: TaskSpec, config: Any, seed: int, device: torch.device) -> None:
        self.kept: list[Tensor] = []
        self.size = spec.action_size

    def update(self, batch: Batch) -> dict[str, Tensor | float]:
        self.kept.append(torch.ones(8_000_000))
        return {"kept": float(len(self.kept))}

    def act(self, observations: np.ndarray) -> np.ndarray:
        return np.zeros((len(observations), self.size), np.float32)

    def state_dict(self) -> dict[str, Tensor]:
        return {"kept": torch.zeros(1)}

    def load_state_dict(self, state: dict[str, Tensor]) -> None: ...
