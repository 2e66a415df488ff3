"""Train IRN: boundaries between pairs of pixels, and displacements across them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses, ops
from sbnet.methods.irn.network import IrnNetwork
from sbnet.steps.affinity import AffinityTrainSettings
from sbnet.steps.affinity_training import train_affinity
from sbnet.steps.context import Context


def run(settings: AffinityTrainSettings, context: Context) -> dict[str, Any]:
    return train_affinity(settings, context, title="IRN", objective=objective)


def objective(model: IrnNetwork) -> Any:
    radius = model.radius

    def terms(network: nn.Module, batch: Mapping[str, Tensor], _progress: float) -> dict[str, Tensor]:
        output = network(batch["image"].contiguous(memory_format=torch.channels_last))
        grid = ops.label_grid(batch["label"], stride=model.output_stride, classes=model.classes)
        background, foreground, negative = ops.pair_labels(grid, radius=radius)
        affinity = ops.path_affinity(output.boundary.float().sigmoid(), radius=radius)
        return {
            "affinity": losses.affinity(affinity, background, foreground, negative),
            "displacement": losses.displacement(output.displacement, background, foreground, radius=radius),
        }

    return terms
