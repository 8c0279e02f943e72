"""Adam, in one fused call per step."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


class Adam:
    """Kingma and Ba 2015 with torch's defaults: torch.optim.Adam(fused=True), bit for bit, without what surrounds it.

    Making the first torch.optim optimiser of a process imports torch's compiler, and each of its steps spends longer on
    hooks and grouping than on the numbers of a small network.
    """

    def __init__(self, parameters: Iterable[Tensor], learning_rate: float) -> None:
        self.parameters, self.learning_rate = list(parameters), learning_rate
        # Made at the first step, in the type and on the device that the parameters then have.
        self.means: list[Tensor] = []
        self.squares: list[Tensor] = []
        self.steps: list[Tensor] = []

    def zero_grad(self) -> None:
        """Forgets the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    def state(self) -> dict[str, Tensor]:
        """What its next step depends on, beside the parameters and their gradients; empty before the first."""
        groups = {"mean": self.means, "square": self.squares, "steps": self.steps}
        return {f"{name}.{index}": tensor for name, group in groups.items() for index, tensor in enumerate(group)}

    def load_state(self, state: dict[str, Tensor]) -> None:
        """Goes on from the `state` of another time."""
        self.means, self.squares, self.steps = (
            [state[f"{name}.{index}"].to(p.device) for index, p in enumerate(self.parameters)] if state else []
            for name in ("mean", "square", "steps")
        )

    @torch.no_grad()
    def step(self) -> None:
        """One step along the gradients, which every parameter must have."""
        if not self.steps:
            self.means, self.squares = ([torch.zeros_like(p) for p in self.parameters] for _ in range(2))
            self.steps = [torch.zeros((), device=parameter.device) for parameter in self.parameters]
        gradients = [parameter.grad for parameter in self.parameters if parameter.grad is not None]
        assert len(gradients) == len(self.parameters), "a parameter has no gradient"
        torch._foreach_add_(self.steps, 1)
        torch._fused_adam_(
            self.parameters, gradients, self.means, self.squares, [],
            self.steps, lr=self.learning_rate, beta1=0.9, beta2=0.999, weight_decay=0.0, eps=1e-8, amsgrad=False,
            maximize=False,
        )  # fmt: skip
