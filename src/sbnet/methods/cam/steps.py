"""Settings and specs of the two steps that all methods of class activation maps have. Imports no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sbnet.settings import Positive, Scales, Settings
from sbnet.steps.settings import ImageTrainSettings
from sbnet.steps.spec import MODEL, SCORES, Kind, Measure, Picture, StepSpec


class CamTrainSettings(ImageTrainSettings):
    """Training on image-level labels: SGD with polynomial decay, as PSA and SEAM have it."""

    learning_rate: Positive = 0.01


class InferSettings(Settings):
    """Class activation maps of the training images."""

    scales: Scales = (0.5, 1.0, 1.5, 2.0)
    """Image sizes, relative to the original, whose maps are added."""
    mirror: bool = True
    """Also add the maps of each scale's mirror image."""

    @property
    def refined(self) -> bool:
        """Whether they are the network's refined maps, where it has such."""
        return False


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
