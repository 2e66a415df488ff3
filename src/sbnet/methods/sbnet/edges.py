"""Canny edge maps of a training crop, for SBNet's boundary head: of the crop and of SEAM's second, smaller view.

Shapes: crop: side of the canvas; s = int(shrink crop), the side of the second view.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from sbnet.data.training.dataset import images
from sbnet.data.training.transforms import Box, Sample
from sbnet.ops.canny import canny, wrapped_bytes


def edge_maps(sample: Sample, _generator: np.random.Generator, *, shrink: float) -> dict[str, Tensor]:
    """`canny` (1, crop, crop) and `canny_small` (1, s, s), uint8 0/255, of the image as the network sees it."""
    photo = torch.from_numpy(sample.photo).permute(2, 0, 1)[None].float()
    small = _smaller(photo, shrink)[0].round().byte().permute(1, 2, 0).numpy()
    box = _shrunk(sample.box, len(sample.photo), len(small))
    return {"canny": _canny_within(sample.photo, sample.box), "canny_small": _canny_within(small, box)}


def normalized_edge_maps(
    sample: Sample,
    _generator: np.random.Generator,
    *,
    shrink: float,
    normalization: Callable[[Tensor], Tensor],
) -> dict[str, Tensor]:
    """The same of the normalized canvas, as the reference's code has it: cast to bytes that wrap, with an edge where the
    image ends and the empty canvas begins.
    """
    image = images(torch.from_numpy(sample.photo)[None], torch.tensor(sample.box)[None], normalization)
    return {"canny": normalized_edges(image), "canny_small": normalized_edges(_smaller(image, shrink))}


def normalized_edges(image: Tensor) -> Tensor:
    """Normalized image (1, 3, H, W), on the CPU -> (1, H, W) uint8 0/255."""
    return torch.from_numpy(canny(wrapped_bytes(image[0].permute(1, 2, 0).numpy())))[None]


def _smaller(image: Tensor, shrink: float) -> Tensor:
    side = max(1, int(shrink * image.shape[-1]))
    return torch.nn.functional.interpolate(image, size=(side, side), mode="bilinear", align_corners=True)


def _shrunk(box: Box, crop: int, side: int) -> Box:
    """The pixels of the shrunk canvas that are made of pixels of the box alone (corners aligned)."""
    ratio = (side - 1) / max(1, crop - 1)
    top, left = math.ceil(box.top * ratio), math.ceil(box.left * ratio)
    bottom = math.floor((box.top + box.height - 1) * ratio)
    right = math.floor((box.left + box.width - 1) * ratio)
    return Box(top, left, max(0, bottom - top + 1), max(0, right - left + 1))


def _canny_within(photo: np.ndarray, box: Box) -> Tensor:
    """(1, H, W) uint8 0/255: the edges in the image, without the one between image and empty canvas."""
    edges = np.zeros(photo.shape[:2], np.uint8)
    inside = np.ascontiguousarray(box.of(photo))
    if inside.size:
        box.of(edges)[:] = canny(inside)
    return torch.from_numpy(edges)[None]
