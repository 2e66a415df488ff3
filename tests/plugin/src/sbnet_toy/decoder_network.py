"""The toy decoder's network."""

from __future__ import annotations

from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.segmenters.base import InputScales
from sbnet.segmenters.segmenter import Segmenter


class ToySegmenter(Segmenter):
    family = "toydecoder"

    def __init__(self, backbone: Backbone, classes: int = 21, *, scales: InputScales = (1.0,)) -> None:
        super().__init__(backbone, classes, {"classifier"}, scales=scales)
        self.classifier = nn.Conv2d(backbone.channels[-1], classes, 1)

    def logits(self, images: Tensor) -> Tensor:
        return self.classifier(self.backbone(images)[-1])
