"""From a photo's bytes to what a network was trained on."""

from __future__ import annotations

import functools
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
        mean, std = (_on_device(triple, photo.device) for triple in (self.mean, self.std))
        return values.to(torch.float32, copy=True).mul_(self.scale).sub_(mean).div_(std)


@functools.lru_cache(maxsize=32)
def _on_device(triple: Triple, device: torch.device) -> Tensor:
    """(3, 1, 1). Copied once: each copy to a GPU would wait until that has done all that it was told before."""
    with torch.inference_mode(False):  # trainings may use what an inference made
        return torch.tensor(triple, device=device).view(3, 1, 1)


IMAGENET = Normalization(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
CAFFE = Normalization(mean=(104.008, 116.669, 122.675), scale=1.0, bgr=True)
