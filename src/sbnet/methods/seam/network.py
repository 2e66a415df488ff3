"""SEAM's network (Wang et al., CVPR 2020): a CAM network with the pixel correlation module (PCM, section 3.3).

Shapes: B batch, C classes (0 = background), H x W pixels, h x w feature grid.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.methods.cam.network import CamNetwork
from sbnet.ops.pixel_correlation import correlate, resize


class SeamNetwork(CamNetwork):
    """PCM reads the image and the features two stages and one stage before the deepest."""

    family = "seam"
    heads = (*CamNetwork.heads, "f8_3", "f8_4", "f9")

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        backbone.last(3)

    def add_layers(self, dropout: float) -> None:
        super().add_layers(dropout)
        self.middle = self.backbone.last(3)[:2]
        self.sources = (*self.middle, *self.sources)
        first, second = (self.backbone.channels[index] for index in self.middle)
        self.f8_3 = nn.Conv2d(first, 64, 1, bias=False)
        self.f8_4 = nn.Conv2d(second, 128, 1, bias=False)
        self.f9 = nn.Conv2d(3 + 64 + 128, 192, 1, bias=False)

    def initialize(self) -> None:
        super().initialize()
        nn.init.kaiming_normal_(self.f8_3.weight)
        nn.init.kaiming_normal_(self.f8_4.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def refined(self, cam: Tensor, images: Tensor, features: Mapping[int, Tensor]) -> Tensor:
        grid = (cam.shape[2], cam.shape[3])
        first, second = (features[index].detach() for index in self.middle)
        parts = [images, self.f8_3(first).relu(), self.f8_4(second).relu()]
        mixed = self.f9(torch.cat([resize(part, grid) for part in parts], dim=1))
        return correlate(cam, mixed)
