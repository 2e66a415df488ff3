"""Train SBNet's network, and the bootstrap network that makes its boundary labels."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses, ops
from sbnet.backbones.normalization import Normalization
from sbnet.data.training.dataset import Extra
from sbnet.methods.cam.train import Terms, class_terms
from sbnet.methods.sbnet.edges import edge_maps, normalized_edge_maps
from sbnet.methods.sbnet.settings import BootstrapTrainSettings, SBNetTrainSettings
from sbnet.methods.seam.train import consistency_terms, rising, shrunk
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
            settings, context, model, labels=labels, extra=edges(settings, model.normalization)
        ),
        objective=lambda model: rising(terms, settings.loss_warmup),
        meta={"canny": settings.canny},
    )


def edges(settings: SBNetTrainSettings, normalization: Normalization) -> Extra:
    """What samples hold in addition: `canny` and `canny_small`, the edges of both views."""
    if settings.canny == "normalized":
        return partial(normalized_edge_maps, shrink=settings.shrink, normalization=normalization)
    return partial(edge_maps, shrink=settings.shrink)


def run_bootstrap(settings: BootstrapTrainSettings, context: Context) -> dict[str, Any]:
    """The same network without its boundary terms: where it is given no edges, its boundary head does not run."""
    rising_terms = rising(partial(consistency_terms, shrink=settings.shrink), settings.loss_warmup)
    return train(
        settings,
        context,
        title="train bootstrap network",
        samples=lambda model: image_samples(settings, context, model),
        objective=lambda model: rising_terms if settings.consistency else class_terms,
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
