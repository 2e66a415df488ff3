"""Networks of class activation maps, with or without the pixel correlation module (PCM; SEAM, section 3.3).

Shapes: B batch, C classes (0 = background), H x W pixels, h x w feature grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.ops.pixel_correlation import correlate, resize
from sbnet.settings import Share

CORRELATION = ("f8_3", "f8_4", "f9")


class CamOutput(NamedTuple):
    """Raw and refined CAM (B, C, H, W), or (B, C, h, w) where they were not to be enlarged; twice the raw one without
    PCM. boundary_logits (B, C, h', w') before the fusion with edges and boundary_fused (B, C, H, W) after it; None for
    networks without a boundary head, or where it did not run. size: (H, W).
    """

    cam: Tensor
    refined_cam: Tensor
    boundary_logits: Tensor | None
    boundary_fused: Tensor | None
    size: tuple[int, int]


class CamNetwork(Network):
    """A 1x1 classifier without bias over the deepest feature (Zhou et al., CVPR 2016).

    `dropout`: share of that feature's channels dropped before the classifier.
    correlation: subclasses also have PCM, over the image and the features two stages and one stage before the deepest.
    """

    family = "cam"
    own_defaults: ClassVar[Mapping[str, Any]] = {"dropout": 0.2}
    correlation: ClassVar[bool] = False

    def __init__(self, backbone: Backbone, classes: int = 21, *, dropout: Share = 0.5) -> None:
        super().__init__(backbone, classes, {"fc8", *CORRELATION})
        self.add_layers(dropout)
        self.initialize()

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        backbone.last(3)

    def add_layers(self, dropout: float) -> None:
        """Classifier and PCM. Sets `sources`: the features that `features` computes."""
        self.middle = self.backbone.last(3)[:2] if self.correlation else ()
        self.sources: tuple[int, ...] = (*self.middle, self.backbone.deepest)
        self.dropout = nn.Dropout2d(dropout)
        self.fc8 = nn.Conv2d(self.backbone.channels[-1], self.classes, 1, bias=False)
        if self.correlation:
            first, second = (self.backbone.channels[index] for index in self.middle)
            self.f8_3 = nn.Conv2d(first, 64, 1, bias=False)
            self.f8_4 = nn.Conv2d(second, 128, 1, bias=False)
            self.f9 = nn.Conv2d(3 + 64 + 128, 192, 1, bias=False)

    def initialize(self) -> None:
        """Initial weights, drawn when all layers have been made."""
        nn.init.xavier_uniform_(self.fc8.weight)
        if self.correlation:
            nn.init.kaiming_normal_(self.f8_3.weight)
            nn.init.kaiming_normal_(self.f8_4.weight)
            nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def forward(self, images: Tensor, *, refine: bool = True, enlarge: bool = True) -> CamOutput:
        """images (B, 3, H, W) normalized.

        `refine=False` skips PCM; `enlarge=False` leaves the CAMs on the feature grid, so that `resize` need enlarge
        only those of the classes that matter.
        """
        features = self.features(images)
        cam, refined = self.cams(images, features, refine=refine, enlarge=enlarge)
        return CamOutput(cam, refined, None, None, (images.shape[2], images.shape[3]))

    def features(self, images: Tensor) -> dict[int, Tensor]:
        """The features that the heads read, by index."""
        return dict(zip(self.sources, self.backbone(images, self.sources), strict=True))

    def cams(
        self, images: Tensor, features: Mapping[int, Tensor], *, refine: bool, enlarge: bool
    ) -> tuple[Tensor, Tensor]:
        """Raw and refined CAM."""
        cam = self.fc8(self.dropout(features[self.backbone.deepest]))
        refine = refine and self.correlation
        refined = self._correlated(cam, images, features) if refine else cam
        if enlarge:
            size = (images.shape[2], images.shape[3])
            enlarged = resize(cam, size)
            return enlarged, resize(refined, size) if refine else enlarged
        return cam, refined

    def _correlated(self, cam: Tensor, images: Tensor, features: Mapping[int, Tensor]) -> Tensor:
        grid = (cam.shape[2], cam.shape[3])
        first, second = (features[index].detach() for index in self.middle)
        parts = [images, self.f8_3(first).relu(), self.f8_4(second).relu()]
        mixed = self.f9(torch.cat([resize(part, grid) for part in parts], dim=1))
        return correlate(cam, mixed)
