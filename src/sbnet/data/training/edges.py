"""Canny edge maps of a training crop, for the boundary head of both views.

Shapes: crop: side of the canvas; s = int(shrink crop), the side of the second view.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from sbnet.data.training.transforms import Box, Sample
from sbnet.ops.canny import canny, wrapped_bytes


def normalized_edge_maps(image: Tensor, *, shrink: float) -> dict[str, Tensor]:
    """The same of the normalised canvas (1, 3, crop, crop), as the reference's code has it: cast to bytes that wrap,
    with an edge where the image ends and the empty canvas begins.
    """
    side = max(1, int(shrink * image.shape[-1]))
    small = torch.nn.functional.interpolate(image, size=(side, side), mode="bilinear", align_corners=True)
    return {"canny": normalized_edges(image), "canny_small": normalized_edges(small)}


def normalized_edges(image: Tensor) -> Tensor:
    """Normalised image (1, 3, H, W), on the CPU -> (1, H, W) uint8 0/255."""
    return torch.from_numpy(canny(wrapped_bytes(image[0].permute(1, 2, 0).numpy())))[None]


def edge_maps(sample: Sample, *, shrink: float) -> dict[str, Tensor]:
    """`canny` (1, crop, crop) and `canny_small` (1, s, s), uint8 0/255, of the image as the network sees it.

    The reference takes those of the normalised image (`normalized_edge_maps`).
    """
    crop = sample.photo.shape[0]
    side = max(1, int(shrink * crop))
    photo = torch.from_numpy(sample.photo).permute(2, 0, 1)[None].float()
    small = torch.nn.functional.interpolate(photo, size=(side, side), mode="bilinear", align_corners=True)
    return {
        "canny": _canny_within(sample.photo, sample.box),
        "canny_small": _canny_within(
            small[0].round().byte().permute(1, 2, 0).numpy(), _shrunk(sample.box, crop, side)
        ),
    }


def _shrunk(box: Box, crop: int, side: int) -> Box:
    """The pixels of the shrunk canvas that are made of pixels of the box alone (corners aligned)."""
    ratio = (side - 1) / max(1, crop - 1)
    top, left = math.ceil(box.top * ratio), math.ceil(box.left * ratio)
    bottom, right = (
        math.floor((box.top + box.height - 1) * ratio),
        math.floor((box.left + box.width - 1) * ratio),
    )
    return Box(top, left, max(0, bottom - top + 1), max(0, right - left + 1))


def _canny_within(photo: np.ndarray, box: Box) -> Tensor:
    """(1, H, W) uint8 0/255: the edges in the image, without the one between image and empty canvas."""
    edges = torch.zeros((1, *photo.shape[:2]), dtype=torch.uint8)
    rows, columns = slice(box.top, box.top + box.height), slice(box.left, box.left + box.width)
    inside = np.ascontiguousarray(photo[rows, columns])
    if inside.size:
        edges[0, rows, columns] = torch.from_numpy(canny(inside))
    return edges
