"""The network of class activation maps, and what those that refine them build on.

Shapes: B batch, C classes (0 = background), H x W pixels, h x w feature grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.ops.pixel_correlation import resize
from sbnet.settings import Share


@dataclass  # not frozen: Fabric copies it
class CamOutput:
    """Raw and refined CAM (B, C, H, W), or (B, C, h, w) where they were not to be enlarged; twice the raw one where
    nothing was refined. size: (H, W).
    """

    cam: Tensor
    refined_cam: Tensor
    size: tuple[int, int]


class CamNetwork(Network):
    """A 1x1 classifier without bias over the deepest feature (Zhou et al., CVPR 2016).

    `dropout`: share of that feature's channels dropped before the classifier.
    heads: names of the new layers. Subclasses may add layers, and `refined`.
    """

    family = "cam"
    own_defaults: ClassVar[Mapping[str, Any]] = {"dropout": 0.2}
    heads: ClassVar[tuple[str, ...]] = ("fc8",)

    def __init__(self, backbone: Backbone, classes: int = 21, *, dropout: Share = 0.5) -> None:
        super().__init__(backbone, classes, self.heads)
        self.add_layers(dropout)
        self.initialize()

    def add_layers(self, dropout: float) -> None:
        """The classifier. Sets `sources`: the features that `features` computes."""
        self.sources: tuple[int, ...] = (self.backbone.deepest,)
        self.dropout = nn.Dropout2d(dropout)
        self.fc8 = nn.Conv2d(self.backbone.channels[-1], self.classes, 1, bias=False)

    def initialize(self) -> None:
        """Initial weights, drawn when all layers have been made."""
        nn.init.xavier_uniform_(self.fc8.weight)

    def forward(self, images: Tensor, *, refine: bool = True, enlarge: bool = True) -> CamOutput:
        """images (B, 3, H, W) normalized.

        `refine=False` skips `refined`; `enlarge=False` leaves the CAMs on the feature grid, so that `resize` need enlarge
        only those of the classes that matter.
        """
        features = self.features(images)
        cam, refined = self.cams(images, features, refine=refine, enlarge=enlarge)
        return CamOutput(cam, refined, (images.shape[2], images.shape[3]))

    def features(self, images: Tensor) -> dict[int, Tensor]:
        """The features that the heads read, by index."""
        return dict(zip(self.sources, self.backbone(images, self.sources), strict=True))

    def cams(
        self, images: Tensor, features: Mapping[int, Tensor], *, refine: bool, enlarge: bool
    ) -> tuple[Tensor, Tensor]:
        """Raw and refined CAM."""
        cam = self.fc8(self.dropout(features[self.backbone.deepest]))
        refined = self.refined(cam, images, features) if refine else cam
        if enlarge:
            size = (images.shape[2], images.shape[3])
            enlarged = resize(cam, size)
            return enlarged, enlarged if refined is cam else resize(refined, size)
        return cam, refined

    def refined(self, cam: Tensor, images: Tensor, features: Mapping[int, Tensor]) -> Tensor:
        """The refined CAM (B, C, h, w); by default `cam` itself."""
        return cam
