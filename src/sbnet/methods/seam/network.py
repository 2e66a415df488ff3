"""SEAM's network (Wang et al., CVPR 2020): a CAM network with pixel correlation."""

from __future__ import annotations

from sbnet.backbones.base import Backbone
from sbnet.methods.cam.network import CamNetwork
from sbnet.settings import Share


class SeamNetwork(CamNetwork):
    family = "seam"

    def __init__(self, backbone: Backbone, classes: int = 21, *, dropout: Share = 0.5) -> None:
        super().__init__(backbone, classes, dropout=dropout, correlation=True)
