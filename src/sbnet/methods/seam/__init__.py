"""SEAM: maps that agree across scales, refined by pixel correlation (Wang et al., CVPR 2020)."""

from __future__ import annotations

from typing import ClassVar

from sbnet.methods.base import Figure, Method, register
from sbnet.methods.cam.steps import infer_step, train_step
from sbnet.methods.seam.settings import SeamSettings
from sbnet.steps.settings import reference_momentum
from sbnet.steps.spec import StepSpec


@register
class Seam(Method):
    name = "seam"
    title = "SEAM"
    role = "seeds"
    about = "CAMs that agree across scales, refined by pixel correlation"
    paper = "Wang et al., CVPR 2020"
    figures = (Figure("CAM", "VOC 2012 train", 55.4), Figure("segmenter", "VOC 2012 val", 64.5))
    Settings = SeamSettings
    networks: ClassVar = {"seam": "sbnet.methods.seam.network:SeamNetwork"}

    def steps(self, settings: SeamSettings) -> list[StepSpec]:
        return [
            train_step(settings.train, self.title, "sbnet.methods.seam.train:run", self.name),
            infer_step(settings.infer),
        ]

    def reference(self, settings: SeamSettings) -> SeamSettings:
        return settings.model_copy(update={"train": reference_momentum(settings.train)})
