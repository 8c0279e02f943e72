"""A ReLU network's values and gradients by formula: what autograd would give, in about half the passes over memory.

A network of L hidden layers maps an input x to h_0 = x, h_i = relu(h_{i-1} W_i^T + b_i), q = h_L W_out^T + b_out; rows
are the actions to score, thousands of them. Of a loss whose gradient by the values is g = dL/dq, one row each, the
chain rule leaves, going down with d = dL/dh:

    dW_out = g^T h_L    db_out = sum g    d = g W_out
    for each hidden layer from the last:
        d = d where h_i > 0, else 0     (the derivative of relu)
        dW_i = d^T h_{i-1}    db_i = sum d    d = d W_i

A critic scores N actions of one state s, so the first layer splits: x = (s, a), W_1 = (W_s, W_a) and
x W_1^T = s W_s^T + a W_a^T. The half of the state is computed once for its N rows, and on the way down
dW_s = (d summed over the N rows)^T s,    dW_a = d^T a,    da = d W_a.

The loss itself stays with autograd: it sees B x N numbers, the network has all the work. What is saved beside that:
bias and relu come with the product where oneDNN makes it, nothing is concatenated or copied, and the products of a
layer's gradient run over pieces that stay in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

# Multiplications of one layer from which all this is faster than what it replaces.
WORTHWHILE = 1 << 22
# Numbers of a hidden layer that are worked on at a time: half a megabyte stays in a core's cache.
PIECE = 1 << 18


def worthwhile(rows: int, width: int) -> bool:
    """Whether a network of this width is faster fused: below, the calls take longer than the arithmetic."""
    return rows * width**2 >= WORTHWHILE


def fused_networks(networks: Sequence[Sequence[nn.Linear]], inputs: Tensor, actions: Tensor | None = None) -> Tensor:
    """The outputs of C networks of linear layers with ReLU between, differentiable once in all but `inputs`.

    (B, O) -> (C, B, out); with actions of these states, (B, A) -> (C, B, out) and (B, N, A) -> (C, B, N, out);
    (C, B, N, A) are each network's own.
    """
    parameters = [part for layers in networks for layer in layers for part in (layer.weight, layer.bias)]
    return _FusedNetworks.apply(len(networks), inputs, actions, *parameters)


class _FusedNetworks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, count: int, inputs: Tensor, actions: Tensor | None, *parameters: Tensor) -> Tensor:
        each = len(parameters) // count
        outputs: list[Tensor] = []
        hidden: list[Tensor] = []
        for network in range(count):
            own = parameters[network * each : (network + 1) * each]
            pieces = [_forward(own, *piece) for piece in _pieces(inputs, _own(actions, network), own[0].shape[0])]
            outputs += [output for output, _ in pieces]
            hidden += [layer for _, layers in pieces for layer in layers]
        ctx.count = count
        ctx.save_for_backward(inputs, actions, *parameters, *hidden)
        return torch.cat(outputs).unflatten(0, (count, len(inputs)))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_outputs: Tensor) -> tuple[Tensor | None, ...]:
        inputs, actions, *saved = ctx.saved_tensors
        _, _, wants_actions, wants_parameters = ctx.needs_input_grad[:4]
        each = (len(ctx.needs_input_grad) - 3) // ctx.count
        hidden = iter(saved[each * ctx.count :])
        by_actions: list[Tensor] = []
        by_parameters: list[Tensor | None] = []
        for network, by_output in enumerate(by_outputs):
            weights = saved[network * each : (network + 1) * each : 2]
            total: list[Tensor] = []
            rest = by_output
            for piece in _pieces(inputs, _own(actions, network), weights[0].shape[0]):
                down, rest = rest.tensor_split([len(piece[0])])
                layers = [next(hidden) for _ in weights[1:]]
                down, gradients = _backward(down.flatten(0, -2), weights, layers, *piece, wants_parameters)
                if wants_actions:
                    by_actions.append((down @ weights[0][:, inputs.shape[1] :]).view_as(piece[1]))
                if total:
                    torch._foreach_add_(total, gradients)
                total = total or gradients
            by_parameters += total if wants_parameters else [None] * each
        if not wants_actions:
            return None, None, None, *by_parameters
        of_each = torch.cat(by_actions).unflatten(0, (ctx.count, len(inputs)))
        return None, None, of_each if actions.dim() == 4 else of_each.sum(0), *by_parameters


def _pieces(inputs: Tensor, actions: Tensor | None, width: int) -> list[tuple[Tensor, Tensor | None]]:
    """The states in pieces, with their actions, whose hidden layers stay in the cache."""
    rows = 1 if actions is None or actions.dim() == 2 else actions.shape[1]
    states = max(1, PIECE // (rows * width))
    if states >= len(inputs):
        return [(inputs, actions)]
    each = inputs.split(states)
    return list(zip(each, [None] * len(each) if actions is None else actions.split(states), strict=True))


def _own(actions: Tensor | None, network: int) -> Tensor | None:
    return actions if actions is None or actions.dim() < 4 else actions[network]


def _forward(parameters: Sequence[Tensor], inputs: Tensor, actions: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    """One network's output and its hidden layers, a row for each action."""
    weights, biases = parameters[::2], parameters[1::2]
    if actions is None:
        hidden = [_linear_relu(inputs, weights[0], biases[0])]
    else:
        size = inputs.shape[1]
        state_half = F.linear(inputs, weights[0][:, :size], biases[0])
        first = F.linear(actions, weights[0][:, size:])
        first += state_half if actions.dim() == 2 else state_half[:, None]
        hidden = [first.relu_().flatten(0, -2)]
    for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
        hidden.append(_linear_relu(hidden[-1], weight, bias))
    output = F.linear(hidden[-1], weights[-1], biases[-1])
    return output if actions is None else output.view(*actions.shape[:-1], -1), hidden


def _backward(
    down: Tensor,
    weights: Sequence[Tensor],
    hidden: Sequence[Tensor],
    inputs: Tensor,
    actions: Tensor | None,
    wants_parameters: bool,
) -> tuple[Tensor, list[Tensor]]:
    """From the gradient by the output's rows to that by the first layer's, and by weights and biases where wanted."""
    gradients: list[Tensor] = []  # of bias and weight, from the last layer to the first
    for weight, below in zip(weights[:0:-1], hidden[::-1], strict=True):
        if wants_parameters:
            gradients += [down.sum(0), _transposed_product(down, below)]
        down = _linear(down, weight.t())
        torch.ops.aten.threshold_backward.grad_input(down, below, 0, grad_input=down)
    if wants_parameters and actions is None:
        gradients += [down.sum(0), _transposed_product(down, inputs)]
    elif wants_parameters and actions is not None:
        of_states = down.view(len(inputs), -1, down.shape[1]).sum(1) if actions.dim() == 3 else down
        halves = [_transposed_product(of_states, inputs), _transposed_product(down, actions.flatten(0, -2))]
        gradients += [of_states.sum(0), torch.cat(halves, 1)]
    return down, gradients[::-1]


def _linear_relu(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """relu(rows W^T + b)."""
    if _by_onednn(rows, weight):
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "relu", [], "")
    return F.linear(rows, weight, bias).relu_()


def _linear(rows: Tensor, weight: Tensor) -> Tensor:
    """rows W^T."""
    if _by_onednn(rows, weight):
        return torch.ops.mkldnn._linear_pointwise(rows, weight, None, "none", [], "")
    return F.linear(rows, weight)


def _transposed_product(down: Tensor, below: Tensor) -> Tensor:
    """down^T below (D, H), of (R, D) and (R, H)."""
    if not _by_onednn(below, down.t()) or min(down.shape[1], below.shape[1]) < 16:
        # MKL is several times faster with the small matrix on the left.
        return down.t() @ below if down.shape[1] < below.shape[1] else (below.t() @ down).t()
    return _linear(down.t(), below.t())


def _by_onednn(rows: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN makes this product: in float32 it uses AVX-512 wherever the processor has it, which torch's own
    library does on Intel's alone."""
    return (
        rows.dtype == torch.float32
        and rows.device.type == "cpu"
        and rows.shape[0] * weight.numel() >= WORTHWHILE
        and torch.backends.mkldnn.is_available()
    )
