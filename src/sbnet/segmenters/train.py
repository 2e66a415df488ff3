"""Train a segmenter on pseudo masks or, as the ceiling, on the ground truth."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sbnet import losses
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import TrainTransform
from sbnet.registry import METHODS
from sbnet.segmenters.base import SegmenterMethod, SegmenterSettings
from sbnet.steps.context import Context
from sbnet.steps.training import train

RATE_HELD = 10  # steps between two updates of the learning rate, as in DeepLab v2's training


def run(settings: SegmenterSettings, context: Context) -> dict[str, Any]:
    """Write the trained segmenter and its log. Raises SBNetError for images, masks or weights that cannot be used."""
    method = METHODS[context.family]
    assert isinstance(method, SegmenterMethod)

    def samples(model: Any) -> TrainingSet:
        truth = settings.labels == "truth"
        return TrainingSet(
            context.train,
            TrainTransform(
                crop=settings.crop, scale=settings.scale, jitter=None, augmentation=settings.augmentation
            ),
            normalization=model.normalization,
            seed=context.runtime.seed,
            label_folder=None if truth else context.inputs["labels"],
            truth=truth,
        )

    return train(
        settings,
        context,
        title="train segmenter",
        samples=samples,
        objective=lambda model: segmentation_terms,
        options=method.options(settings),
        meta={"predict": dict(context.predict)},
        hold=RATE_HELD,
        head_rate=settings.head_rate,
    )


def segmentation_terms(
    network: nn.Module, batch: Mapping[str, Tensor], _progress: float
) -> dict[str, Tensor]:
    """Cross entropy of every scale's logits and of their maximum."""
    output = network(batch["image"].contiguous(memory_format=torch.channels_last))
    return {"segmentation": losses.multi_scale_cross_entropy(output.supervised, batch["label"])}
