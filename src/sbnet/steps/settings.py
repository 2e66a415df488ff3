"""Settings of the steps that every chain shares. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import model_validator

from sbnet.engine.optimization import TrainSettings
from sbnet.settings import Bilateral, Count, CrfSteps, Gaussian, Positive, Scales, Settings, Sizes


class ImageTrainSettings(TrainSettings):
    """Training on images resized to a random longer side."""

    epochs: Count = 8
    batch: Count = 8
    long_side: Sizes = (448, 768)
    """Range of the random longer side to which an image is resized before the crop, pixels."""
    jitter: bool = True
    """Change colors at random."""


class CrfSettings(Settings):
    """Dense CRF over class score maps: seeds to learn from, and masks to measure."""

    low_alpha: Positive = 4.0
    """Background is (1 - highest score)^alpha. A low alpha overstates it: what is still foreground is a seed."""
    high_alpha: Positive = 24.0
    """A high alpha understates it: what is still background is a seed (PSA, section 3.3)."""
    mask_alpha: Positive = 8.0
    """Alpha of the CRF mask, which is measured and can serve as a pseudo mask."""
    score_power: Positive = 1.0
    """Exponent of the scores before their background is computed; above 1 it narrows wide maps."""
    iterations: CrfSteps = 10
    """Mean-field iterations."""
    gaussian: Gaussian = (3.0, 3.0)
    """Smoothness kernel: width in pixels, weight."""
    bilateral: Bilateral = (80.0, 13.0, 10.0)
    """Appearance kernel: width in pixels, width in color levels, weight."""

    @model_validator(mode="after")
    def _ordered(self) -> CrfSettings:
        if self.low_alpha > self.high_alpha:
            raise ValueError(
                f"high_alpha is {self.high_alpha:g}; expected low_alpha, {self.low_alpha:g}, or more"
            )
        return self


class PredictSettings(Settings):
    """Masks from the trained segmenter. A model file carries these settings."""

    crf: bool = True
    """Also write masks refined by the dense CRF."""
    scales: Scales = (1.0,)
    """Image sizes, relative to the original, whose probabilities are averaged."""
    mirror: bool = False
    """Average each scale with its mirror image."""
    iterations: CrfSteps = 10
    """Mean-field iterations of the CRF."""
    gaussian: Gaussian = (1.0, 3.0)
    """Smoothness kernel: width in pixels, weight (DeepLab v2's)."""
    bilateral: Bilateral = (67.0, 3.0, 4.0)
    """Appearance kernel: width in pixels, width in color levels, weight (DeepLab v2's)."""


Training = TypeVar("Training", bound=TrainSettings)
Swept = TypeVar("Swept", bound=Settings)


def reference_momentum(settings: Training) -> Training:
    """As in the published optimisers, where the weight decay stands in momentum's place: 0.0005 instead of 0.9."""
    return settings.model_copy(update={"momentum": settings.weight_decay})


def dense_crf(settings: CrfSettings | PredictSettings) -> dict[str, Any]:
    """The keywords of the CRF: `iterations`, `gaussian`, `bilateral`."""
    return {key: getattr(settings, key) for key in ("iterations", "gaussian", "bilateral")}


def alike(settings: Sequence[Swept], **ignored: Any) -> dict[Swept, list[int]]:
    """Indexes of settings that differ in the `ignored` ones alone, by what they share (those at the values given)."""
    groups: dict[Swept, list[int]] = {}
    for index, one in enumerate(settings):
        groups.setdefault(one.model_copy(update=ignored), []).append(index)
    return groups


def equal_score(background_alpha: float, score_power: float = 1.0) -> float:
    """The score m in [0, 1] with (1 - m^power)^alpha = m^power, by bisection: above it a pixel is foreground."""
    low, high = 0.0, 1.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if (1 - middle) ** background_alpha > middle else (low, middle)
    return low ** (1 / score_power)
