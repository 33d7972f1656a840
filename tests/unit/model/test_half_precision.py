"""Weights are kept in half precision."""

from pathlib import Path

import torch
from torch import nn

from model.graph_reader import GraphReader
from model.half_precision import load_from_half, save_in_half


def test_weights_that_are_read_are_those_written_within_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    written, read = GraphReader(), GraphReader()
    next(
        part for part in written.modules() if isinstance(part, nn.BatchNorm2d)
    ).num_batches_tracked += 70_000  # a whole number beyond those of half precision
    save_in_half(written, tmp_path / "new" / "weights.safetensors")
    load_from_half(read, tmp_path / "new" / "weights.safetensors")
    assert (tmp_path / "new" / "weights.safetensors").stat().st_size < 2.3 * sum(w.numel() for w in read.parameters())
    for one, other in zip(written.state_dict().values(), read.state_dict().values(), strict=True):
        assert one.dtype == other.dtype
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-6)
