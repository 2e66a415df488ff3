"""IRN (Ahn, Cho & Kwak, CVPR 2019): where classes meet, and where each pixel's object has its centre.

Shapes: B batch, H x W pixels, h x w grid at stride 4, P offsets (152 at radius 10).
"""

from __future__ import annotations

from typing import Annotated, NamedTuple, Self

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.errors import SBNetError

GRID = 4  # stride of the grid


class IrnOutput(NamedTuple):
    """`boundary` (B, h, w) logits of class boundaries; `displacement` (B, 2, h, w), down and right in grid pixels."""

    boundary: Tensor
    displacement: Tensor


class Projection(nn.Module):
    """1x1 convolution without bias, group norm, enlarged to the size asked for, ReLU."""

    def __init__(self, source: int, target: int, *, groups: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(source, target, 1, bias=False)
        self.norm = nn.GroupNorm(groups, target)

    def forward(self, features: Tensor, size: tuple[int, int]) -> Tensor:
        return _resize(self.norm(self.conv(features)), size).relu()


class ClassBoundaryHead(nn.Module):
    """Every feature to 32 channels at the grid's size; a 1x1 over all of them gives the logits."""

    def __init__(self, sources: list[int]) -> None:
        super().__init__()
        self.paths = nn.ModuleList(Projection(source, 32, groups=4) for source in sources)
        self.classifier = nn.Conv2d(32 * len(sources), 1, 1)

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        paths = [path(feature, size) for path, feature in zip(self.paths, features, strict=True)]
        return self.classifier(torch.cat(paths, dim=1))[:, 0]


class DisplacementHead(nn.Module):
    """Coarse features are joined at the size of the finest among them, and enter the grid as one."""

    def __init__(self, fine: list[int], coarse: list[int]) -> None:
        super().__init__()
        targets = [64] + [128] * (len(fine) - 1)
        self.fine = nn.ModuleList(
            Projection(source, target, groups=target // 8)
            for source, target in zip(fine, targets, strict=True)
        )
        self.coarse = nn.ModuleList(Projection(source, 256, groups=16) for source in coarse)
        self.joined = Projection(256 * len(coarse), 256, groups=16)
        self.mixed = Projection(sum(targets) + 256, 256, groups=16)
        self.field = nn.Conv2d(256, 2, 1, bias=False)

    def forward(self, features: list[Tensor], size: tuple[int, int]) -> Tensor:
        fine, coarse = features[: len(self.fine)], features[len(self.fine) :]
        middle = (coarse[0].shape[2], coarse[0].shape[3])
        context = torch.cat(
            [path(feature, middle) for path, feature in zip(self.coarse, coarse, strict=True)], 1
        )
        paths = [path(feature, size) for path, feature in zip(self.fine, fine, strict=True)]
        return self.field(self.mixed(torch.cat([*paths, self.joined(context, size)], dim=1), size))


class IrnNetwork(Network):
    """Reads all features of the backbone, which itself is not trained; finer ones than the grid are max-pooled to it.

    `radius`: of the pairs that it is trained on, in grid pixels (see `sbnet.ops.path_affinity`). Over timm's ResNet-50
    at stride 16 these are the published layers: its stem after the max pooling, and four stages.
    """

    family = "irn"

    def __init__(
        self, backbone: Backbone, classes: int = 21, *, radius: Annotated[int, Field(ge=1, le=64)] = 10
    ) -> None:
        # The displacement is learned at 10 times the boundary's rate, as in the published training.
        super().__init__(backbone, classes, {"displacement_head"})
        self.radius = radius
        self.output_stride = GRID
        fine = [index for index, stride in enumerate(backbone.strides) if stride <= GRID]
        coarse = [index for index, stride in enumerate(backbone.strides) if stride > GRID]
        self.boundary_head = ClassBoundaryHead([backbone.channels[index] for index in (*fine, *coarse)])
        self.displacement_head = DisplacementHead(
            [backbone.channels[index] for index in fine], [backbone.channels[index] for index in coarse]
        )
        backbone.requires_grad_(False)

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        """Raises SBNetError for a backbone without a feature at stride 4 or without a coarser one."""
        if GRID not in backbone.strides or backbone.strides[backbone.deepest] <= GRID:
            raise SBNetError(
                f"IRN requires a feature at stride {GRID} and coarser ones; this backbone has strides "
                f"{', '.join(map(str, sorted(set(backbone.strides))))}; choose another backbone, such as lite0, or another "
                "method"
            )

    def train(self, mode: bool = True) -> Self:
        """The backbone, dropout included, is never in training."""
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor) -> IrnOutput:
        """images (B, 3, H, W) normalized."""
        with torch.no_grad():
            features = [
                _pooled(feature, stride)
                for feature, stride in zip(self.backbone(images), self.backbone.strides, strict=True)
            ]
        grid = features[self.backbone.at(GRID)]
        size = (grid.shape[2], grid.shape[3])
        return IrnOutput(self.boundary_head(features, size), self.displacement_head(features, size))


def _pooled(features: Tensor, stride: int) -> Tensor:
    """Features finer than the grid, halved until they are not."""
    while stride < GRID:
        features, stride = F.max_pool2d(features, 3, 2, 1), 2 * stride
    return features


def _resize(features: Tensor, size: tuple[int, int]) -> Tensor:
    """Bilinear, corners not aligned, unlike in our other networks: cells keep their places, as in the published one."""
    if features.shape[2:] == size:
        return features
    return F.interpolate(features, size, mode="bilinear", align_corners=False)
