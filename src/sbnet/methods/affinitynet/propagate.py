"""Random walk of score maps and background along AffinityNet's affinities (Ahn & Kwak, CVPR 2018, section 3.4)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

from torch import Tensor

from sbnet import ops
from sbnet.engine.views import views
from sbnet.methods.affinitynet import AffinityNetPropagateSettings
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
        return ops.random_walk(maps, relations, beta=settings.beta, steps=settings.steps)


run = partial(propagate, AffinityWalk)
variants = partial(walk_variants, AffinityWalk)
