"""An LSTM over whole captions that learns faster in bf16 on CPUs than torch's; same weights, same outcome.

torch's backward adds to the weights' gradients at every step. Here each step leaves the gradients of its gates, and the
products with what it read are taken for all steps at once. T steps, B batch, I inputs, D width.
"""

from typing import Any

import torch
from torch import Tensor, nn

from model.precision import has_fast_bf16


def run_lstm(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """Return the outputs (B, T, D) of one layer after each of the inputs (B, T, I), from a memory of zeros."""
    is_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    # oneDNN, by which torch would run it, has no LSTM in bf16 for processors that do not multiply in it.
    if inputs.device.type == "cpu" and is_bf16 and (torch.is_grad_enabled() or not has_fast_bf16(inputs.device)):
        return learn_lstm(lstm, inputs, torch.bfloat16)
    outputs: Tensor = lstm(inputs)[0]  # in fp32, and without gradients, torch's own is faster
    return outputs


def learn_lstm(lstm: nn.LSTM, inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the same, computed in this precision."""
    ((from_inputs, from_hidden, *biases),) = lstm.all_weights
    steps = inputs.transpose(0, 1).contiguous()  # (T, B, I)
    parts = (part.to(dtype) for part in (steps, from_inputs, from_hidden, biases[0] + biases[1]))
    outputs = _Lstm.apply(*parts)  # type: ignore[no-untyped-call]  # (T, B, D)
    return outputs.transpose(0, 1)


class _Lstm(torch.autograd.Function):
    """Gates stand in torch's order: input, forget, candidate, output."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, from_inputs: Tensor, from_hidden: Tensor, bias: Tensor) -> Tensor:
        num_steps, batch, _ = inputs.shape
        width = from_hidden.shape[1]
        gates = nn.functional.linear(inputs.flatten(0, 1), from_inputs, bias).unflatten(0, (num_steps, batch))
        exact = torch.promote_types(inputs.dtype, torch.float32)  # sums over many steps need it
        hiddens = inputs.new_zeros(num_steps + 1, batch, width)  # before the first step, after it, ...
        cells = inputs.new_zeros(num_steps + 1, batch, width, dtype=exact)
        shown = inputs.new_empty(num_steps, batch, width)  # tanh of the cells
        for step, gate in enumerate(gates):  # (B, 4 D)
            gate += nn.functional.linear(hiddens[step], from_hidden)
            entering, forgetting, candidate, leaving = gate.chunk(4, dim=1)
            gate[:, : 2 * width].sigmoid_()
            candidate.tanh_()
            leaving.sigmoid_()
            torch.mul(cells[step], forgetting, out=cells[step + 1])
            cells[step + 1].addcmul_(entering, candidate)
            torch.tanh(cells[step + 1].to(inputs.dtype), out=shown[step])
            torch.mul(leaving, shown[step], out=hiddens[step + 1])
        ctx.save_for_backward(inputs, from_inputs, from_hidden, gates, hiddens, cells, shown)
        return hiddens[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        inputs, from_inputs, from_hidden, gates, hiddens, cells, shown = ctx.saved_tensors
        (outer,) = gradients  # (T, B, D)
        width = from_hidden.shape[1]
        entering, forgetting, candidate, leaving = gates.chunk(4, dim=2)
        # How far each gate's sum moves the cell (the last: the output), as if the gradient there were 1.
        slopes = torch.cat(
            (
                _slope(entering) * candidate,
                _slope(forgetting) * cells[:-1].to(gates.dtype),
                entering * (1 - candidate * candidate),
                _slope(leaving) * shown,
            ),
            dim=2,
        )  # (T, B, 4 D)
        from_shown = leaving * (1 - shown * shown)  # of the output by the cell
        hidden = torch.zeros_like(outer[0])  # gradients that come from the step after
        cell = torch.zeros_like(cells[0])
        for step in range(len(slopes) - 1, -1, -1):
            hidden += outer[step]
            cell.addcmul_(hidden, from_shown[step])
            slopes[step, :, : 3 * width].unflatten(1, (3, width)).mul_(cell.to(gates.dtype)[:, None])
            slopes[step, :, 3 * width :].mul_(hidden)
            hidden = slopes[step] @ from_hidden
            cell.mul_(forgetting[step])
        of_gates = slopes.flatten(0, 1)  # (T * B, 4 D)
        return (
            (of_gates @ from_inputs).view_as(inputs),
            of_gates.t() @ inputs.flatten(0, 1),
            of_gates.t() @ hiddens[:-1].flatten(0, 1),
            (of_gates.new_ones(1, len(of_gates)) @ of_gates)[0],
        )


def _slope(opened: Tensor) -> Tensor:
    """The derivative of a sigmoid where it has this value."""
    return torch.addcmul(opened, opened, opened, value=-1)
