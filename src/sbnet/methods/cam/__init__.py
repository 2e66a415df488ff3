"""Class activation maps: a classifier's weights applied at every place (Zhou et al., CVPR 2016)."""

from __future__ import annotations

from typing import ClassVar

from sbnet.methods.base import Figure, Method, register
from sbnet.methods.cam.steps import CamTrainSettings, InferSettings, infer_step, train_step
from sbnet.settings import Settings
from sbnet.steps.settings import reference_momentum
from sbnet.steps.spec import StepSpec


class CamSettings(Settings):
    train: CamTrainSettings = CamTrainSettings()
    """Training of the CAM network."""
    infer: InferSettings = InferSettings()
    """CAM inference on the training images."""


@register
class Cam(Method):
    name = "cam"
    title = "plain CAM"
    role = "seeds"
    about = "class activation maps of a multi-label classifier"
    paper = "Zhou et al., CVPR 2016"
    figures = (Figure("CAM", "VOC 2012 train", 47.7),)
    Settings = CamSettings
    networks: ClassVar = {"cam": "sbnet.methods.cam.network:CamNetwork"}

    def steps(self, settings: CamSettings) -> list[StepSpec]:
        return [
            train_step(settings.train, self.title, "sbnet.methods.cam.train:run", self.name),
            infer_step(settings.infer),
        ]

    def reference(self, settings: CamSettings) -> CamSettings:
        return settings.model_copy(update={"train": reference_momentum(settings.train)})
