"""Where a method's random numbers come from: a place of its own, so that two methods can be given the same ones."""

from __future__ import annotations

import torch
from torch import Tensor

Shape = tuple[int, ...] | torch.Size


class Noise:
    """Draws from one generator, in the type and on the device of `like`, wherever the generator lives."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def normal(self, shape: Shape, like: Tensor) -> Tensor:
        """Standard normal numbers."""
        return self._draw(torch.randn, shape, like)

    def uniform(self, shape: Shape, like: Tensor) -> Tensor:
        """Numbers uniform in [-1, 1], as actions are."""
        return 2 * self._draw(torch.rand, shape, like) - 1

    def choices(self, weights: Tensor, count: int) -> Tensor:
        """(..., N) weights that sum to 1 -> (..., count) indices below N, drawn with replacement."""
        cumulative = weights.cumsum(-1)
        # Rounding may leave the sum just under 1.
        below = self._draw(torch.rand, (*weights.shape[:-1], count), weights) * cumulative[..., -1:]
        return torch.searchsorted(cumulative, below, right=True).clamp_(max=weights.shape[-1] - 1)

    def _draw(self, kind, shape: Shape, like: Tensor) -> Tensor:
        return kind(shape, generator=self.generator, dtype=like.dtype, device=self.generator.device).to(like.device)
