"""Train a CAM network from image-level labels; the objectives of plain CAM and of SEAM."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet import losses
from sbnet.methods.cam.steps import CamTrainSettings
from sbnet.steps.context import Context
from sbnet.steps.training import image_samples, train

Terms = dict[str, Tensor]


def run(settings: CamTrainSettings, context: Context) -> dict[str, Any]:
    """Plain CAM: the class loss alone."""
    return train(
        settings,
        context,
        title="train CAM network",
        samples=lambda model: image_samples(settings, context, model),
        objective=lambda model: class_terms,
    )


def class_terms(network: nn.Module, batch: Mapping[str, Tensor], _progress: float) -> Terms:
    """The class loss on the average of the raw maps."""
    images = batch["image"].contiguous(memory_format=torch.channels_last)
    output = network(images, refine=False, enlarge=False)
    return {"class": losses.classification(output.cam, batch["labels"], output.size)}


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
