"""Which precision is the faster one: it depends on the device and on the network."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import torch
from torch import nn

CPU_FACTS = Path("/proc/cpuinfo")
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # x86 instructions that multiply bfloat16


def faster_precision(network: nn.Module, device: torch.device) -> Literal["32", "bf16"]:
    """bf16 on a GPU that computes in it. On a CPU with instructions for it, for networks of dense convolutions alone:
    measured, a ResNet takes half the time there, and the depthwise convolutions of an EfficientNet take more.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    return "bf16" if cpu_has_bf16() and not has_depthwise(network) else "32"


def has_depthwise(network: nn.Module) -> bool:
    """Whether some convolution mixes only groups of its channels."""
    return any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in network.modules())


def cpu_has_bf16() -> bool:
    """As Linux tells it; False elsewhere, and on Arm, where nothing was measured."""
    try:
        lines = CPU_FACTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not CPU_FLAGS.isdisjoint(flags.split())
