"""COCO's instances file (instances_train2014.json), checked, with nothing in it but what labels and masks need.

Class ids: COCO's category ids (1 to 90 with gaps) in ascending order become 1 to 80, background is 0: the usual 81
classes. H x W: a picture's size in pixels.
"""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from sbnet.data.datasets.labels import BACKGROUND
from sbnet.errors import SBNetError

_KEPT = frozenset(
    [
        *("images", "annotations", "categories", "id", "name", "file_name", "width", "height"),
        *("image_id", "category_id", "area", "segmentation", "size", "counts"),
    ]
)


class Instance(NamedTuple):
    """An annotation: its id there, its class (1..C-1), its area in pixels as the file has it, its `segmentation`:
    polygons (each an array of doubles x, y, x, y, ...) or run lengths.
    """

    id: int
    category: int
    area: float | None
    shape: Any


class Picture(NamedTuple):
    """An entry of `images` with its instances, crowds among them, in the file's order. size: (H, W)."""

    id: int
    file_name: str
    size: tuple[int, int]
    instances: tuple[Instance, ...]

    @property
    def name(self) -> str:
        return Path(self.file_name).stem

    @property
    def classes(self) -> tuple[int, ...]:
        return tuple(sorted({instance.category for instance in self.instances}))


@dataclass(frozen=True)
class Instances:
    """pictures: those that have an instance, in order of their ids; `without` others have none."""

    path: Path
    classes: tuple[str, ...]
    pictures: tuple[Picture, ...]
    without: int


def read_instances(path: str | Path) -> Instances:
    """Reads the whole file. Raises `SBNetError` with the annotation's or image's id for whatever does not fit; how an
    instance's pixels are given is looked at when it is drawn.
    """
    path = Path(path)
    tables = _tables(path)
    try:
        classes, contiguous = _classes(path, tables["categories"])
        images = {int(one["id"]): one for one in tables["images"]}
        if len(images) < len(tables["images"]):
            raise SBNetError(f"{path}: two images share an id: give each its own")
        found = _by_image(path, images, contiguous, tables["annotations"])
        pictures = [
            Picture(number, str(image["file_name"]), _size(path, image), tuple(found[number]))
            for number, image in sorted(images.items())
            if number in found
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _foreign(path, error) from error
    if not pictures:
        raise SBNetError(f"{path}: no image has an instance: use the instances file of train or val")
    _check_names(path, pictures)
    return Instances(path, classes, tuple(pictures), len(images) - len(pictures))


def _tables(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), object_hook=_compact)
        for key in ("categories", "images", "annotations"):
            if not isinstance(data[key], list):
                raise TypeError(f"'{key}' is no list")
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _foreign(path, error) from error
    return data


def _foreign(path: Path, error: Exception) -> SBNetError:
    return SBNetError(
        f"{path}: not a COCO instances file ({type(error).__name__}: {error}): use one such as instances_train2014.json"
    )


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """What is used of an object, polygons at 8 bytes a number instead of 32: instances_train2014.json has millions."""
    kept = {key: value for key, value in entry.items() if key in _KEPT}
    shape = kept.get("segmentation")
    if isinstance(shape, list):
        with suppress(
            TypeError, OverflowError
        ):  # not polygons: refused with the annotation's id when it is drawn
            kept["segmentation"] = [array("d", polygon) for polygon in shape]
    return kept


def _classes(path: Path, categories: Iterable[dict[str, Any]]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Class names, background first, and category id -> class id."""
    names = {int(one["id"]): str(one["name"]).strip() for one in categories}
    for number, name in names.items():
        if name in ("", BACKGROUND) or not set(name).isdisjoint(";\n\r"):
            raise SBNetError(
                f"{path}: category {number} is named '{name}': a class name is one line without ';', and "
                f"'{BACKGROUND}' is what belongs to no category: rename it"
            )
        if list(names.values()).count(name) > 1:
            raise SBNetError(f"{path}: two categories are named '{name}': rename one")
    numbers = sorted(names)
    return (BACKGROUND, *(names[number] for number in numbers)), {
        number: index for index, number in enumerate(numbers, start=1)
    }


def _by_image(
    path: Path, images: dict[int, Any], contiguous: dict[int, int], annotations: Iterable[dict[str, Any]]
) -> dict[int, list[Instance]]:
    found: dict[int, list[Instance]] = {}
    for one in annotations:
        number, image, category = int(one["id"]), int(one["image_id"]), int(one["category_id"])
        if image not in images:
            raise SBNetError(
                f"{path}: annotation {number} is of image {image}, which is not in 'images': "
                "add the image there, or remove the annotation"
            )
        if category not in contiguous:
            raise SBNetError(
                f"{path}: annotation {number} (image {image}) has category {category}, which is not in "
                "'categories': add the category there, or remove the annotation"
            )
        area = one.get("area")
        area = None if area is None else float(area)
        instance = Instance(number, contiguous[category], area, one.get("segmentation"))
        found.setdefault(image, []).append(instance)
    return found


def _size(path: Path, image: dict[str, Any]) -> tuple[int, int]:
    try:
        size = int(image["height"]), int(image["width"])
    except (KeyError, TypeError, ValueError):
        size = 0, 0
    if min(size) < 1:
        raise SBNetError(
            f"{path}: image {image['id']} ('{image['file_name']}') has no 'height' and 'width' of 1 or more: add them"
        )
    return size


def _check_names(path: Path, pictures: Iterable[Picture]) -> None:
    """Masks and lists know images by their names without folder and suffix."""
    first: dict[str, Picture] = {}
    for picture in pictures:
        if (
            picture.name != picture.name.strip()
            or not picture.name
            or not set(picture.name).isdisjoint("\n\r")
        ):
            raise SBNetError(
                f"{path}: image {picture.id} is named '{picture.file_name}', which a list of names cannot hold: "
                "remove spaces and line breaks from its ends"
            )
        other = first.setdefault(picture.name, picture)
        if other is not picture:
            raise SBNetError(
                f"{path}: images {other.id} and {picture.id} are named '{other.file_name}' and "
                f"'{picture.file_name}': their masks would overwrite each other; rename one"
            )
