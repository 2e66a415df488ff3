"""One picture of an image's row: read from the run folder, drawn small, with a line under it.

Shapes: H x W the image's size, h x w the picture's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sbnet.data import IGNORE
from sbnet.data.datasets.collection import Photo
from sbnet.data.io.files import read_label, read_scores
from sbnet.data.io.image import read_mask, read_photo
from sbnet.errors import SBNetError, check_choice
from sbnet.metrics.confusion import confusion, iou
from sbnet.report import pictures

if TYPE_CHECKING:
    from sbnet.steps.spec import Picture

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


def open_canvas(photo: Photo, *, classes: int) -> Canvas:
    """Raises `SBNetError` for an image that cannot be read; broken ground truth waits for its own cell."""
    picture = photo.pixels()
    height, width = picture.shape[:2]
    size = pictures.thumbnail_size(height, width, side=THUMBNAIL)
    small = pictures.shrink_photo(picture, size=size)
    try:
        truth = None if photo.mask is None else read_mask(photo.mask, classes=classes, size=(height, width))
    except SBNetError as error:
        return Canvas(photo, small, size, classes, truth=None, truth_problem=str(error))
    return Canvas(photo, small, size, classes, truth)


def draw_cell(canvas: Canvas, picture: Picture) -> Cell:
    """What the picture shows of the canvas's image: "-" where its file is not there yet, or what is wrong with file,
    drawing or options. No plug-in stops the page.
    """
    path = Path(picture.place)
    path = path.with_name(path.name.replace("{}", canvas.photo.name))
    if not path.is_file():
        return Cell(note="-")
    try:
        check_choice("draw", picture.draw, DRAW)
        return DRAW[picture.draw](canvas, path, **picture.options)
    except (SBNetError, OSError, ValueError, IndexError, TypeError) as error:
        return Cell(note=str(error).replace(f"{path}", path.name), broken=True)


def draw_image(canvas: Canvas) -> Cell:
    """The image itself."""
    return _photo_cell(canvas.picture)


def draw_truth(canvas: Canvas) -> Cell:
    if canvas.truth is None:
        return Cell(note=canvas.truth_problem or "-", broken=bool(canvas.truth_problem))
    return _label_cell(canvas, canvas.truth)


def draw_heat(canvas: Canvas, path: Path, *, threshold: float | None = None) -> Cell:
    """Class score maps over the image, with the outline of what is above `threshold`, if given."""
    scores, class_ids = read_scores(path)
    scores = pictures.shrink_scores(scores, size=canvas.size)
    picture = pictures.heat_overlay(canvas.picture, scores, class_ids)
    if threshold is not None and len(scores):
        picture = pictures.contour(picture, scores.max(axis=0) > threshold)
    return _photo_cell(picture)


def draw_boundaries(canvas: Canvas, path: Path, *, maker: str = "change", width: int = 1) -> Cell:
    """The class boundaries in seeds; maker, width: as in `pictures.boundary_picture`."""
    label = pictures.shrink_label(read_label(path), size=canvas.size)
    return _photo_cell(pictures.boundary_picture(canvas.picture, label, maker=maker, width=width))


def draw_grey(canvas: Canvas, path: Path) -> Cell:
    """An 8-bit grey map as it is."""
    return _photo_cell(pictures.shrink_photo(read_photo(path), size=canvas.size))


def draw_seeds(canvas: Canvas, path: Path) -> Cell:
    """Partial labels: unknown pixels (255) are striped."""
    label = read_label(path)
    return _label_cell(canvas, label, note=f"{100 * np.mean(label == IGNORE):.0f} % unknown")


def draw_mask(canvas: Canvas, path: Path) -> Cell:
    """A mask, with its IoU where there is ground truth."""
    mask = read_label(path)
    if canvas.truth is None or canvas.truth.shape != mask.shape:
        return _label_cell(canvas, mask)
    found = tagged_iou(mask, canvas.truth, canvas.photo.classes, classes=canvas.classes)
    return _label_cell(canvas, mask, note="" if found is None else f"IoU {100 * found:.0f}")


DRAW: dict[str, Callable[..., Cell]] = {
    "heat": draw_heat,
    "boundaries": draw_boundaries,
    "grey": draw_grey,
    "seeds": draw_seeds,
    "mask": draw_mask,
}
"""What `Picture.draw` names: functions of a canvas, a file and the picture's options."""


def tagged_iou(
    mask: NDArray[np.uint8], truth: NDArray[np.uint8], tagged: tuple[int, ...], *, classes: int
) -> float | None:
    """Mean IoU of the image's tagged classes, in [0, 1]; None where neither (H, W) map has a pixel of them.

    Without background, of which even a mask that misses everything has a high IoU.
    """
    ious = iou(confusion(mask, truth, classes=classes), absent="nan")[list(tagged)]
    known = ious[np.isfinite(ious)]
    return float(known.mean()) if known.size else None


def _label_cell(canvas: Canvas, label: NDArray[np.uint8], *, note: str = "") -> Cell:
    small = pictures.shrink_label(label, size=canvas.size)
    return _photo_cell(pictures.label_overlay(canvas.picture, small), note)


def _photo_cell(picture: NDArray[np.uint8], note: str = "") -> Cell:
    return Cell(pictures.data_uri(picture), note)
