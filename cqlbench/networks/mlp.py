"""The multilayer perceptron under every network here, and the ways its weights may start."""

from __future__ import annotations

import math
from itertools import pairwise

from torch import Tensor, nn

from cqlbench.networks.fused import fused_networks, worthwhile


class MLP(nn.Sequential):
    """`depth` hidden layers of `width` ReLU units and a linear output: (B, input_size) -> (B, output_size)."""

    def __init__(
        self,
        input_size: int,
        width: int,
        depth: int,
        output_size: int,
        layer_norm: bool = False,
        fused: bool = False,
    ) -> None:
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([input_size] + [width] * depth):
            layers += [nn.Linear(inputs, outputs), *activation(outputs, layer_norm)]
        super().__init__(*layers, nn.Linear(width if depth else input_size, output_size))
        self.fused, self.width = fused and not layer_norm, width
        self.weights: list[Tensor] = list(self.parameters())

    def forward(self, inputs: Tensor) -> Tensor:
        if self.fused and worthwhile(len(inputs), self.width):
            return fused_networks(1, self.weights, inputs).squeeze(0)
        return super().forward(inputs)


def activation(width: int, layer_norm: bool) -> list[nn.Module]:
    """What follows a hidden layer's linear map."""
    return [*([nn.LayerNorm(width)] if layer_norm else []), nn.ReLU(inplace=True)]


def linear_layers(network: nn.Module) -> list[nn.Linear]:
    """All of them, from the input to the output."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)]


def initialise(network: nn.Module, scheme: str, output_bound: float) -> None:
    """Draws the weights of all linear layers anew; the last one is the output.

    - `torch`: leaves them as torch made them;
    - `small-output`: output by Xavier with gain 0.01, its bias 0 (young-geng/CQL, SimpleSAC/model.py);
    - `orthogonal`: hidden layers orthogonal with gain sqrt 2, output with 0.01, biases 0 (corl-team/CORL,
      algorithms/offline/cql.py);
    - `rlkit`: hidden layers uniform within 1/sqrt(outputs), their biases 0.1, output uniform within `output_bound`
      (rlkit/torch/networks.py, whose "fan in" is the number of outputs).
    """
    *hidden, output = linear_layers(network)
    if scheme == "small-output":
        nn.init.xavier_uniform_(output.weight, gain=0.01)
        nn.init.zeros_(output.bias)
    elif scheme == "orthogonal":
        for layer in hidden:
            nn.init.orthogonal_(layer.weight, gain=math.sqrt(2))
            nn.init.zeros_(layer.bias)
        nn.init.orthogonal_(output.weight, gain=0.01)
        nn.init.zeros_(output.bias)
    elif scheme == "rlkit":
        for layer in hidden:
            bound = 1 / math.sqrt(layer.out_features)
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.constant_(layer.bias, 0.1)
        for parameter in (output.weight, output.bias):
            nn.init.uniform_(parameter, -output_bound, output_bound)
