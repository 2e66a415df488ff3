"""Settings of SEAM, and of methods that build on it. Imports no PyTorch."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import model_validator

from sbnet.methods.cam.steps import CamTrainSettings, InferSettings
from sbnet.settings import Positive, Settings, Share


class TwoViewSettings(CamTrainSettings):
    """Training on an image and a smaller view of it, whose maps must agree (SEAM)."""

    shrink: Positive = 0.3
    """Size of the second view relative to the crop. 0.3 of the paper's 448 is 134 pixels; small crops need more."""
    loss_warmup: Share = 0.0
    """Share of the steps over which all terms except the class loss rise from 0 to their weight. Trainings of a few
    hundred steps need it: smoothing flattens maps for good before a class is learned."""

    @model_validator(mode="after")
    def _second_view_is_smaller(self) -> Self:
        if not (self.shrink <= 1 and int(self.shrink * self.crop) > 0):
            raise ValueError(
                f"shrink is {self.shrink:g}; expected at most 1, and at least one of {self.crop} pixels"
            )
        return self


class RefinedInferSettings(InferSettings):
    """Maps of a network with the pixel correlation module (SEAM)."""

    map: Literal["refined", "raw"] = "refined"
    """Maps after the pixel correlation module, or before it."""

    @property
    def refined(self) -> bool:
        return self.map == "refined"


class SeamSettings(Settings):
    train: TwoViewSettings = TwoViewSettings()
    """Training of the CAM network."""
    infer: RefinedInferSettings = RefinedInferSettings()
    """CAM inference on the training images."""
