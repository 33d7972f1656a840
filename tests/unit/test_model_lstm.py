"""The LSTM of training: torch's own outputs and gradients, in every precision."""

import pytest
import tiny_captioner  # noqa: F401  for one thread
import torch
from torch import Tensor, nn

from model.lstm import _Lstm, run_lstm


def learned(way: str, dtype: torch.dtype, is_autocast: bool = False) -> list[Tensor]:
    """Outputs, then gradients of inputs and weights, of an LSTM over 9 steps."""
    torch.manual_seed(0)
    lstm = nn.LSTM(24, 16, batch_first=True).to(dtype)
    inputs = torch.randn(5, 9, 24, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        outputs = run_lstm(lstm, inputs) if way == "ours" else lstm(inputs)[0]
    outputs.backward(torch.randn(5, 9, 16, dtype=dtype).to(outputs.dtype))
    return [outputs.detach(), inputs.grad, *(parameter.grad for parameter in lstm.parameters())]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_outputs_and_gradients_are_those_of_torch(dtype: torch.dtype) -> None:
    for ours, torchs in zip(learned("ours", dtype), learned("torch", dtype), strict=True):
        torch.testing.assert_close(ours, torchs)


def test_in_bf16_it_is_about_as_near_to_the_truth_as_torch() -> None:
    truth = learned("torch", torch.float32)
    for ours, torchs, true in zip(
        learned("ours", torch.float32, True), learned("torch", torch.float32, True), truth, strict=True
    ):
        fault, torchs_fault = ((one.float() - true).norm() / true.norm() for one in (ours, torchs))
        assert fault < 2.5 * torchs_fault
        assert fault < 0.02


def test_gradients_are_the_slopes_that_small_changes_show() -> None:
    torch.manual_seed(0)
    shapes = ((3, 2, 4), (12, 4), (12, 3), (12,))
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(_Lstm.apply, parts)


@torch.no_grad()
def test_without_gradients_torch_runs_it() -> None:
    lstm, inputs = nn.LSTM(24, 16, batch_first=True), torch.randn(5, 9, 24)
    assert torch.equal(run_lstm(lstm, inputs), lstm(inputs)[0])
