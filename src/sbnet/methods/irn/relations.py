"""What IRN says of images. B images of one size, h x w IRN's grid."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sbnet.engine.grid import padded
from sbnet.engine.views import unmirror, views
from sbnet.methods.irn.network import IrnNetwork


def irn_boundary(network: nn.Module, stack: Tensor, *, model: IrnNetwork, device: torch.device) -> Tensor:
    """Class boundaries of images (B, 3, H, W) uint8 on IRN's grid: (B, h, w) in [0, 1], of the mean of the logits of an
    image and its mirror image.

    An image is padded to a multiple of the coarsest feature's stride, so that the features' cells lie on each other,
    and mirrored then.
    """
    (images,) = views([stack], network, mirror=False, device=device)
    enlarged = padded(images, model.backbone.strides[-1])
    logits = network(torch.cat([enlarged, enlarged.flip(-1)])).boundary.float()
    height, width = (-(-side // model.output_stride) for side in images.shape[2:])
    return (unmirror(logits, len(images)) / 2)[:, :height, :width].sigmoid()
