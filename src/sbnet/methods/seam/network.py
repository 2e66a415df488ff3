"""SEAM's network (Wang et al., CVPR 2020): a CAM network with pixel correlation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from sbnet.backbones.base import Backbone
from sbnet.backbones.options import Allowed
from sbnet.methods.cam.network import CamNetwork


class SeamNetwork(CamNetwork):
    family = "seam"
    allowed: ClassVar[Mapping[str, Allowed]] = {"dropout": Allowed(float, 0, 1)}

    def __init__(self, backbone: Backbone, classes: int = 21, *, dropout: float = 0.5) -> None:
        super().__init__(backbone, classes, dropout=dropout, correlation=True)
