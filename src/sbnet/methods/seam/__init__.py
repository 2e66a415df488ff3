"""SEAM: maps that agree across scales, refined by pixel correlation (Wang et al., CVPR 2020)."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import model_validator

from sbnet.methods.base import Figure, Method, register
from sbnet.methods.cam.settings import InferSettings, TwoViewSettings
from sbnet.methods.cam.steps import infer_step, train_step
from sbnet.settings import Settings
from sbnet.steps.settings import reference_momentum
from sbnet.steps.spec import StepSpec


class SeamTrainSettings(TwoViewSettings):
    """SEAM's training: class, min-pooling, equivariance and cross terms."""

    @model_validator(mode="after")
    def _check(self) -> SeamTrainSettings:
        self.check_shrink()
        return self


class SeamInferSettings(InferSettings):
    map: Literal["refined", "raw"] = "refined"
    """Maps after the pixel correlation module, or before it."""


class SeamSettings(Settings):
    train: SeamTrainSettings = SeamTrainSettings()
    """Training of the CAM network."""
    infer: SeamInferSettings = SeamInferSettings()
    """CAM inference on the training images."""


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
            infer_step(settings.infer, "sbnet.methods.cam.infer:run"),
        ]

    def reference(self, settings: SeamSettings) -> SeamSettings:
        return settings.model_copy(update={"train": reference_momentum(settings.train)})
