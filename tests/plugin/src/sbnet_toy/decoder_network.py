"""The toy decoder's network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.options import Allowed
from sbnet.segmenters.segmenter import Segmenter


class ToySegmenter(Segmenter):
    family = "toydecoder"
    allowed: ClassVar[Mapping[str, Allowed]] = {"scales": Allowed(float, 0.05, 4, most=16, first=1)}

    def __init__(self, backbone: Backbone, classes: int = 21, *, scales: tuple[float, ...] = (1.0,)) -> None:
        super().__init__(backbone, classes, {"classifier"}, scales=scales)
        self.classifier = nn.Conv2d(backbone.channels[-1], classes, 1)

    def logits(self, images: Tensor) -> Tensor:
        return self.classifier(self.backbone(images)[-1])
