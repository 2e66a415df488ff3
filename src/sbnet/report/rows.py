"""The photos on the page: which ones, and for each the row of pictures from photo to ground truth."""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.errors import SBNetError
from sbnet.report import cells
from sbnet.report.cells import Cell, Draw


@dataclass(frozen=True)
class Row:
    name: str
    class_ids: tuple[int, ...]
    cells: list[Cell]


@dataclass(frozen=True)
class Gallery:
    """columns: (title, caption) of each cell of a row. truth: whether any of its photos has a true mask."""

    title: str
    columns: list[tuple[str, str]]
    rows: list[Row]
    truth: bool


@dataclass(frozen=True)
class Column:
    """pattern: the file in the run folder, "{}" for the photo's name; '' for the photo and its truth."""

    title: str
    caption: str
    pattern: str
    draw: Draw


SHOWN = 12  # photos of each list on the page


def shown_photos(collection: Collection, count: int = SHOWN) -> list[Photo]:
    """At most `count` photos spread over the classes, with ground truth first, whatever their order."""
    classes = len(collection.classes)
    with_truth = _spread([photo for photo in collection if photo.mask], count, classes=classes)
    others = [photo for photo in collection if not photo.mask]
    return with_truth + _spread(others, count - len(with_truth), classes=classes)


def _spread(photos: Sequence[Photo], count: int, *, classes: int) -> list[Photo]:
    """In turn, the class shown least often so far gives its next photo."""
    # A checksum of the name shuffles alike on every machine; in name order one year or source would lead.
    pool = sorted(photos, key=lambda photo: (zlib.crc32(photo.name.encode()), photo.name))
    shown = np.zeros(classes, np.int64)
    chosen: list[Photo] = []
    while pool and len(chosen) < count:
        at_hand = {index for photo in pool for index in photo.classes}
        wanted = min(at_hand, key=lambda index: (shown[index], index), default=None)
        photo = next((one for one in pool if wanted in one.classes), pool[0])
        pool.remove(photo)
        chosen.append(photo)
        shown[list(photo.classes)] += 1
    return chosen


def gallery(
    run: Path, title: str, collection: Collection, columns: Sequence[Column], *, count: int
) -> Gallery:
    """Rows of `count` photos; a column whose step has not begun in this run is left out,
    as is the ground truth where no photo has one.
    """
    photos = shown_photos(collection, count)
    shown = [column for column in columns if _has_begun(run, column, photos)]
    classes = len(collection.classes)
    rows = [Row(photo.name, photo.classes, _cells(run, photo, shown, classes=classes)) for photo in photos]
    truth = any(photo.mask for photo in photos)
    return Gallery(title, [(column.title, column.caption) for column in shown], rows, truth)


def train_columns(
    *, boundary_labels: str, boundary_maker: str, boundary_width: int, thresholds: Mapping[str, float]
) -> list[Column]:
    """The chain on a training photo.

    boundary_labels: folder of the labels that the boundary maps are made of, from the run folder on.
    boundary_maker, boundary_width: as `pictures.boundary_picture` takes them. thresholds: stage name -> where
    the rim of its CAMs is drawn.
    """

    def cam(title: str, caption: str, stage: str, folder: str) -> Column:
        threshold = thresholds.get(stage)
        rim = "" if threshold is None else f"; white rim at {threshold:.2f}, the best threshold"
        return Column(title, caption + rim, f"{folder}/scores/{{}}.npz", cells.heat(threshold))

    lines = cells.boundaries(maker=boundary_maker, width=boundary_width)
    return [
        Column("Photo", "and its image labels", "", cells.draw_photo),
        cam("Bootstrap CAM", "trained without boundaries", "bootstrap_cam", "bootstrap_infer_cam"),
        Column("Boundary map", "trained on; striped: unknown", f"{boundary_labels}/{{}}.png", lines),
        Column("Boundary, predicted", "by the network", "infer_cam/boundaries/{}.png", cells.draw_grey),
        Column("Raw CAM", "one scale, not refined", "infer_cam/raw/{}.npz", cells.heat(None)),
        cam("CAM", "class colour by score", "cam", "infer_cam"),
        Column("CRF labels", "confident; striped: left open", "refine/labels/{}.png", cells.draw_label),
        Column("CAM + CRF", "a class for every pixel", "refine/masks/{}.png", cells.draw_mask),
        Column("Boundary, IRN", "where the walk ends", "random_walk/boundaries/{}.png", cells.draw_grey),
        Column("Random walk", "the pseudo mask", "random_walk/masks/{}.png", cells.draw_mask),
        Column(
            "Segmenter", "on a photo that it was trained on", "predict/train_masks/{}.png", cells.draw_mask
        ),
        Column("Ground truth", "for measuring only", "", cells.draw_truth),
    ]


def val_columns() -> list[Column]:
    """What the segmenter makes of a photo that it has not seen."""
    return [
        Column("Photo", "not trained on", "", cells.draw_photo),
        Column("Segmenter", "", "predict/masks/{}.png", cells.draw_mask),
        Column("Segmenter + CRF", "", "predict/masks_crf/{}.png", cells.draw_mask),
        Column("Ground truth", "", "", cells.draw_truth),
    ]


def _has_begun(run: Path, column: Column, photos: Sequence[Photo]) -> bool:
    if column.draw is cells.draw_truth:
        return any(photo.mask for photo in photos)
    return not column.pattern or (run / column.pattern).parent.is_dir()


def _cells(run: Path, photo: Photo, columns: Sequence[Column], *, classes: int) -> list[Cell]:
    try:
        canvas = cells.open_canvas(photo, classes=classes)
    except SBNetError as error:
        return [Cell(note=str(error), broken=True)] + [Cell(note="-") for _ in columns[1:]]
    paths = [run / column.pattern.replace("{}", photo.name) if column.pattern else None for column in columns]
    return [cells.draw_cell(column.draw, canvas, path) for column, path in zip(columns, paths, strict=True)]
