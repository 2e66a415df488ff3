"""One picture of a photo's row: read from the run folder, drawn small, with a line under it.

Shapes: H x W the photo's size.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from sbnet.data import IGNORE
from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import read_label, read_scores
from sbnet.data.io.image import read_mask, read_photo
from sbnet.errors import SBNetError
from sbnet.metrics.confusion import confusion, iou
from sbnet.report import pictures

THUMBNAIL = 360  # pixels of the longer side: sharp at the 150 to 220 shown, and usable when enlarged


@dataclass(frozen=True)
class Cell:
    """A picture (`uri`) with a line under it (`note`), or a note alone; broken: of an unreadable input."""

    uri: str = ""
    note: str = ""
    broken: bool = False


@dataclass(frozen=True)
class Canvas:
    """What every cell of a row is drawn from.

    picture (h, w, 3), its size (h, w); classes: how many there are; truth (H, W), None where there is none or
    it cannot be read, for the reason in `truth_problem`.
    """

    photo: Photo
    picture: NDArray[np.uint8]
    size: tuple[int, int]
    classes: int
    truth: NDArray[np.uint8] | None
    truth_problem: str = ""


Draw = Callable[[Canvas, Path], Cell]


def open_canvas(photo: Photo, *, classes: int) -> Canvas:
    """Raises `SBNetError` for a photo that cannot be read; a broken ground truth waits for its own cell."""
    picture = photo.pixels()
    height, width = picture.shape[:2]
    size = pictures.thumbnail_size(height, width, side=THUMBNAIL)
    small = pictures.shrink_photo(picture, size=size)
    try:
        truth = None if photo.mask is None else read_mask(photo.mask, classes=classes, size=(height, width))
    except SBNetError as error:
        return Canvas(photo, small, size, classes, truth=None, truth_problem=str(error))
    return Canvas(photo, small, size, classes, truth)


def draw_cell(draw: Draw, canvas: Canvas, path: Path | None) -> Cell:
    """What `draw` makes of the file, "-" where it is not there yet, or what is wrong with it."""
    if path is not None and not path.is_file():
        return Cell(note="-")
    try:
        return draw(canvas, path or canvas.photo.path)
    except (SBNetError, OSError, ValueError, IndexError) as error:
        return Cell(note=str(error).replace(f"{path}", path.name if path else ""), broken=True)


def draw_photo(canvas: Canvas, path: Path) -> Cell:
    """The photo itself."""
    return Cell(pictures.data_uri(canvas.picture, lossless=False))


def draw_truth(canvas: Canvas, path: Path) -> Cell:
    """The true mask."""
    if canvas.truth is None:
        return Cell(note=canvas.truth_problem or "-", broken=bool(canvas.truth_problem))
    return _label_cell(canvas, canvas.truth)


def heat(threshold: float | None) -> Draw:
    """Draws CAM scores over the photo, with the rim of what is above `threshold`, if given."""

    def draw(canvas: Canvas, path: Path) -> Cell:
        scores, class_ids = read_scores(path)
        scores = pictures.shrink_scores(scores, size=canvas.size)
        picture = pictures.heat_overlay(canvas.picture, scores, class_ids)
        if threshold is not None and len(scores):
            picture = pictures.contour(picture, scores.max(axis=0) > threshold)
        return Cell(pictures.data_uri(picture, lossless=False))

    return draw


def boundaries(*, maker: str, width: int) -> Draw:
    """Draws the boundary maps of a confident label; maker, width: as in `pictures.boundary_picture`."""

    def draw(canvas: Canvas, path: Path) -> Cell:
        label = pictures.shrink_label(read_label(path), size=canvas.size)
        picture = pictures.boundary_picture(label, maker=maker, width=width)
        return Cell(pictures.data_uri(picture, lossless=True))

    return draw


def draw_grey(canvas: Canvas, path: Path) -> Cell:
    """An 8-bit grey map as it is."""
    grey = pictures.shrink_photo(read_photo(path), size=canvas.size)
    return Cell(pictures.data_uri(grey, lossless=False))


def draw_label(canvas: Canvas, path: Path) -> Cell:
    """A label that may leave pixels open (255)."""
    label = read_label(path)
    return _label_cell(canvas, label, note=f"{100 * np.mean(label == IGNORE):.0f} % open")


def draw_mask(canvas: Canvas, path: Path) -> Cell:
    """A mask, with its mIoU over the classes that it or the ground truth has in this photo."""
    mask = read_label(path)
    if canvas.truth is None or canvas.truth.shape != mask.shape:
        return _label_cell(canvas, mask)
    ious = iou(confusion(mask, canvas.truth, classes=canvas.classes), absent="nan")
    known = ious[np.isfinite(ious)]
    return _label_cell(canvas, mask, note=f"mIoU {100 * known.mean():.0f}" if known.size else "")


def _label_cell(canvas: Canvas, label: NDArray[np.uint8], *, note: str = "") -> Cell:
    small = pictures.shrink_label(label, size=canvas.size)
    return Cell(pictures.data_uri(pictures.color_label(small), lossless=True), note)
