"""What AffinityNet says of images. B images of one size, P pairs a cell, n cells that have them all."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sbnet.engine.grid import padded
from sbnet.engine.views import views


def photo_affinity(network: nn.Module, stack: Tensor, *, stride: int, device: torch.device) -> Tensor:
    """Affinities (B, P, n) of images (B, 3, H, W) uint8, padded with zeros at right and bottom to a multiple of the
    stride.
    """
    (images,) = views([stack], network, mirror=False, device=device)
    affinity: Tensor = network(padded(images, stride)).affinity.float()
    return affinity
