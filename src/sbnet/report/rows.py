"""The galleries of the page: an image a row, from the image through what the steps made of it to the ground truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.errors import SBNetError
from sbnet.report import cells
from sbnet.report.cells import Cell, Draw
from sbnet.report.shown import shown_images

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


@dataclass(frozen=True)
class Column:
    """file: `{}` in its last part stands for the image's name; None for the image and its ground truth."""

    title: str
    caption: str
    file: Path | None
    draw: Draw


def columns(
    run: Path,
    steps: Sequence[StepSpec],
    inputs: Mapping[str, Mapping[str, str]],
    *,
    images: Images,
    thresholds: Mapping[str, float],
) -> list[Column]:
    """The pictures that the steps have of a split, in order. thresholds: of each measure, where maps are outlined."""
    return [
        _column(run / place / picture.place, picture, thresholds.get(picture.threshold))
        for step in steps
        for picture in step.pictures
        if picture.images == images
        if (place := _place(step, picture, inputs)) is not None
    ]


def _place(step: StepSpec, picture: Picture, inputs: Mapping[str, Mapping[str, str]]) -> str | None:
    if not picture.read or Path(picture.place).is_absolute():
        return step.name
    return inputs.get(step.name, {}).get(picture.read)


def _column(file: Path, picture: Picture, threshold: float | None) -> Column:
    outline = "" if threshold is None else f"outline: scores above {threshold:.2f}, the best threshold"
    options = dict(picture.options) | ({} if threshold is None else {"threshold": threshold})
    return Column(
        picture.title,
        "; ".join(filter(None, (picture.caption, outline))),
        file,
        cells.drawing(picture.draw, options),
    )


def begun(made: Sequence[Column]) -> list[Column]:
    """Those whose step has made its folder."""
    return [column for column in made if column.file and column.file.parent.is_dir()]


def gallery(
    title: str, collection: Collection, made: Sequence[Column], *, count: int, caption: str
) -> Gallery:
    """Rows of at most `count` images; the ground truth is left out where none has any. caption: under "Image"."""
    images = shown_images(collection, count)
    truth = any(image.mask for image in images)
    shown = [Column("Image", caption, None, cells.draw_image), *begun(made)]
    if truth:
        shown.append(Column("Ground truth", "what masks are measured against", None, cells.draw_truth))
    classes = len(collection.classes)
    rows = [Row(image.name, image.classes, _cells(image, shown, classes=classes)) for image in images]
    return Gallery(title, [(column.title, column.caption) for column in shown], rows, truth)


def _cells(image: Photo, shown: Sequence[Column], *, classes: int) -> list[Cell]:
    try:
        canvas = cells.open_canvas(image, classes=classes)
    except SBNetError as error:
        return [Cell(note=str(error), broken=True)] + [Cell(note="-") for _ in shown[1:]]
    files = [
        column.file and column.file.with_name(column.file.name.replace("{}", image.name)) for column in shown
    ]
    return [cells.draw_cell(column.draw, canvas, file) for column, file in zip(shown, files, strict=True)]
