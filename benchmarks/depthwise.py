"""Dilated depthwise convolutions of EfficientNet-Lite0, forward and backward: python benchmarks/depthwise.py

Eight crops of 160 pixels at stride 16, forward and backward through the whole backbone, its first two stages frozen.
The peer is PyTorch's own convolution in the same network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from harness import Side, compare, table

CROP, BATCH = 160, 8


def ours(inputs: dict[str, np.ndarray], *, fast: bool = True) -> Callable[[], np.ndarray]:
    """The gradient of the last depthwise kernel, (channels, 1, 3, 3)."""
    import torch
    from torch import nn

    from sbnet.backbones.depthwise import DilatedDepthwise
    from sbnet.networks.build import build_backbone

    torch.set_num_threads(1)
    torch.manual_seed(0)
    backbone = build_backbone("lite0", stride=16, freeze=2).to(memory_format=torch.channels_last)
    dilated = [module for module in backbone.modules() if isinstance(module, DilatedDepthwise)]
    if not fast:
        for module in dilated:
            module.forward = nn.Conv2d.forward.__get__(module)  # type: ignore[method-assign]
    images = torch.from_numpy(inputs["images"]).contiguous(memory_format=torch.channels_last)

    def run() -> np.ndarray:
        backbone.zero_grad()
        backbone(images)[-1].square().mean().backward()
        return dilated[-1].weight.grad.numpy().copy()

    return run


def pytorch(inputs: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
    return ours(inputs, fast=False)


def main() -> str:
    images = np.random.default_rng(0).standard_normal((BATCH, 3, CROP, CROP)).astype(np.float32)
    there, here = compare(
        Side("PyTorch's kernels", __file__, "pytorch"), Side("sbnet", __file__, "ours"), {"images": images}
    )
    difference = np.abs(there.result - here.result).max() / np.abs(there.result).max()
    row = (f"crop {CROP}, {BATCH} images", there, here, f"gradient, relative difference {difference:.0e}")
    return table("EfficientNet-Lite0 at stride 16, forward and backward, one thread", [row])


if __name__ == "__main__":
    print(main())
