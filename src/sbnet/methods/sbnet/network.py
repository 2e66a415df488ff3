"""SBNet's network (Liu et al., IJCNN 2021): SEAM's, and boundaries fused with edges.

Shapes: B batch, C classes (0 = background), H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch.nn.functional as F
from pydantic import Field
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.methods.cam.network import CamOutput
from sbnet.methods.sbnet.boundary_head import BoundaryHead
from sbnet.methods.seam.network import SeamNetwork
from sbnet.ops.pixel_correlation import resize
from sbnet.settings import Share


@dataclass
class SBNetOutput(CamOutput):
    """boundary_logits (B, C, h', w') before the fusion with edges and boundary_fused (B, C, H, W) after it; None where
    the boundary head did not run.
    """

    boundary_logits: Tensor | None = None
    boundary_fused: Tensor | None = None


class SBNetwork(SeamNetwork):
    """`dropout`: share of the deepest feature's channels dropped before the classifier.

    `boundary_channels`: of each of the boundary head's four paths.
    `canny_scale`: factor of the Canny map (0 or 255) before the fusion. The published network takes the map as it is
    (1), which lets edges outweigh the boundary logits a hundredfold at the start; 1/255 gives both the same weight.
    `boundary_is_new`: trains the boundary head and the fusion as new layers. The published network does not.
    """

    family = "sbnet"
    own_defaults: ClassVar[Mapping[str, Any]] = {
        "dropout": 0.2,
        "boundary_channels": 16,  # a lighter head
        "canny_scale": 1 / 255,
        "boundary_is_new": True,
    }

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 21,
        *,
        dropout: Share = 0.5,
        boundary_channels: Annotated[int, Field(ge=1, le=2**16)] = 32,
        canny_scale: Annotated[float, Field(ge=0, le=1e6)] = 1.0,
        boundary_is_new: bool = False,
    ) -> None:
        boundary = {"edge_layer", "fuse_canny_edge"} if boundary_is_new else set()
        # Not SEAM's constructor: the boundary head's weights are drawn before the others are initialized.
        Network.__init__(self, backbone, classes, {*self.heads, *boundary})
        self.add_layers(dropout)
        self.boundary_sources = boundary_sources(backbone)
        self.sources = tuple(sorted({*self.sources, *self.boundary_sources}))
        channels = tuple(backbone.channels[index] for index in self.boundary_sources)
        self.edge_layer = BoundaryHead(channels, classes, channels=boundary_channels)
        self.fuse_canny_edge = nn.Conv2d(2 * classes, classes, 1, bias=False)
        self.canny_scale = canny_scale
        self.initialize()

    @classmethod
    def check_backbone(cls, backbone: Backbone) -> None:
        boundary_sources(backbone)

    def forward(
        self,
        images: Tensor,
        canny: Tensor | None = None,
        *,
        refine: bool = True,
        enlarge: bool = True,
    ) -> SBNetOutput:
        """images (B, 3, H, W) normalized; canny (B, 1, H, W), 0 or 255, any dtype: without it the boundary head does not
        run. `refine`, `enlarge`: as in `CamNetwork`.
        """
        features = self.features(images)
        cam, refined = self.cams(images, features, refine=refine, enlarge=enlarge)
        logits = fused = None
        if canny is not None:
            logits = self.edge_layer([features[index] for index in self.boundary_sources])
            fused = self._fuse(logits, canny)
        return SBNetOutput(cam, refined, (images.shape[2], images.shape[3]), logits, fused)

    def _fuse(self, logits: Tensor, canny: Tensor) -> Tensor:
        """The 1x1 convolution of enlarged logits and C times the Canny map, without making those 2C channels.

        It is linear: its first half commutes with the enlarging, and the second half sees C equal channels.
        """
        weight = self.fuse_canny_edge.weight
        mixed = resize(F.conv2d(logits, weight[:, : self.classes]), (canny.shape[2], canny.shape[3]))
        edges = weight[:, self.classes :].sum(1, keepdim=True)
        return mixed + edges.view(1, -1, 1, 1) * (canny.to(mixed.dtype) * self.canny_scale)


def boundary_sources(backbone: Backbone) -> tuple[int, ...]:
    """The four features that the boundary head reads: each of the last stages, or, of the published backbones, conv1,
    conv3, conv5 and conv6 of ResNet-38 and their like. SBNetError where there are not as many stages.
    """
    first, second, third, last = backbone.last(4)
    return (0, first, third, third + 1) if backbone.published else (first, second, third, last)
