"""COCO's instances drawn as one mask of class ids.

Where instances overlap, the one of the smaller `area` lies on top: a plate on a table. Crowds are drawn as their
class, and being large lie beneath. So does alicranck/coco2voc, which WSSS code that measures on COCO 2014 names for its
ground truth (README of rulixiang/afa, CVPR 2022). Pixels of no instance are background; none is 255.
"""

from __future__ import annotations

import reprlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as run_lengths

from sbnet.data.datasets.coco.instances import Picture
from sbnet.data.io.image import photo_size
from sbnet.errors import SBNetError

Rle = dict[str, Any]  # pycocotools' compressed run lengths: size, counts
POINTS = 3  # of a polygon that has an inside


def draw(picture: Picture, *, where: str) -> np.ndarray:
    """The mask (H, W) uint8. Raises `SBNetError`, beginning with `where` (the file) and naming picture and annotation,
    for run lengths of another size than the picture's, coordinates far outside it, and what is neither.

    Polygons that run over the edge are cut off there. Polygons of fewer than three points have no pixel.
    """
    mask = np.zeros(picture.size, np.uint8, order="F")  # as pycocotools has its pixels
    shapes = []
    for instance in picture.instances:
        try:
            rle = _rle(instance.shape, picture.size)
        except ValueError as error:
            raise SBNetError(
                f"{where}: annotation {instance.id} (image {picture.id}, '{picture.file_name}'): {error}; fix it or "
                "remove it"
            ) from error
        if rle:
            area = run_lengths.area(rle) if instance.area is None else instance.area
            shapes.append((area, rle, instance.category))
    shapes.sort(key=lambda shape: shape[0])  # stable, so that of equal areas the first in the file is on top
    for _, rle, category in reversed(shapes):
        np.copyto(mask, np.uint8(category), where=run_lengths.decode(rle).view(bool))
    return np.ascontiguousarray(mask)


def draw_for(photos: Path, picture: Picture, *, where: Path) -> np.ndarray:
    """`draw`, if the image in the folder `photos` has the size that the file says; else it raises `SBNetError`, too."""
    photo = photos / picture.file_name
    size = photo_size(photo)
    if size != picture.size:
        raise SBNetError(
            f"{photo}: {size[1]} x {size[0]} pixels (upright), but {where} has {picture.size[1]} x {picture.size[0]} "
            f"for image {picture.id}: restore the image that was annotated"
        )
    return draw(picture, where=str(where))


def _rle(shape: Any, size: tuple[int, int]) -> Rle | None:
    """None where there is nothing to draw. Raises ValueError for a shape that cannot be drawn."""
    if isinstance(shape, dict):
        return _checked(shape, size)
    if not isinstance(shape, list):
        raise ValueError(f"its segmentation is neither polygons nor run lengths: {reprlib.repr(shape)}")
    for polygon in shape:
        _check_polygon(polygon, size)
    polygons = [polygon for polygon in shape if len(polygon) >= 2 * POINTS]
    return run_lengths.merge(run_lengths.frPyObjects(polygons, *size)) if polygons else None


def _check_polygon(polygon: Any, size: tuple[int, int]) -> None:
    """pycocotools walks along every edge, so that a point far away takes all memory, and NaN gives anything."""
    try:
        numbers = np.asarray(polygon, np.float64)
    except (TypeError, ValueError):
        numbers = np.zeros((0, 0))
    if numbers.ndim != 1 or len(numbers) % 2 or not np.isfinite(numbers).all():
        raise ValueError(f"a polygon is {reprlib.repr(polygon)}, not finite numbers x, y, x, y, ...")
    points, sides = numbers.reshape(-1, 2), np.array(size[::-1])
    far = ((points < -sides) | (points > 2 * sides)).any(1)
    if far.any():
        x, y = points[far][0]
        raise ValueError(
            f"its point {x:g}, {y:g} is far outside the picture of {sides[0]} x {sides[1]} pixels"
        )


def _checked(shape: dict[str, Any], size: tuple[int, int]) -> Rle:
    """Run lengths, compressed or not, as pycocotools' compressed ones. It fills no pixel beyond the last run, so that
    run lengths that do not cover the picture would give whatever stood in memory.
    """
    try:
        height, width = (int(side) for side in shape["size"])
        counts = shape["counts"]
        runs = _runs(counts) if isinstance(counts, str) else [int(run) for run in counts]
    except (KeyError, TypeError, ValueError, IndexError):
        raise ValueError(f"its run lengths are not 'size' and 'counts': {reprlib.repr(shape)}") from None
    if (height, width) != tuple(size):
        raise ValueError(
            f"its run lengths are of {width} x {height} pixels, the picture has {size[1]} x {size[0]}"
        )
    if sum(runs) != height * width or min(runs) < 0:
        raise ValueError(f"its run lengths count {sum(runs)} pixels, the picture has {height * width}")
    return run_lengths.frPyObjects({"size": [height, width], "counts": runs}, height, width)


def _runs(text: str) -> Sequence[int]:
    """COCO's compressed counts: characters from '0' on hold 5 bits each, lowest first, bit 6 says that more follow;
    from the fourth number on each is the difference to the last but one.
    """
    runs: list[int] = []
    value = shift = 0
    for character in text.encode("ascii"):
        bits = character - 48
        if not 0 <= bits < 64 or shift > 60:
            raise ValueError("not a character of compressed run lengths")
        value |= (bits & 31) << shift
        shift += 5
        if not bits & 32:
            value -= (bits & 16) << (shift - 4)  # the sign
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            value = shift = 0
    if shift:
        raise ValueError("run lengths are cut off")
    return runs
