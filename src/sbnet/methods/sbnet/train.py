"""Train SBNet's network, and the bootstrap network that makes its boundary labels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses, ops
from sbnet.methods.cam.train import Terms, class_terms, rising
from sbnet.methods.cam.two_views import consistency_terms, shrunk
from sbnet.methods.sbnet.settings import BootstrapTrainSettings, SBNetTrainSettings
from sbnet.steps.context import Context
from sbnet.steps.training import image_samples, train


def run(settings: SBNetTrainSettings, context: Context) -> dict[str, Any]:
    """SEAM's terms, boundary and smoothness, with boundary maps of the labels that were read."""
    labels = Path(settings.boundaries) if settings.boundaries else context.inputs.get("labels")
    terms = partial(boundary_terms, settings=settings, classes=len(context.train.classes))
    return train(
        settings,
        context,
        title="train SBNet network",
        samples=lambda model: image_samples(
            settings, context, model, labels=labels, canny=settings.canny, shrink=settings.shrink
        ),
        objective=lambda model: rising(terms, settings.loss_warmup),
        meta={"canny": settings.canny},
    )


def run_bootstrap(settings: BootstrapTrainSettings, context: Context) -> dict[str, Any]:
    """The same network without its boundary terms."""
    terms = (
        consistency_terms(settings.shrink) if settings.consistency else partial(class_terms, _progress=0.0)
    )

    def without_boundary(network: nn.Module, batch: Mapping[str, Tensor]) -> Terms:
        return terms(partial(network, boundary=False), batch)

    return train(
        settings,
        context,
        title="train bootstrap network",
        samples=lambda model: image_samples(settings, context, model),
        objective=lambda model: rising(without_boundary, settings.loss_warmup),
    )


def boundary_terms(
    network: nn.Module, batch: Mapping[str, Tensor], *, settings: SBNetTrainSettings, classes: int
) -> Terms:
    """All terms of both views, weighted."""
    images = batch["image"].contiguous(memory_format=torch.channels_last)
    full = network(images, batch["canny"], enlarge=False)
    small = network(shrunk(images, settings.shrink), batch["canny_small"], enlarge=False)
    return losses.structure_aware(
        full,
        small,
        batch["labels"],
        boundary_maps(batch["label"], settings, classes),
        boundary_weight=settings.boundary_weight,
        smoothness_weight=settings.smoothness_weight,
    )


def boundary_maps(label: Tensor, settings: SBNetTrainSettings, classes: int) -> Tensor:
    """Boundary maps of cropped labels, made on the training device."""
    if settings.boundary_maker == "window":
        return ops.window_boundaries(label, classes=classes)
    return ops.label_boundaries(label, classes=classes, width=settings.boundary_width)
