"""ReLU networks whose gradients are formulas: the same mathematics as autograd's, near the speed of their products.

A network of L hidden layers maps rows x to h_0 = x, h_i = relu(h_{i-1} W_i^T + b_i) and q = h_L W_out^T + b_out. Of a
loss whose gradient by the outputs is g = dL/dq, the chain rule leaves, going down with d = dL/dh:

    dW_out = g^T h_L    db_out = sum of g    d = g W_out
    for each hidden layer from the last:
        d = d where h_i > 0, else 0     (the derivative of relu)
        dW_i = d^T h_{i-1}    db_i = sum of d    d = d W_i

A critic scores N actions of each state s, so its first layer splits: x = (s, a), W_1 = (W_s, W_a) and
x W_1^T = s W_s^T + a W_a^T. The half of the state is computed once for its N rows; on the way down
dW_s = (d summed over the N rows)^T s    dW_a = d^T a    da = d W_a.

The loss itself stays with autograd: it sees B x N numbers, and the networks have all the work. What is saved beside
that: on a CPU the products are oneDNN's, no row is written out twice, and the rows go through in pieces that stay in
the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

# Multiplications of one layer from which all this is faster than what it replaces.
WORTHWHILE = 1 << 22
# Numbers of a hidden layer that are worked on at a time: a megabyte.
PIECE = 1 << 18


def worthwhile(rows: int, width: int) -> bool:
    """Whether a network of this width is faster fused: below, the calls take longer than the arithmetic."""
    return rows * width**2 >= WORTHWHILE


def fused_networks(count: int, parameters: Sequence[Tensor], inputs: Tensor, actions: Tensor | None = None) -> Tensor:
    """The outputs of `count` networks of linear layers with ReLU between: (B, I) -> (C, B, out), differentiable once.

    `parameters` are weight and bias of each layer, from the first network's input to the last one's output.
    With N actions of each state, inputs are (s, a) for all of them: (B, O), (B, N, A) -> (C, B, N, out), not
    differentiable in s; (C, B, N, A) are each network's own actions.
    """
    if torch.is_grad_enabled():
        return _FusedNetworks.apply(count, inputs, actions, *parameters)
    return _outputs(count, inputs, actions, parameters, None)


class _FusedNetworks(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, count: int, inputs: Tensor, actions: Tensor | None, *parameters: Tensor) -> Tensor:
        hidden: list[Tensor] = []
        outputs = _outputs(count, inputs, actions, parameters, hidden)
        ctx.count = count
        ctx.save_for_backward(inputs, actions, *parameters, *hidden)
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, by_outputs: Tensor) -> tuple[Tensor | None, ...]:
        inputs, actions, *saved = ctx.saved_tensors
        _, wants_inputs, wants_actions, *each_parameter = ctx.needs_input_grad
        wants_parameters = any(each_parameter)
        assert actions is None or not wants_inputs, "no gradient by states that have several actions"
        each = len(each_parameter) // ctx.count
        hidden = iter(saved[each * ctx.count :])
        by_rows = by_outputs.flatten(0, -2)
        by_scored: list[Tensor] = []
        by_parameters: list[Tensor | None] = []
        for network in range(ctx.count):
            weights = saved[network * each : (network + 1) * each : 2]
            # The columns of the first layer that what is differentiated goes into.
            scored = weights[0] if actions is None else weights[0][:, inputs.shape[1] :]
            total: list[Tensor] = []
            for piece in _pieces(inputs, _own(actions, network), weights[0].shape[0]):
                layers = [next(hidden) for _ in weights[1:]]
                rows = len(layers[0])
                down, gradients = _backward(by_rows[:rows], weights, layers, *piece, wants_parameters)
                by_rows = by_rows[rows:]
                if wants_inputs or wants_actions:
                    by_scored.append((scored.t() @ down.t()).t())  # faster than down @ scored, which has few columns
                if total:
                    torch._foreach_add_(total, gradients)
                total = total or gradients
            by_parameters += total if wants_parameters else [None] * each
        if not by_scored:
            return None, None, None, *by_parameters
        of_each = torch.cat(by_scored).view(*by_outputs.shape[:-1], -1)
        by_input = of_each if actions is not None and actions.dim() == 4 else of_each.sum(0)
        return None, *((by_input, None) if actions is None else (None, by_input)), *by_parameters


def _outputs(
    count: int, inputs: Tensor, actions: Tensor | None, parameters: Sequence[Tensor], hidden: list[Tensor] | None
) -> Tensor:
    """What `fused_networks` gives. Leaves all hidden layers in `hidden`; where it is None they make room at once."""
    each = len(parameters) // count
    outputs = []
    for network in range(count):
        own = parameters[network * each : (network + 1) * each]
        for piece in _pieces(inputs, _own(actions, network), own[0].shape[0]):
            output, layers = _forward(own, *piece)
            outputs.append(output)
            if hidden is not None:
                hidden += layers
    rows = inputs.shape[:1] if actions is None else actions.shape[-3:-1]
    return torch.cat(outputs).view(count, *rows, -1)


def _own(actions: Tensor | None, network: int) -> Tensor | None:
    return actions if actions is None or actions.dim() == 3 else actions[network]


def _pieces(inputs: Tensor, actions: Tensor | None, width: int) -> list[tuple[Tensor, Tensor | None]]:
    """The states, with their actions, in pieces whose hidden layers have PIECE numbers; a GPU takes all at once."""
    states = max(1, PIECE // (width * (1 if actions is None else actions.shape[1])))
    if states >= len(inputs) or inputs.device.type != "cpu":
        return [(inputs, actions)]
    parts = inputs.split(states)
    return list(zip(parts, [None] * len(parts) if actions is None else actions.split(states), strict=True))


def _forward(parameters: Sequence[Tensor], inputs: Tensor, actions: Tensor | None) -> tuple[Tensor, list[Tensor]]:
    """One network's output (R, out) and its hidden layers (R, width each), a row for each action."""
    weights, biases = parameters[::2], parameters[1::2]
    if actions is None:
        hidden = [_linear_relu(inputs, weights[0], biases[0])]
    else:
        size = inputs.shape[1]
        state_half = F.linear(inputs, weights[0][:, :size], biases[0])
        action_half = F.linear(actions, weights[0][:, size:])
        hidden = [action_half.add_(state_half[:, None]).relu_().flatten(0, 1)]
    for weight, bias in zip(weights[1:-1], biases[1:-1], strict=True):
        hidden.append(_linear_relu(hidden[-1], weight, bias))
    return F.linear(hidden[-1], weights[-1], biases[-1]), hidden


def _backward(
    down: Tensor,
    weights: Sequence[Tensor],
    hidden: Sequence[Tensor],
    inputs: Tensor,
    actions: Tensor | None,
    wants_parameters: bool,
) -> tuple[Tensor, list[Tensor]]:
    """From dL/dq (R, out) to that by the first layer before its relu (R, width), and by weights and biases."""
    gradients: list[Tensor] = []  # of bias and weight, from the last layer to the first
    for weight, below in zip(weights[:0:-1], hidden[::-1], strict=True):
        if wants_parameters:
            gradients += [down.sum(0), _transposed_product(down, below)]
        down = _linear(down, weight.t())
        torch.ops.aten.threshold_backward.grad_input(down, below, 0, grad_input=down)
    if wants_parameters and actions is None:
        gradients += [down.sum(0), _transposed_product(down, inputs)]
    elif wants_parameters and actions is not None:
        of_states = down.view(len(inputs), -1, down.shape[1]).sum(1)
        halves = [_transposed_product(of_states, inputs), _transposed_product(down, actions.flatten(0, 1))]
        gradients += [of_states.sum(0), torch.cat(halves, 1)]
    return down, gradients[::-1]


def _linear_relu(rows: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """relu(rows W^T + b). Not oneDNN's own relu, which turns what is not a number into 0 and hides a divergence."""
    return _linear(rows, weight, bias).relu_()


def _linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows W^T, plus b."""
    if _by_onednn(rows, weight):
        return torch.ops.mkldnn._linear_pointwise(rows, weight, bias, "none", [], "")
    return F.linear(rows, weight, bias)


def _transposed_product(down: Tensor, below: Tensor) -> Tensor:
    """down^T below (D, H), of (R, D) and (R, H)."""
    if not _by_onednn(below, down.t()) or min(down.shape[1], below.shape[1]) < 16:
        # MKL is several times faster with the small matrix on the left.
        return down.t() @ below if down.shape[1] < below.shape[1] else (below.t() @ down).t()
    return _linear(down.t(), below.t())


def _by_onednn(rows: Tensor, weight: Tensor) -> bool:
    """Whether oneDNN makes this product: in float32 on a CPU, where `cqlbench bench` found it up to twice as fast."""
    return (
        rows.dtype == torch.float32
        and rows.device.type == "cpu"
        and rows.shape[0] * weight.numel() >= WORTHWHILE
        and torch.backends.mkldnn.is_available()
    )
