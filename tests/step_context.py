"""A step's surroundings, without a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sbnet.backbones.settings import BackboneSettings
from sbnet.data.datasets.collection import Collection
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.engine.optimization import TrainSettings
from sbnet.engine.runtime import Runtime
from sbnet.networks.model_file import load_model
from sbnet.steps.context import Context


def make_context(
    folder: Path,
    train: Collection,
    inputs: Mapping[str, Path] | None = None,
    *,
    val: Collection | None = None,
    backbone: BackboneSettings | None = None,
    family: str = "",
    key: str = "",
    **runtime: Any,
) -> Context:
    """On the CPU in float32, one worker, unless `runtime` says otherwise."""
    return Context(
        folder=folder,
        inputs=inputs or {},
        train=train,
        val=val,
        backbone=backbone or BackboneSettings(),
        runtime=Runtime.model_validate({"device": "cpu", "precision": "32", "workers": 1, **runtime}),
        family=family,
        key=key,
    )


def with_runtime(context: Context, **changes: Any) -> Context:
    return dataclasses.replace(context, runtime=context.runtime.model_copy(update=changes))


def first_images(data: Path, count: int) -> Collection:
    """Of the train list of a folder in VOC's layout."""
    listed = read_voc(data, "train")
    return dataclasses.replace(listed, photos=listed.photos[:count])


def masks_as(folder: Path, images: Collection) -> Path:
    """The ground truth of images in another folder, as seeds or pseudo masks would be."""
    folder.mkdir(parents=True, exist_ok=True)
    for image in images:
        assert image.mask is not None
        (folder / f"{image.name}.png").write_bytes(image.mask.read_bytes())
    return folder


def trained(
    run: Callable[[Any, Context], Any], settings: TrainSettings, context: Context
) -> dict[str, torch.Tensor]:
    """The weights after a training step ran."""
    context.folder.mkdir(parents=True, exist_ok=True)
    run(settings, context)
    return load_model(context.folder / "model.safetensors")[0].state_dict()
