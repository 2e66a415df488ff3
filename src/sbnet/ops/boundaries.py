"""Semantic boundary maps from label maps: the target of the boundary head.

SBNet (IJCNN 2021) published no generator of its maps: `label_boundaries` is this project's own design.

Shapes: B batch, C classes with background at 0, H x W pixels. Label ids from C on (255 = ignore) are unknown.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


def label_boundaries(label: Tensor, *, classes: int, width: int = 3) -> Tensor:
    """(B, H, W) uint8 -> (B, C, H, W) float32, 0 or 1, on the label's device.

    Map c is 1 on known pixels within `width` pixels (rows and columns; the two that touch count 1) of a
    change between c and another known class. A change to an unknown pixel is no boundary. The default makes
    lines of 6 pixels, which the view shrunk by 0.3 without smoothing still hits everywhere.
    Raises ValueError for a label of another shape or dtype, and for a width below 1.
    """
    if width < 1:
        raise ValueError(f"width: {width} is less than 1 pixel")
    image, class_id = _present(label, classes)
    known = label < classes
    is_class = label.index_select(0, image) == class_id[:, None, None].to(label.dtype)
    edge = torch.zeros_like(is_class)
    for axis in (1, 2):
        size = label.shape[axis] - 1
        sides = [known.narrow(axis, i, size) for i in (0, 1)]
        change = sides[0] & sides[1] & (label.narrow(axis, 0, size) != label.narrow(axis, 1, size))
        ours = is_class.narrow(axis, 0, size) | is_class.narrow(axis, 1, size)
        ours.logical_and_(change.index_select(0, image))
        for i in (0, 1):
            edge.narrow(axis, i, size).logical_or_(ours)
    for axis in (1, 2):
        edge = _gather(edge, axis, width - 1, Tensor.logical_or_)  # grown
    edge.logical_and_(known.index_select(0, image))
    return _spread(edge, image, class_id, len(label), classes)


def window_boundaries(
    label: Tensor, *, classes: int, window: int = 13, share: float = 0.30, difference: float = 0.10
) -> Tensor:
    """(B, H, W) uint8 -> (B, C, H, W) float32, 0 or 1, in the manner of BES (Chen et al., ECCV 2020).

    A pixel is a boundary where background and the commonest foreground class both fill more than `share` of
    the window around it, cut at the image's border, and their shares differ by less than `difference`. It is
    set in the maps of both. Unlike `label_boundaries` it sees across narrow unknown bands, and marks unknown
    pixels too; it sees no boundary between two foreground classes. `window` is odd, in pixels.
    Raises ValueError for an even one, and for a label of another shape or dtype.
    """
    if window % 2 == 0:
        raise ValueError(f"window: {window} is even; its center must be a pixel")
    image, class_id = _present(label, classes)
    is_class = label.index_select(0, image) == class_id[:, None, None].to(label.dtype)
    found = torch.zeros_like(is_class)
    shares = _window_shares(is_class, window // 2)
    for number in range(len(label)):
        places = (image == number).nonzero()[:, 0]
        if len(places) < 2 or class_id[places[0]] != 0:  # background comes first where there is any
            continue
        background, (top, top_place) = shares[places[0]], shares[places[1:]].max(dim=0)
        edge = (torch.minimum(top, background) > share) & ((top - background).abs() < difference)
        found[places[0]] = edge
        found[places[1:]] = edge & (
            top_place == torch.arange(len(places) - 1, device=label.device)[:, None, None]
        )
    return _spread(found, image, class_id, len(label), classes)


def _window_shares(mask: Tensor, reach: int) -> Tensor:
    """(N, H, W) bool -> float32: its share of the window of `reach` pixels to each side, cut at the border."""
    count, area = mask.int(), torch.ones((1, *mask.shape[1:]), dtype=torch.int32, device=mask.device)
    for axis in (1, 2):
        count, area = (_gather(values, axis, reach, Tensor.add_) for values in (count, area))
    return count / area


def _gather(values: Tensor, axis: int, reach: int, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Each pixel combined, in place, with those up to `reach` pixels away both ways along one axis: (N, H, W)."""
    size, total = values.shape[axis], values.clone()
    for shift in range(1, min(reach, size - 1) + 1):
        rest = size - shift
        combine(total.narrow(axis, shift, rest), values.narrow(axis, 0, rest))
        combine(total.narrow(axis, 0, rest), values.narrow(axis, shift, rest))
    return total


def _present(label: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """The (image, class id) pairs that occur: only their maps need work, two or three an image, not C."""
    if label.ndim != 3 or label.dtype != torch.uint8:
        raise ValueError(f"label: {tuple(label.shape)} {label.dtype} is not (B, H, W) uint8")
    first = 256 * torch.arange(len(label), dtype=torch.int32, device=label.device)
    counts = torch.bincount((label.flatten(1) + first[:, None]).flatten(), minlength=256 * len(label))
    image, class_id = counts.view(-1, 256)[:, :classes].nonzero(as_tuple=True)
    return image, class_id


def _spread(maps: Tensor, image: Tensor, class_id: Tensor, images: int, classes: int) -> Tensor:
    """Maps (N, H, W) of the present classes -> (B, C, H, W) float32, 0 where a class is absent."""
    shape = (images * classes, *maps.shape[1:])
    if maps.device.type == "cpu":
        # Zeros that the system gives untouched: no memory is taken, nor time spent, for maps that no loss reads.
        result = torch.from_numpy(np.zeros(shape, np.float32))
    else:
        result = torch.zeros(shape, device=maps.device)
    result.index_copy_(0, image * classes + class_id, maps.float())
    return result.view(images, classes, *maps.shape[1:])
