"""The LSTM of training: torch's own outputs and gradients, in every precision."""

from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from model.lstm import _Lstm, learn_lstm, run_lstm
from tests.unit import tiny_captioner  # noqa: F401  for one thread

Way = Callable[[nn.LSTM, Tensor], Tensor]


def learned(way: Way, dtype: torch.dtype = torch.float32, is_autocast: bool = False) -> list[Tensor]:
    """Outputs, then gradients of inputs and weights, of an LSTM over 9 steps."""
    torch.manual_seed(0)
    lstm = nn.LSTM(24, 16, batch_first=True).to(dtype)
    inputs = torch.randn(5, 9, 24, dtype=dtype, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16, enabled=is_autocast):
        outputs = way(lstm, inputs)
    outputs.backward(torch.randn(5, 9, 16, dtype=dtype).to(outputs.dtype))
    return [outputs.detach(), inputs.grad, *(parameter.grad for parameter in lstm.parameters())]


def torchs(lstm: nn.LSTM, inputs: Tensor) -> Tensor:
    return lstm(inputs)[0]


@pytest.fixture
def without_onednn() -> Iterator[None]:
    """oneDNN, which torch prefers, has no LSTM in bf16 for processors without AVX512."""
    with torch.backends.mkldnn.flags(enabled=False):
        yield


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_outputs_and_gradients_are_those_of_torch(dtype: torch.dtype) -> None:
    ours = learned(lambda lstm, inputs: learn_lstm(lstm, inputs, dtype), dtype)
    for one, other in zip(ours, learned(torchs, dtype), strict=True):
        torch.testing.assert_close(one, other)


@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.usefixtures("without_onednn")
def test_in_bf16_it_is_about_as_near_to_the_truth_as_torch() -> None:
    ways = (learned(way, is_autocast=True) for way in (run_lstm, torchs))
    for ours, other, true in zip(*ways, learned(torchs), strict=True):
        assert not torch.equal(ours, other)  # it did not run in torch's way
        fault, torchs_fault = ((one.float() - true).norm() / true.norm() for one in (ours, other))
        assert fault < 2.5 * torchs_fault
        assert fault < 0.02


def test_gradients_are_the_slopes_that_small_changes_show() -> None:
    torch.manual_seed(0)
    shapes = ((3, 2, 4), (12, 4), (12, 3), (12,))
    parts = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(_Lstm.apply, parts)


def test_in_fp32_torch_runs_it() -> None:
    lstm, inputs = nn.LSTM(24, 16, batch_first=True), torch.randn(5, 9, 24)
    assert torch.equal(run_lstm(lstm, inputs), torchs(lstm, inputs))


@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.filterwarnings("ignore:TF32 acceleration")
@pytest.mark.usefixtures("without_onednn")
def test_in_bf16_without_gradients_torch_runs_it_where_the_processor_multiplies_so(
    is_fast: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("model.lstm.has_fast_bf16", lambda _: is_fast)
    torch.manual_seed(0)
    lstm, inputs = nn.LSTM(24, 16, batch_first=True), torch.randn(5, 9, 24)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        ours, other = run_lstm(lstm, inputs), torchs(lstm, inputs)
    assert torch.equal(ours, other) == is_fast
    torch.testing.assert_close(ours.float(), other.float(), atol=0.02, rtol=0.02)
