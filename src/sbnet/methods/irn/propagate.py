"""Walk of score maps within IRN's boundaries, against a constant background (Ahn, Cho & Kwak, CVPR 2019, section 4.3)."""

from __future__ import annotations

from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from sbnet import ops
from sbnet.engine.views import unmirror, views
from sbnet.methods.irn import IrnPropagateSettings
from sbnet.steps.propagate import propagate, walk_variants
from sbnet.steps.walk import Walk, padded

SMALLEST_MAXIMUM = 1e-5  # of walked scores; an image whose scores all lie on boundaries is background


class BoundaryWalk(Walk):
    ignored: ClassVar = {"background_score": 0.0, "score_power": 1.0}
    mirror = True

    def relations(self, stack: Tensor) -> Tensor:
        """Boundaries (B, h, w) in [0, 1], of the mean of the logits of an image and its mirror image.

        An image is padded to a multiple of the coarsest feature's stride, so that the features' cells lie on each
        other, and mirrored then.
        """
        (images,) = views([stack], self.network, mirror=False, device=self.device)
        enlarged = padded(images, self.model.backbone.strides[-1])
        logits = self.network(torch.cat([enlarged, enlarged.flip(-1)])).boundary.float()
        height, width = (-(-side // self.model.output_stride) for side in images.shape[2:])
        return (unmirror(logits, len(images)) / 2)[:, :height, :width].sigmoid()

    def sources(self, foreground: Tensor, settings: IrnPropagateSettings) -> Tensor:
        return foreground**settings.score_power

    def step(self, maps: Tensor, relations: Tensor, settings: IrnPropagateSettings) -> Tensor:
        return ops.boundary_walk(maps, relations, beta=settings.beta, steps=settings.steps)

    def result(self, walked: Tensor, settings: IrnPropagateSettings) -> Tensor:
        """The constant background, then the walked scores, their maximum 1."""
        constant = walked.new_full((1, *walked.shape[1:]), settings.background_score)
        if not len(walked):
            return constant
        return torch.cat([constant, walked / walked.max().clamp(min=SMALLEST_MAXIMUM)])

    def boundary(self, relations: Tensor) -> Tensor:
        return relations


run = partial(propagate, BoundaryWalk)
variants = partial(walk_variants, BoundaryWalk)
