"""Semantic boundary head of SBNet: boundary logits per class from four features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sbnet.ops.pixel_correlation import resize

NUMBERS = (1, 3, 5, 6)  # of the four features, in the published names of layers


class ChannelAttention(nn.Module):
    """Global context, *added* to the feature, in place; where this block comes from (RCAN), its sigmoid multiplies."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.conv_du = nn.Sequential(
            nn.Conv2d(channels, squeezed, 1), nn.ReLU(inplace=True), nn.Conv2d(squeezed, channels, 1)
        )

    def forward(self, features: Tensor) -> Tensor:
        return features.add_(self.conv_du(features.mean((2, 3), keepdim=True)))


class ResidualAttentionBlock(nn.Module):
    """x + attention(conv(ReLU(conv(x))))."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(channels, channels, 3, padding=1),
            ChannelAttention(channels, max(4, channels // 16)),
        )

    def forward(self, features: Tensor) -> Tensor:
        return self.body(features).add_(features)


class BoundaryHead(nn.Module):
    """Four features of `sources` channels, shallow first -> (B, classes, h, w) logits, large as the first."""

    def __init__(self, sources: tuple[int, ...], classes: int, *, channels: int = 32) -> None:
        super().__init__()
        for number, source in zip(NUMBERS, sources, strict=True):
            self.add_module(f"conv{number}", nn.Conv2d(source, channels, 1))
            self.add_module(f"conv8_{number}", nn.Conv2d(channels, channels, 3, padding=1))
        self.rcab = ResidualAttentionBlock(4 * channels)
        self.classifier = nn.Conv2d(4 * channels, classes, 3, padding=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        size = (features[0].shape[2], features[0].shape[3])
        paths = []
        for number, feature in zip(NUMBERS, features, strict=True):
            path = self.get_submodule(f"conv{number}")(feature).relu_()
            path = self.get_submodule(f"conv8_{number}")(path).relu_()
            paths.append(resize(path, size))
        return self.classifier(self.rcab(torch.cat(paths, dim=1)))
