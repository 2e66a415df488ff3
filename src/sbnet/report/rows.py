"""The galleries of the page: an image a row, from the image through what the steps made of it to the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.shown import shown_images
from sbnet.errors import SBNetError
from sbnet.report import cells
from sbnet.report.cells import Cell

if TYPE_CHECKING:
    from sbnet.steps.spec import Images, Picture, StepSpec


@dataclass(frozen=True)
class Row:
    name: str
    class_ids: tuple[int, ...]
    cells: list[Cell]


@dataclass(frozen=True)
class Gallery:
    """columns: (title, caption) of each cell of a row. truth: whether any of its images has ground truth."""

    title: str
    columns: list[tuple[str, str]]
    rows: list[Row]
    truth: bool


def columns(
    run: Path,
    steps: Sequence[StepSpec],
    inputs: Mapping[str, Mapping[str, Path]],
    *,
    images: Images,
    thresholds: Mapping[str, float],
) -> list[Picture]:
    """The pictures of a list whose folders are there, in the steps' order, with whole paths.

    thresholds: of each measure, where maps are outlined.
    """
    found = []
    for step in steps:
        for picture in step.pictures:
            source = inputs[step.name].get(picture.read) if picture.read else run / step.name
            if picture.images != images or source is None or not (source / picture.place).parent.is_dir():
                continue
            options, caption = dict(picture.options), picture.caption
            if (threshold := thresholds.get(picture.threshold)) is not None:
                options["threshold"] = threshold
                outline = f"outline: scores above {threshold:.2f}, the best threshold"
                caption = "; ".join(filter(None, (caption, outline)))
            place = str(source / picture.place)
            found.append(replace(picture, place=place, caption=caption, options=options))
    return found


def gallery(title: str, collection: Collection, pictures: Sequence[Picture], *, caption: str) -> Gallery:
    """The ground truth is left out where no image has any. caption: under "Image"."""
    images = shown_images(collection)
    truth = any(image.mask for image in images)
    columns = [("Image", caption), *((picture.title, picture.caption) for picture in pictures)]
    if truth:
        columns.append(("Ground truth", "what masks are measured against"))
    classes = len(collection.classes)
    rows = [
        Row(image.name, image.classes, _cells(image, pictures, classes=classes, truth=truth))
        for image in images
    ]
    return Gallery(title, columns, rows, truth)


def _cells(image: Photo, pictures: Sequence[Picture], *, classes: int, truth: bool) -> list[Cell]:
    try:
        canvas = cells.open_canvas(image, classes=classes)
    except SBNetError as error:
        return [Cell(note=str(error), broken=True)] + [Cell(note="-")] * (len(pictures) + truth)
    return [
        cells.draw_image(canvas),
        *(cells.draw_cell(canvas, picture) for picture in pictures),
        *([cells.draw_truth(canvas)] if truth else []),
    ]
