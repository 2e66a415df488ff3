"""Settings and specs of the two steps that all methods of class activation maps have. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import model_validator

from sbnet.settings import Positive, Scales, Settings, Share
from sbnet.steps.settings import ImageTrainSettings
from sbnet.steps.spec import MODEL, SCORES, Kind, Measure, Picture, StepSpec


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

    @model_validator(mode="after")
    def _second_view_is_smaller(self) -> Self:
        if not (self.shrink <= 1 and int(self.shrink * self.crop) > 0):
            raise ValueError(
                f"shrink is {self.shrink:g}; expected at most 1, and at least one of {self.crop} pixels"
            )
        return self


class InferSettings(Settings):
    """Class activation maps of the training images."""

    scales: Scales = (0.5, 1.0, 1.5, 2.0)
    """Image sizes, relative to the original, whose maps are added."""
    mirror: bool = True
    """Also add the maps of each scale's mirror image."""


class RefinedInferSettings(InferSettings):
    """Maps of a network with the pixel correlation module (SEAM)."""

    map: Literal["refined", "raw"] = "refined"
    """Maps after the pixel correlation module, or before it."""


def train_step(
    settings: CamTrainSettings,
    method: str,
    run: str,
    family: str,
    *,
    prefix: str = "",
    key: str = "train",
    reads: Mapping[str, Kind] | None = None,
    pictures: tuple[Picture, ...] = (),
) -> StepSpec:
    """method: its title. family: of its network. prefix: of the step's name, for sub-steps of a method."""
    network = f"the {method} network"
    return StepSpec(
        name=f"{prefix}train_cam",
        title=f"Train {network}",
        does=f"use {network} {settings.network}" if settings.network else f"train {network}",
        run=run,
        settings=settings,
        reads={} if settings.network else reads or {},
        writes=(MODEL,),
        trains=family,
        pictures=pictures,
        key=key,
    )


def infer_step(
    settings: InferSettings,
    run: str = "sbnet.methods.cam.infer:run",
    *,
    prefix: str = "",
    title: str = "",
    key: str = "infer",
    extra: tuple[Picture, ...] = (),
    **more: Any,
) -> StepSpec:
    """prefix, title: of names, for sub-steps of a method. extra: pictures. more: fields of the spec."""
    label = f"{title} CAM" if title else "CAM"
    measure = Measure(f"{prefix}cam", label, SCORES)
    picture = Picture(
        label, "color by class, strength by score", "scores/{}.npz", "heat", threshold=measure.name
    )
    raw = Picture("Raw CAM", "one scale, before pixel correlation", "raw/{}.npz", "heat")
    fields = {"writes": (SCORES,), "pictures": (picture,) if prefix else (*extra, raw, picture)} | more
    return StepSpec(
        name=f"{prefix}infer_cam",
        title=f"{label}s",
        does=f"class activation maps{' (for boundaries)' if prefix else ''}",
        run=run,
        settings=settings,
        reads={"network": MODEL},
        views=(settings.scales, settings.mirror),
        measures=(measure,),
        key=key,
        **fields,
    )
