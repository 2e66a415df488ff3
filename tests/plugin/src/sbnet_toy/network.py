"""The toy network."""

from __future__ import annotations

from typing import Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network


class ToyNetwork(Network):
    """Foreground scores (B, C, h, w) of the deepest feature; channel 0, background, is 0."""

    family = "toycam"

    def __init__(
        self, backbone: Backbone, classes: int = 21, *, gain: Annotated[float, Field(ge=0, le=10)] = 1.0
    ) -> None:
        super().__init__(backbone, classes, {"head"})
        self.head = nn.Conv2d(backbone.channels[-1], classes - 1, 1)
        nn.init.normal_(self.head.weight, std=0.01 * gain)

    def forward(self, images: Tensor) -> Tensor:
        found = self.head(self.backbone(images)[-1])
        return torch.cat([torch.zeros_like(found[:, :1]), found], dim=1)
