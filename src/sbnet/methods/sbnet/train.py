"""Train SBNet's network, and the bootstrap network that makes its boundary labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses, ops
from sbnet.methods.cam.train import cam_samples, rising
from sbnet.methods.cam.two_views import CONSISTENCY, consistency_terms, shrunk
from sbnet.methods.sbnet.settings import BootstrapTrainSettings, SBNetTrainSettings
from sbnet.steps.context import Context
from sbnet.steps.training import train

Terms = dict[str, Tensor]


def run(settings: SBNetTrainSettings, context: Context) -> dict[str, Any]:
    """SEAM's terms, boundary and smoothness, with boundary maps of the labels that were read."""
    labels = Path(settings.boundaries) if settings.boundaries else context.inputs.get("labels")
    classes = len(context.train.classes)
    return train(
        settings,
        context,
        title="train SBNet network",
        samples=lambda model: cam_samples(
            settings, context, model, labels=labels, canny=settings.canny, shrink=settings.shrink
        ),
        objective=lambda model: rising(_boundary_terms(settings, classes), settings.loss_warmup),
        meta={"canny": settings.canny},
    )


def run_bootstrap(settings: BootstrapTrainSettings, context: Context) -> dict[str, Any]:
    """The same network without its boundary terms."""
    terms = consistency_terms if settings.consistency else _class_terms
    return train(
        settings,
        context,
        title="train bootstrap network",
        samples=lambda model: cam_samples(settings, context, model),
        objective=lambda model: rising(
            _without_boundary(terms(settings.shrink), refine=settings.consistency), settings.loss_warmup
        ),
    )


def _class_terms(_shrink: float) -> Callable[[nn.Module, Mapping[str, Tensor]], Terms]:
    def terms(network: nn.Module, batch: Mapping[str, Tensor]) -> Terms:
        output = network(batch["image"].contiguous(memory_format=torch.channels_last), enlarge=False)
        return losses.structure_aware(output, None, batch["labels"], terms={"class"})

    return terms


def _without_boundary(terms: Callable[..., Terms], *, refine: bool) -> Callable[..., Terms]:
    def of_network(network: nn.Module, batch: Mapping[str, Tensor]) -> Terms:
        return terms(partial(network, boundary=False, refine=refine), batch)

    return of_network


def _boundary_terms(
    settings: SBNetTrainSettings, classes: int
) -> Callable[[nn.Module, Mapping[str, Tensor]], Terms]:
    def terms(network: nn.Module, batch: Mapping[str, Tensor]) -> Terms:
        images = batch["image"].contiguous(memory_format=torch.channels_last)
        full = network(images, batch["canny"], enlarge=False)
        small = network(shrunk(images, settings.shrink), batch["canny_small"], enlarge=False)
        return losses.structure_aware(
            full,
            small,
            batch["labels"],
            boundary_maps(batch["label"], settings, classes),
            terms=CONSISTENCY | {"boundary", "smoothness"},
            boundary_weight=settings.boundary_weight,
            smoothness_weight=settings.smoothness_weight,
        )

    return terms


def boundary_maps(label: Tensor, settings: SBNetTrainSettings, classes: int) -> Tensor:
    """Boundary maps of cropped labels, made on the training device."""
    if settings.boundary_maker == "window":
        return ops.window_boundaries(label, classes=classes)
    return ops.label_boundaries(label, classes=classes, width=settings.boundary_width)
