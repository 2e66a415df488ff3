"""A training step: build the network (or load a trained one), train it on samples with an objective, save it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from sbnet.backbones.network import Network
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import JITTER, TrainTransform
from sbnet.engine.optimization import TrainSettings
from sbnet.engine.training import fit
from sbnet.networks.build import build
from sbnet.networks.foreign import bring_network
from sbnet.networks.model_file import save_model
from sbnet.steps.context import Context
from sbnet.steps.settings import ImageTrainSettings


def train(
    settings: TrainSettings,
    context: Context,
    *,
    title: str,
    samples: Callable[[Any], TrainingSet],
    objective: Callable[[Any], Any],
    prepare: Callable[[Any], None] | None = None,
    options: Mapping[str, Any] | None = None,
    meta: Mapping[str, Any] | None = None,
    **schedule: Any,
) -> dict[str, Any]:
    """Write `model.safetensors` and `log.csv` into the step's folder; returns facts.

    samples(model): what it learns from. objective(model): its loss terms, see `engine.objective`. prepare(model): before
    anything else, for other initial weights and for checks. options: of the network's heads. schedule: keywords of
    `fit`, such as `hold`.
    Raises SBNetError for images, labels or weights that cannot be used.
    """
    target = context.folder / "model.safetensors"
    said = context.meta(**(meta or {}))
    name, classes = f"{context.family}-{context.backbone.name}", context.train.classes
    if settings.network:
        return bring_network(settings.network, target, name=name, classes=classes, meta=said)
    torch.manual_seed(context.runtime.seed)  # new layers are random
    own = {**context.backbone.options, **(options or {})}
    model: Network = build(name, classes=len(classes), weights=context.backbone.weights, **own)
    if prepare is not None:
        prepare(model)
    facts = fit(
        model,
        samples(model),
        objective(model),
        settings=settings,
        runtime=context.runtime,
        folder=context.folder,
        title=title,
        **schedule,
    )
    save_model(model, target, meta=said)
    return facts


def image_samples(
    settings: ImageTrainSettings, context: Context, model: Any, *, labels: Path | None = None, **more: Any
) -> TrainingSet:
    """Augmented training images. labels: a folder of label PNGs. more: keywords of `TrainingSet`."""
    transform = TrainTransform(
        crop=settings.crop,
        long_side=settings.long_side,
        jitter=JITTER if settings.jitter else None,
        augmentation=settings.augmentation,
    )
    return TrainingSet(
        context.train,
        transform,
        normalization=model.normalization,
        seed=context.runtime.seed,
        label_folder=labels,
        **more,
    )
