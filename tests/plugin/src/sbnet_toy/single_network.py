"""The one-stage network and its training: the class loss on its mean logits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.nn import functional

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.steps.context import Context
from sbnet.steps.settings import ImageTrainSettings
from sbnet.steps.training import image_samples, train


class Output(NamedTuple):
    logits: Tensor


class ToySingleNetwork(Network):
    family = "toysingle"

    def __init__(self, backbone: Backbone, classes: int = 21) -> None:
        super().__init__(backbone, classes, {"classifier"})
        self.classifier = nn.Conv2d(backbone.channels[-1], classes, 1)

    def logits(self, images: Tensor) -> Tensor:
        return self.classifier(self.backbone(images)[-1])

    def forward(self, images: Tensor) -> Output:
        return Output(self.logits(images))


def run(settings: ImageTrainSettings, context: Context) -> dict[str, Any]:
    def terms(network: nn.Module, batch: Mapping[str, Tensor], progress: float) -> dict[str, Tensor]:
        scores = network(batch["image"]).logits.mean((2, 3))[:, 1:]
        return {"class": functional.multilabel_soft_margin_loss(scores, batch["labels"])}

    return train(
        settings,
        context,
        title="train one-stage network",
        samples=lambda model: image_samples(settings, context, model),
        objective=lambda model: terms,
    )
