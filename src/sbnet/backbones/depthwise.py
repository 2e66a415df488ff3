"""Depthwise convolutions with spread kernels, trained on CPUs several times faster than PyTorch's own."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class SpreadDepthwise(nn.Conv2d):
    """A depthwise convolution whose kernel is spread by `dilation`, at stride 1, padded to keep the size.

    The cells that a spread kernel meets lie `dilation` apart, so the grid falls into `dilation` squared grids that have
    nothing in common. With these as images of their own, the kernel is close again, which PyTorch's CPU kernels
    differentiate four to six times faster. Features and gradients are the same up to rounding. Without gradients, and
    on GPUs, PyTorch's own convolution runs.
    """

    def forward(self, features: Tensor) -> Tensor:
        """features (B, C, H, W) -> (B, C, H, W)."""
        if not torch.is_grad_enabled() or features.device.type != "cpu":
            return super().forward(features)
        batch, channels, height, width = features.shape
        apart = self.dilation[0]
        cells = functional.pad(features.permute(0, 2, 3, 1), (0, 0, 0, -width % apart, 0, -height % apart))
        rows, columns = cells.shape[1] // apart, cells.shape[2] // apart
        grids = cells.reshape(batch, rows, apart, columns, apart, channels).permute(2, 4, 0, 1, 3, 5)
        images = grids.reshape(-1, rows, columns, channels).permute(0, 3, 1, 2)
        output = functional.conv2d(images, self.weight, self.bias, 1, self.kernel_size[0] // 2, 1, channels)
        output = output.permute(0, 2, 3, 1).reshape(apart, apart, batch, rows, columns, channels)
        output = output.permute(2, 3, 0, 4, 1, 5).reshape(batch, rows * apart, columns * apart, channels)
        return output[:, :height, :width].permute(0, 3, 1, 2)


def spread_depthwise(net: nn.Module) -> None:
    """Every convolution of `net` that is one becomes a `SpreadDepthwise`, in place, with the same parameters."""
    for parent in net.modules():
        for name, module in parent.named_children():
            if _is_spread_depthwise(module):
                setattr(parent, name, _converted(module))


def _is_spread_depthwise(module: nn.Module) -> bool:
    """timm's subclasses, which pad by themselves, are left alone."""
    if type(module) is not nn.Conv2d or module.padding_mode != "zeros":
        return False
    kept = tuple(
        spread * (size // 2) for spread, size in zip(module.dilation, module.kernel_size, strict=True)
    )
    square = len(set(module.kernel_size)) == len(set(module.dilation)) == 1
    depthwise = module.groups == module.in_channels == module.out_channels > 1
    return (
        square and depthwise and module.dilation[0] > 1 and module.stride == (1, 1) and module.padding == kept
    )


def _converted(convolution: nn.Module) -> SpreadDepthwise:
    assert isinstance(convolution, nn.Conv2d)
    channels, size, apart = convolution.in_channels, convolution.kernel_size[0], convolution.dilation[0]
    with torch.device("meta"):
        spread = SpreadDepthwise(
            channels, channels, size, padding=apart * (size // 2), dilation=apart, groups=channels
        )
    spread.weight, spread.bias = convolution.weight, convolution.bias
    return spread.train(convolution.training)
