"""AffinityNet (Ahn & Kwak, CVPR 2018): features whose nearness says whether two pixels share a class.

Shapes: B batch, H x W pixels, h x w feature grid, P offsets (34 at radius 5), n = from-pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.ops.affinity import pair_affinity
from sbnet.ops.pixel_correlation import resize


class AffinityOutput(NamedTuple):
    """`affinity` (B, P, n) in (0, 1], float32; `features` (B, 448, h, w), which it was computed from."""

    affinity: Tensor
    features: Tensor


class AffinityNetwork(Network):
    """Reads the last three stages. The grid is that of the first of them (stride 8; transformers: the patches); coarser
    features are enlarged to it.

    `radius`: of the pairs, in grid pixels; smaller on grids too small for it (see `sbnet.ops.pair_affinity`).
    `gain`: of the last layer's initial weights. The published 4 starts from affinities near 0, which a short training
    spends its steps on undoing; 1 starts in the middle of their range.
    """

    family = "affinitynet"
    own_defaults: ClassVar[Mapping[str, Any]] = {"gain": 1.0}

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 21,
        *,
        radius: Annotated[int, Field(ge=1, le=64)] = 5,
        gain: Annotated[float, Field(ge=0, le=1e6)] = 4.0,
    ) -> None:
        super().__init__(backbone, classes, {"f8_3", "f8_4", "f8_5", "f9"})
        self.radius = radius
        self.sources = backbone.last(3)
        self.output_stride = backbone.strides[self.sources[0]]
        first, second, last = (backbone.channels[index] for index in self.sources)
        self.f8_3 = nn.Conv2d(first, 64, 1, bias=False)
        self.f8_4 = nn.Conv2d(second, 128, 1, bias=False)
        self.f8_5 = nn.Conv2d(last, 256, 1, bias=False)
        self.f9 = nn.Conv2d(448, 448, 1, bias=False)
        for layer in (self.f8_3, self.f8_4, self.f8_5):
            nn.init.kaiming_normal_(layer.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=gain)

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        backbone.last(3)

    def forward(self, images: Tensor) -> AffinityOutput:
        """images (B, 3, H, W) normalized."""
        first, second, last = self.backbone(images, self.sources)
        grid = (first.shape[2], first.shape[3])
        parts = [F.elu(self.f8_3(first)), F.elu(self.f8_4(second)), F.elu(self.f8_5(last))]
        mixed = F.elu(self.f9(torch.cat([resize(part, grid) for part in parts], dim=1)))
        return AffinityOutput(pair_affinity(mixed, radius=self.radius), mixed)
