"""From a photo's bytes to what a network was trained on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

Triple = tuple[float, float, float]


@dataclass(frozen=True)
class Normalization:
    """`(photo * scale - mean) / std`, per channel.

    `mean` and `std` are in units of `photo * scale`, in the order of the network's channels: RGB, or BGR
    where `bgr` is set.
    """

    mean: Triple
    std: Triple = (1.0, 1.0, 1.0)
    scale: float = 1 / 255
    bgr: bool = False

    def __call__(self, photo: Tensor) -> Tensor:
        """(..., 3, H, W) RGB, uint8 or float in 0..255 -> float32 of the same shape."""
        values = photo.flip(-3) if self.bgr else photo
        mean = torch.tensor(self.mean, device=photo.device).view(3, 1, 1)
        std = torch.tensor(self.std, device=photo.device).view(3, 1, 1)
        return values.to(torch.float32, copy=True).mul_(self.scale).sub_(mean).div_(std)


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Normalization(mean=(104.008, 116.669, 122.675), scale=1.0, bgr=True)
