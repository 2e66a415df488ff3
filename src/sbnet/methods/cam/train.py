"""Train a CAM network from image-level labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

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
