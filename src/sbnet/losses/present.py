"""The maps of the classes that are in their image: the label masks all others to 0 in most losses.

Shapes: B images, C classes with background at 0, N = (image, class) pairs that are present, background
included. N is two or three an image instead of C = 21, so that the losses cost an eighth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def full_precision(values: Tensor) -> Tensor:
    """Half precision raised to float32; float64 stays."""
    return values.float() if values.dtype in (torch.float16, torch.bfloat16) else values


@dataclass(frozen=True)
class Present:
    """Sorted by image, each image's background first. Made by `Present.of`."""

    index: Tensor  # (N,) positions in the flattened (B, C)
    value: Tensor  # (N,) the label's values there
    per_image: tuple[int, ...]  # B counts, which sum to N
    classes: int

    @staticmethod
    def of(labels: Tensor) -> Present:
        """From image labels (B, C - 1), 0 or 1; every image also has background."""
        label = F.pad(full_precision(labels), (1, 0), value=1.0)
        index = label.flatten().nonzero()[:, 0]
        counts = tuple((label != 0).sum(dim=1).tolist())
        return Present(index, label.flatten()[index], counts, label.shape[1])

    def select(self, maps: Tensor) -> Tensor:
        """(B, C, H, W) -> the present maps (N, H, W)."""
        return full_precision(maps.flatten(0, 1).index_select(0, self.index))

    def spread(self, maps: Tensor) -> Tensor:
        """(N, H, W) -> (B, C, H, W), times the label: 0 where absent."""
        images, size = len(self.per_image), maps.shape[-2:]
        dense = maps.new_zeros(images * self.classes, *size)
        return dense.index_copy(0, self.index, self.masked(maps)).reshape(images, self.classes, *size)

    def masked(self, maps: Tensor) -> Tensor:
        """(N, H, W) times the label's values."""
        return maps * self.value.to(maps.dtype)[:, None, None]

    def elements(self, maps: Tensor) -> int:
        """B C H W: what a mean over all classes divides by, for maps (N, H, W)."""
        return len(self.per_image) * self.classes * maps.shape[-2] * maps.shape[-1]
