"""Semantic boundary maps from label maps: the target of the boundary head.

SBNet (IJCNN 2021) published no generator of its maps: `label_boundaries` is this project's own design.

Shapes: B batch, C classes with background at 0, H x W pixels. Label ids from C on (255 = ignore) are unknown.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def label_boundaries(label: Tensor, *, classes: int, width: int = 3) -> Tensor:
    """(B, H, W) uint8 -> (B, C, H, W) float32, 0 or 1, on the label's device.

    Map c is 1 on known pixels within `width` pixels (rows and columns; the two that touch count 1) of a
    change between c and another known class. A change to an unknown pixel is no boundary. The default makes
    lines of 6 pixels, which the view shrunk by 0.3 without smoothing still hits everywhere.
    """
    if width < 1:
        raise ValueError(f"width: {width} is less than 1 pixel")
    result = torch.zeros(len(label), classes, *label.shape[1:], device=label.device)
    known = label < classes
    image, class_id = _present(label, classes)
    is_class = label[image] == class_id[:, None, None].to(label.dtype)
    edge = torch.zeros_like(is_class)
    for axis in (1, 2):
        size = label.shape[axis] - 1
        sides = [known.narrow(axis, i, size) for i in (0, 1)]
        change = sides[0] & sides[1] & (label.narrow(axis, 0, size) != label.narrow(axis, 1, size))
        ours = (is_class.narrow(axis, 0, size) | is_class.narrow(axis, 1, size)) & change[image]
        for i in (0, 1):
            edge.narrow(axis, i, size).logical_or_(ours)
    for axis in (1, 2):
        edge = _dilate(edge, axis, width - 1)
    result[image, class_id] = (edge & known[image]).float()
    return result


def window_boundaries(
    label: Tensor, *, classes: int, window: int = 13, share: float = 0.30, difference: float = 0.10
) -> Tensor:
    """(B, H, W) uint8 -> (B, C, H, W) float32, 0 or 1, in the manner of BES (Chen et al., ECCV 2020).

    A pixel is a boundary where background and the commonest foreground class both fill more than `share` of
    the window around it, cut at the image's border, and their shares differ by less than `difference`. It is
    set in the maps of both. Unlike `label_boundaries` it sees across narrow unknown bands, and marks unknown
    pixels too; it sees no boundary between two foreground classes. `window` is odd, in pixels.
    """
    if window % 2 == 0:
        raise ValueError(f"window: {window} is even; its centre must be a pixel")
    result = torch.zeros(len(label), classes, *label.shape[1:], device=label.device)
    image, class_id = _present(label, classes)
    shares = (label[image] == class_id[:, None, None].to(label.dtype)).float()
    for size in ((1, window), (window, 1)):
        padding = (size[0] // 2, size[1] // 2)
        shares = F.avg_pool2d(shares[:, None], size, 1, padding, count_include_pad=False)[:, 0]
    result[image, class_id] = shares
    if classes < 2:
        return result.zero_()
    background, (top, top_class) = result[:, 0], result[:, 1:].max(dim=1)
    found = (torch.minimum(top, background) > share) & ((top - background).abs() < difference)
    result.zero_()
    result.scatter_(1, top_class[:, None] + 1, found[:, None].float())
    result[:, 0] = found.float()
    return result


def _present(label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The (image, class id) pairs that occur: only their maps need work, two or three an image, not C."""
    flat = label.flatten(1).long().clamp(max=classes)
    present = torch.zeros(len(label), classes + 1, dtype=torch.bool, device=label.device)
    image, class_id = present.scatter_(1, flat, True)[:, :classes].nonzero(as_tuple=True)
    return image, class_id


def _dilate(mask: Tensor, axis: int, reach: int) -> Tensor:
    """`mask` (bool) grown by `reach` pixels both ways along one axis."""
    size, grown = mask.shape[axis], mask.clone()
    for shift in range(1, min(reach, size - 1) + 1):
        rest = size - shift
        grown.narrow(axis, shift, rest).logical_or_(mask.narrow(axis, 0, rest))
        grown.narrow(axis, 0, rest).logical_or_(mask.narrow(axis, shift, rest))
    return grown
