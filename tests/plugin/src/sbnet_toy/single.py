"""A one-stage method: a segmenter that learns from image-level labels, so that a run needs no maps before it."""

from __future__ import annotations

from typing import ClassVar

from sbnet.methods.base import Method
from sbnet.steps.settings import ImageTrainSettings
from sbnet.steps.spec import MODEL, StepSpec


class ToySingle(Method):
    name = "toy_single"
    title = "Toy single"
    role = "segmenter"
    about = "one stage"
    Settings = ImageTrainSettings
    networks: ClassVar = {"toysingle": "sbnet_toy.single_network:ToySingleNetwork"}

    def steps(self, settings: ImageTrainSettings) -> list[StepSpec]:
        return [
            StepSpec(
                name="train_single",
                title="Train the one-stage network",
                does="train the one-stage network",
                run="sbnet_toy.single_network:run",
                settings=settings,
                writes=(MODEL,),
                trains="toysingle",
            )
        ]
