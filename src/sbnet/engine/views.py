"""What a network sees of photos, and its answer in their own orientation.

Shapes: B photos of one size, H x W pixels; h x w: a view's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn


def resized(pixels: np.ndarray, scales: Sequence[float]) -> list[np.ndarray]:
    """A photo (H, W, 3) uint8 at each scale: (h, w, 3).

    Sizes are (round(w s), round(h s)), at least 1, by Pillow's bicubic, as the reference does.
    """
    height, width = pixels.shape[:2]
    found = []
    for scale in scales:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        at_scale = pixels if scale == 1 else Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)
        found.append(np.asarray(at_scale))
    return found


def stacked(photos: Sequence[np.ndarray], *, device: torch.device) -> Tensor:
    """(h, w, 3) uint8 each -> (B, 3, h, w) uint8, still on the CPU: pinned where the device is a GPU, which then takes
    it while it computes.
    """
    shape = (len(photos), *photos[0].shape)
    stack = torch.empty(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
    np.stack(photos, out=stack.numpy())
    return stack.permute(0, 3, 1, 2)


def stacks(photos: Sequence[np.ndarray], scales: Sequence[float], *, device: torch.device) -> list[Tensor]:
    """Photos (H, W, 3) uint8 of one size -> (B, 3, h, w) uint8 for each scale."""
    at_scales = zip(*(resized(pixels, scales) for pixels in photos), strict=True)
    return [stacked(views, device=device) for views in at_scales]


def views(
    stacks: Iterable[Tensor], network: nn.Module, *, mirror: bool, device: torch.device
) -> Iterator[Tensor]:
    """Stacks (B, 3, h, w) uint8, one a scale -> the same normalised, on the device; with their mirror images behind
    them (2 B, 3, h, w).
    """
    for stack in stacks:
        images = stack.to(device, non_blocking=True)
        if mirror:
            images = torch.cat([images, images.flip(-1)])
        yield network.normalization(images).contiguous(memory_format=torch.channels_last)  # type: ignore[operator]


def unmirror(maps: Tensor, photos: int) -> Tensor:
    """(B or 2 B, ...) of B photos, or of them and their mirror images -> (B, ...), their sum in the photos' own
    orientation.
    """
    return maps if len(maps) == photos else maps[:photos] + maps[photos:].flip(-1)
