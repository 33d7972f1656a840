"""An LSTM over whole captions whose training in bf16 on CPUs is faster than torch's; same weights, same result.

T steps, B batch, I inputs, D width. For each step t, with s the logistic function and * elementwise:

    a_t = x_t W_x' + h_(t-1) W_h' + b        (B, 4 D), the sums of the four gates, in torch's order i, f, g, o
    i, f, o = s(a_i), s(a_f), s(a_o)         input, forget and output gate
    g = tanh(a_g)                            candidate
    c_t = f * c_(t-1) + i * g                cell, kept in fp32
    h_t = o * tanh(c_t)                      hidden = output

The gradients, with d(z) = dLoss/dz, from the last step to the first (s' = s (1 - s), tanh' = 1 - tanh^2):

    d(h_t) = d(output_t) + d(a_(t+1)) W_h
    d(c_t) = d(c_(t+1)) * f_(t+1) + d(h_t) * o * (1 - tanh(c_t)^2)
    d(a_i) = d(c_t) * g * i (1 - i)          d(a_f) = d(c_t) * c_(t-1) * f (1 - f)
    d(a_g) = d(c_t) * i * (1 - g^2)          d(a_o) = d(h_t) * tanh(c_t) * o (1 - o)
    d(x_t) = d(a_t) W_x                      d(b)   = sum over t and B of d(a_t)
    d(W_x) = sum_t d(a_t)' x_t               d(W_h) = sum_t d(a_t)' h_(t-1)

torch's backward adds to d(W_x) and d(W_h) at every step. Here each step keeps d(a_t), and the two sums over t are one
matrix product each.
"""

from typing import Any

import torch
from torch import Tensor, nn

from model.precision import has_fast_bf16


def run_lstm(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    """Return the outputs (B, T, D) of one layer after each of the inputs (B, T, I), starting from hidden and cell 0."""
    is_bf16 = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") == torch.bfloat16
    # torch would run it in oneDNN, whose bf16 LSTM needs a processor with bf16 instructions.
    if inputs.device.type == "cpu" and is_bf16 and (torch.is_grad_enabled() or not has_fast_bf16(inputs.device)):
        return learn_lstm(lstm, inputs, torch.bfloat16)
    outputs: Tensor = lstm(inputs)[0]  # in fp32, and without gradients, torch's own is faster
    return outputs


def learn_lstm(lstm: nn.LSTM, inputs: Tensor, dtype: torch.dtype) -> Tensor:
    """Return the outputs (B, T, D) of the hand-written LSTM, computed in dtype."""
    ((from_inputs, from_hidden, *biases),) = lstm.all_weights
    steps = inputs.transpose(0, 1).contiguous()  # (T, B, I)
    parts = (part.to(dtype) for part in (steps, from_inputs, from_hidden, biases[0] + biases[1]))
    outputs = _Lstm.apply(*parts)  # type: ignore[no-untyped-call]  # (T, B, D)
    return outputs.transpose(0, 1)


class _Lstm(torch.autograd.Function):
    """The equations of the module docstring; gates in torch's order: i input, f forget, g candidate, o output."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, from_inputs: Tensor, from_hidden: Tensor, bias: Tensor) -> Tensor:
        """Return outputs (T, B, D) of inputs (T, B, I), W_x (4 D, I), W_h (4 D, D) and bias (4 D,)."""
        num_steps, batch, _ = inputs.shape
        width = from_hidden.shape[1]
        gates = nn.functional.linear(inputs.flatten(0, 1), from_inputs, bias)  # (T B, 4 D)
        gates = gates.unflatten(0, (num_steps, batch))  # (T, B, 4 D)
        exact = torch.promote_types(inputs.dtype, torch.float32)  # sums over many steps need it
        hiddens = inputs.new_zeros(num_steps + 1, batch, width)  # (T + 1, B, D), h_0 = 0, h_1, ...
        cells = inputs.new_zeros(num_steps + 1, batch, width, dtype=exact)  # (T + 1, B, D), c_0 = 0, c_1, ...
        shown = inputs.new_empty(num_steps, batch, width)  # (T, B, D), tanh of the cells
        for step, gate in enumerate(gates):  # (B, 4 D)
            gate += nn.functional.linear(hiddens[step], from_hidden)
            i, f, g, o = gate.chunk(4, dim=1)  # each (B, D)
            gate[:, : 2 * width].sigmoid_()
            g.tanh_()
            o.sigmoid_()
            torch.mul(cells[step], f, out=cells[step + 1])
            cells[step + 1].addcmul_(i, g)
            torch.tanh(cells[step + 1].to(inputs.dtype), out=shown[step])
            torch.mul(o, shown[step], out=hiddens[step + 1])
        ctx.save_for_backward(inputs, from_inputs, from_hidden, gates, hiddens, cells, shown)
        return hiddens[1:]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, ...]:
        """Return the gradients of forward's four arguments, given that of the outputs (T, B, D)."""
        inputs, from_inputs, from_hidden, gates, hiddens, cells, shown = ctx.saved_tensors
        (outer,) = gradients  # (T, B, D)
        width = from_hidden.shape[1]
        i, f, g, o = gates.chunk(4, dim=2)  # each (T, B, D)
        # d(a_i), d(a_f) and d(a_g) without their factor d(c_t), and d(a_o) without its factor d(h_t).
        slopes = torch.cat(
            (_slope(i) * g, _slope(f) * cells[:-1].to(gates.dtype), i * (1 - g * g), _slope(o) * shown), dim=2
        )  # (T, B, 4 D)
        from_shown = o * (1 - shown * shown)  # (T, B, D), d(h_t) to its part of d(c_t)
        hidden = torch.zeros_like(outer[0])  # (B, D), d(h_t)
        cell = torch.zeros_like(cells[0])  # (B, D), d(c_t)
        for step in range(len(slopes) - 1, -1, -1):
            hidden += outer[step]
            cell.addcmul_(hidden, from_shown[step])
            slopes[step, :, : 3 * width].unflatten(1, (3, width)).mul_(cell.to(gates.dtype)[:, None])
            slopes[step, :, 3 * width :].mul_(hidden)
            hidden = slopes[step] @ from_hidden
            cell.mul_(f[step])
        of_gates = slopes.flatten(0, 1)  # (T * B, 4 D)
        return (
            (of_gates @ from_inputs).view_as(inputs),  # (T, B, I)
            of_gates.t() @ inputs.flatten(0, 1),  # (4 D, I)
            of_gates.t() @ hiddens[:-1].flatten(0, 1),  # (4 D, D)
            (of_gates.new_ones(1, len(of_gates)) @ of_gates)[0],  # (4 D,)
        )


def _slope(opened: Tensor) -> Tensor:
    """Return the derivative s (1 - s) of a sigmoid from its value s, of any shape."""
    return torch.addcmul(opened, opened, opened, value=-1)
