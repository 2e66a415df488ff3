"""The CAM network of SBNet: class activation maps, refined by pixel correlation, and semantic boundaries.

Without the boundary head it is SEAM's (Wang et al., CVPR 2020); its raw CAM alone is the plain CAM network.
Shapes: B batch, C classes (0 = background), H x W pixels, h x w feature grid.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbnet.methods.sbnet.boundary_head import BoundaryHead
from sbnet.backbones.network import Backbone, Network
from sbnet.ops.pixel_correlation import correlate, resize


class CamOutput(NamedTuple):
    """Raw CAM and refined CAM (B, C, H, W), or (B, C, h, w) where they were not to be enlarged; boundary logits
    (B, C, h', w') before the fusion with Canny edges and (B, C, H, W) after it, or None where they were not asked
    for; size: (H, W)."""

    cam: Tensor
    refined_cam: Tensor
    boundary_logits: Tensor | None
    boundary_fused: Tensor | None
    size: tuple[int, int]


class CamNetwork(Network):
    """See the module's docstring.

    `dropout`: share of the deepest feature's channels dropped before the classifier.
    `boundary_channels`: of each of the boundary head's four paths.
    `canny_scale`: what the Canny map (0 or 255) is multiplied with before the fusion. The reference takes it
    as it is (1), which lets edges outweigh the boundary logits a hundredfold at the start; 1/255 gives both
    the same say.
    `boundary_is_new`: trains the boundary head and the fusion as new layers. The reference does not.
    """

    def __init__(
        self,
        backbone: Backbone,
        classes: int = 21,
        *,
        dropout: float = 0.5,
        boundary_channels: int = 32,
        canny_scale: float = 1.0,
        boundary_is_new: bool = False,
    ) -> None:
        new = {"f8_3", "f8_4", "f9", "fc8"}
        super().__init__(
            backbone, classes, new | {"edge_layer", "fuse_canny_edge"} if boundary_is_new else new
        )
        first, second = (backbone.channels[index] for index in backbone.middle)
        self.dropout = nn.Dropout2d(dropout)
        self.fc8 = nn.Conv2d(backbone.channels[-1], classes, 1, bias=False)
        self.f8_3 = nn.Conv2d(first, 64, 1, bias=False)
        self.f8_4 = nn.Conv2d(second, 128, 1, bias=False)
        self.f9 = nn.Conv2d(3 + 64 + 128, 192, 1, bias=False)
        sources = tuple(backbone.channels[index] for index in backbone.boundary)
        self.edge_layer = BoundaryHead(sources, classes, channels=boundary_channels)
        self.fuse_canny_edge = nn.Conv2d(2 * classes, classes, 1, bias=False)
        self.canny_scale = canny_scale
        nn.init.xavier_uniform_(self.fc8.weight)
        nn.init.kaiming_normal_(self.f8_3.weight)
        nn.init.kaiming_normal_(self.f8_4.weight)
        nn.init.xavier_uniform_(self.f9.weight, gain=4)

    def forward(
        self,
        images: Tensor,
        canny: Tensor | None = None,
        *,
        refine: bool = True,
        boundary: bool = True,
        enlarge: bool = True,
    ) -> CamOutput:
        """images (B, 3, H, W) normalised; canny (B, 1, H, W), 0 or 255, any dtype: needed where `boundary`.

        `refine=False` spares the pixel correlation and gives the raw CAM twice; `boundary=False` spares the
        boundary head; `enlarge=False` leaves the CAMs on the feature grid, so that `resize` need enlarge only those of
        the classes that matter.
        """
        size = (images.shape[2], images.shape[3])
        features = self.backbone(images)
        cam = self.fc8(self.dropout(features[-1]))
        refined = self._refine(cam, images, features) if refine else cam
        logits = fused = None
        if boundary:
            if canny is None:
                raise ValueError("the boundary head needs the Canny map; give canny= or boundary=False")
            logits = self.edge_layer([features[index] for index in self.backbone.boundary])
            fused = self._fuse(logits, canny)
        if enlarge:
            enlarged = resize(cam, size)
            cam, refined = enlarged, resize(refined, size) if refine else enlarged
        return CamOutput(cam, refined, logits, fused, size)

    def _refine(self, cam: Tensor, images: Tensor, features: list[Tensor]) -> Tensor:
        grid = (cam.shape[2], cam.shape[3])
        first, second = (features[index].detach() for index in self.backbone.middle)
        parts = [images, self.f8_3(first).relu(), self.f8_4(second).relu()]
        mixed = self.f9(torch.cat([resize(part, grid) for part in parts], dim=1))
        return correlate(cam, mixed)

    def _fuse(self, logits: Tensor, canny: Tensor) -> Tensor:
        """The 1x1 convolution of enlarged logits and C times the Canny map, without making those 2C channels.

        It is linear: its first half commutes with the enlarging, and the second half sees C equal channels.
        """
        weight = self.fuse_canny_edge.weight
        mixed = resize(F.conv2d(logits, weight[:, : self.classes]), (canny.shape[2], canny.shape[3]))
        edges = weight[:, self.classes :].sum(1, keepdim=True)
        return mixed + edges.view(1, -1, 1, 1) * (canny.to(mixed.dtype) * self.canny_scale)
