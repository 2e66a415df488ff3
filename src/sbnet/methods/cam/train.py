"""Train a CAM network from image-level labels."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses
from sbnet.methods.cam.settings import CamTrainSettings
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


def class_terms(network: Callable[..., Any], batch: Mapping[str, Tensor], _progress: float) -> Terms:
    """The class loss on the average of the raw maps."""
    output = network(
        batch["image"].contiguous(memory_format=torch.channels_last), refine=False, enlarge=False
    )
    return {"class": losses.classification(output.cam, batch["labels"], output.size)}


def rising(terms: Callable[..., Terms], warmup: float) -> Callable[..., Terms]:
    """An objective whose terms, but for `class`, rise from 0 over this share of the training's steps."""

    def objective(network: nn.Module, batch: Mapping[str, Tensor], progress: float) -> Terms:
        share = min(1.0, progress / warmup) if warmup else 1.0
        found = terms(network, batch)
        return {name: value if name == "class" else share * value for name, value in found.items()}

    return objective
