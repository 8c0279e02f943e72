"""The multilayer perceptron under every network here."""

from __future__ import annotations

from itertools import pairwise

from torch import nn


def mlp(input_size: int, width: int, depth: int, output_size: int) -> nn.Sequential:
    """`depth` hidden layers of `width` ReLU units and a linear output: (..., input_size) -> (..., output_size)."""
    sizes = [input_size] + [width] * depth
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], output_size))
