"""DeepLab v2 (Chen et al., TPAMI 2018): an atrous spatial pyramid over a backbone, at several scales.

Or, as SEAM retrains on ResNet-38, the head of DeepLab v1 (LargeFOV) in the pyramid's place.

Shapes: B batch, C classes (0 = background), H x W pixels, h x w feature grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import freeze_batch_norm
from sbnet.segmenters.base import InputScales
from sbnet.segmenters.segmenter import Segmenter

RATES = (6, 12, 18, 24)  # dilations at output stride 8
FOV_RATE, FOV_CHANNELS = 12, 512  # of the large field of view, also at output stride 8
Norm = Literal["group", "batch"]
Rate = Annotated[int, Field(ge=1, le=512)]


class AtrousPyramid(nn.Module):
    """Sum of 3x3 convolutions c0, c1, ... of different dilations."""

    def __init__(self, channels: int, classes: int, rates: tuple[int, ...]) -> None:
        super().__init__()
        for index, rate in enumerate(rates):
            layer = nn.Conv2d(channels, classes, 3, padding=rate, dilation=rate)
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
            self.add_module(f"c{index}", layer)

    def forward(self, features: Tensor) -> Tensor:
        maps = [layer(features) for layer in self.children()]
        return torch.stack(maps).sum(0)


class LargeFieldOfView(nn.Sequential):
    """3x3 dilated to 512 channels, 1x1 to 512, both normalized and rectified; dropout; 1x1 to the classes.

    SEAM normalizes by batch; batches are small, so group norm replaces it here as in `_projection`. `norm="batch"` is
    for SEAM's weights, their statistics fixed.
    """

    def __init__(self, channels: int, classes: int, *, rate: int = FOV_RATE, norm: Norm = "group") -> None:
        super().__init__(
            nn.Conv2d(channels, FOV_CHANNELS, 3, padding=rate, dilation=rate, bias=False),
            _fov_norm(norm),
            nn.ReLU(inplace=True),
            nn.Conv2d(FOV_CHANNELS, FOV_CHANNELS, 1, bias=False),
            _fov_norm(norm),
            nn.ReLU(inplace=True),
            nn.Dropout(0.5),
            nn.Conv2d(FOV_CHANNELS, classes, 1),
        )
        for layer in self:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        nn.init.zeros_(self[-1].bias)  # type: ignore[arg-type]


def _fov_norm(kind: Norm) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(FOV_CHANNELS)
    return nn.GroupNorm(FOV_CHANNELS // 8, FOV_CHANNELS)


class DeepLab(Segmenter):
    """`head`: `pyramid`, or `large_fov`, for which `rates` and `project` are ignored. `fov_norm`: `group`, or `batch`,
    which SEAM's weights require. `scales`: of the input, as in `Segmenter`.
    `rates`: dilations, by default 6, 12, 18, 24 at output stride 8 and as many pixels of the image at any other.
    `project`: channels of a normalized 1x1 projection between backbone and pyramid, 0 for none (the paper). Rectified
    features share a large mean, with which short trainings at high learning rates diverge; group norm removes it.
    """

    family = "deeplabv2"
    own_defaults: ClassVar[Mapping[str, Any]] = {"scales": (1.0,), "project": 256}

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 21,
        *,
        head: Literal["pyramid", "large_fov"] = "pyramid",
        scales: InputScales = (1.0, 0.5, 0.75),
        rates: Annotated[tuple[Rate, ...], Field(min_length=1, max_length=64)] | None = None,
        project: Annotated[int, Field(ge=0, le=2**16)] = 0,
        fov_norm: Norm = "group",
    ) -> None:
        super().__init__(backbone, classes, {"aspp", "projection", "fov"}, scales=scales)
        self.head = head
        if head == "large_fov":
            rate = max(1, FOV_RATE * 8 // self.output_stride)
            self.fov = LargeFieldOfView(backbone.channels[-1], classes, rate=rate, norm=fov_norm)
            freeze_batch_norm(self.fov)
            return
        rates = tuple(rates or (max(1, rate * 8 // self.output_stride) for rate in RATES))
        channels = backbone.channels[-1]
        self.projection = _projection(channels, project) if project else nn.Identity()
        self.aspp = AtrousPyramid(project or channels, classes, rates)

    def logits(self, images: Tensor) -> Tensor:
        """(B, C, h, w) at the backbone's output stride."""
        (feature,) = self.backbone(images, [self.backbone.deepest])
        return self.fov(feature) if self.head == "large_fov" else self.aspp(self.projection(feature))


def _projection(channels: int, projected: int) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(channels, projected, 1, bias=False),
        nn.GroupNorm(projected // 8, projected),
        nn.ReLU(inplace=True),
    )
