"""The precision for a device: bf16 where the hardware multiplies in it, fp32 elsewhere."""

import torch

from model.config import Precision


def has_fast_bf16(device: torch.device) -> bool:
    """Say whether this device has bf16 matrix instructions, not merely an emulation of them."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # Private names, but in every release since 2.6; their public successor came later.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


def autocast(device: torch.device, precision: Precision) -> torch.autocast:
    """Return the context in which to run the network on this device in this precision."""
    is_bf16 = precision == "bf16" or (precision == "auto" and has_fast_bf16(device))
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=is_bf16)
