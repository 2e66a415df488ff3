"""Settings that all methods of class activation maps share. Imports no PyTorch."""

from __future__ import annotations

from sbnet.settings import Positive, Scales, Settings, Share
from sbnet.steps.settings import ImageTrainSettings


class CamTrainSettings(ImageTrainSettings):
    """Training on image-level labels: SGD with polynomial decay, as PSA and SEAM have it."""

    learning_rate: Positive = 0.01


class TwoViewSettings(CamTrainSettings):
    """Training on an image and a smaller view of it, whose maps must agree (SEAM)."""

    shrink: Positive = 0.3
    """Size of the second view relative to the crop. 0.3 of the paper's 448 is 134 pixels; small crops need more."""
    loss_warmup: Share = 0.0
    """Share of the steps over which all terms except the class loss rise from 0 to their weight. Trainings of a few
    hundred steps need it: smoothing flattens maps for good before a class is learned."""

    def check_shrink(self) -> None:
        """For validators: the second view is smaller than the first and has a pixel at least."""
        if not (self.shrink <= 1 and int(self.shrink * self.crop) > 0):
            raise ValueError(
                f"shrink is {self.shrink:g}; expected at most 1, and at least one of {self.crop} pixels"
            )


class InferSettings(Settings):
    """Class activation maps of the training images."""

    scales: Scales = (0.5, 1.0, 1.5, 2.0)
    """Image sizes, relative to the original, whose maps are added."""
    mirror: bool = True
    """Also add the maps of each scale's mirror image."""
