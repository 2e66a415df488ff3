"""Random walk of score maps and background along AffinityNet's affinities (Ahn & Kwak, CVPR 2018, section 3.4)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from sbnet import ops
from sbnet.data.datasets.collection import Photo
from sbnet.engine.views import views
from sbnet.methods.affinitynet.settings import AffinityNetPropagateSettings
from sbnet.steps.context import Context
from sbnet.steps.propagate import propagate, walk_variants
from sbnet.steps.walk import Walk, padded


class AffinityWalk(Walk):
    ignored: ClassVar = {"background_alpha": 1.0, "score_power": 1.0}

    def relations(self, stack: Tensor) -> Tensor:
        """Affinities (B, P, n): P pairs a cell, n cells that have them all, of images padded to the stride."""
        (images,) = views([stack], self.network, mirror=False, device=self.device)
        affinity: Tensor = self.network(padded(images, self.model.output_stride)).affinity.float()
        return affinity

    def sources(self, foreground: Tensor, settings: AffinityNetPropagateSettings) -> Tensor:
        alpha, power = settings.background_alpha, settings.score_power
        return ops.with_background_score(foreground, alpha=alpha, power=power)

    def step(self, maps: Tensor, relations: Tensor, settings: AffinityNetPropagateSettings) -> Tensor:
        return ops.random_walk(maps, relations, sharpness=settings.beta, steps=settings.steps)


def run(settings: AffinityNetPropagateSettings, context: Context) -> dict[str, Any]:
    return propagate(AffinityWalk(context), settings, context)


def variants(
    settings: Sequence[AffinityNetPropagateSettings], context: Context
) -> Callable[[Photo], list[np.ndarray]]:
    return walk_variants(AffinityWalk(context), settings)
