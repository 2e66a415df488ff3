"""Train SEAM's network."""

from __future__ import annotations

from typing import Any

from sbnet.methods.cam.train import rising
from sbnet.methods.cam.two_views import consistency_terms
from sbnet.methods.seam import SeamTrainSettings
from sbnet.steps.context import Context
from sbnet.steps.training import image_samples, train


def run(settings: SeamTrainSettings, context: Context) -> dict[str, Any]:
    return train(
        settings,
        context,
        title="train SEAM network",
        samples=lambda model: image_samples(settings, context, model),
        objective=lambda model: rising(consistency_terms(settings.shrink), settings.loss_warmup),
    )
