"""Train SEAM's network: its loss terms on two views of an image."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet import losses
from sbnet.methods.cam.train import Terms
from sbnet.methods.seam.settings import TwoViewSettings
from sbnet.steps.context import Context
from sbnet.steps.training import image_samples, train


def run(settings: TwoViewSettings, context: Context) -> dict[str, Any]:
    terms = partial(consistency_terms, shrink=settings.shrink)
    return train(
        settings,
        context,
        title="train SEAM network",
        samples=lambda model: image_samples(settings, context, model),
        objective=lambda model: rising(terms, settings.loss_warmup),
    )


def consistency_terms(network: nn.Module, batch: Mapping[str, Tensor], *, shrink: float) -> Terms:
    """Class, min-pooling, equivariance and cross terms of a network with pixel correlation (SEAM, section 3)."""
    images = batch["image"].contiguous(memory_format=torch.channels_last)
    full, small = (network(view, enlarge=False) for view in (images, shrunk(images, shrink)))
    return losses.consistency(losses.TwoViews(full, small, batch["labels"]))


def shrunk(images: Tensor, shrink: float) -> Tensor:
    """(B, 3, H, W) -> the second view, `shrink` times as large."""
    size = [int(side * shrink) for side in images.shape[-2:]]
    return functional.interpolate(images, size, mode="bilinear", align_corners=True)


def rising(terms: Callable[..., Terms], warmup: float) -> Callable[..., Terms]:
    """An objective whose terms, but for `class`, rise from 0 over this share of the training's steps."""

    def objective(network: nn.Module, batch: Mapping[str, Tensor], progress: float) -> Terms:
        share = min(1.0, progress / warmup) if warmup else 1.0
        found = terms(network, batch)
        return {name: value if name == "class" else share * value for name, value in found.items()}

    return objective
