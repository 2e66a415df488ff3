"""Train SEAM's network."""

from __future__ import annotations

from functools import partial
from typing import Any

from sbnet.methods.cam.steps import TwoViewSettings
from sbnet.methods.cam.train import consistency_terms, rising
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
