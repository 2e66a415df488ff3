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

from sbnet.data import IGNORE
from sbnet.data.datasets.labels import BACKGROUND
from sbnet.errors import SBNetError

_KEPT = {
    *("images", "annotations", "categories", "id", "name", "file_name", "width", "height"),
    *("image_id", "category_id", "area", "segmentation", "size", "counts"),
}


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
    try:
        tables = json.loads(path.read_text(encoding="utf-8"), object_hook=_compact)
        classes, index = _classes(tables["categories"])
        images = {int(one["id"]): one for one in tables["images"]}
        if len(images) < len(tables["images"]):
            raise SBNetError("two images share an id: give each its own")
        found = _by_image(images, index, tables["annotations"])
        pictures = []
        for number in sorted(found):
            image = images[number]
            size = int(image["height"]), int(image["width"])
            pictures.append(Picture(number, str(image["file_name"]), size, tuple(found[number])))
        if not pictures:
            raise SBNetError("no image has an instance: use the instances file of train or val")
        _check_names(pictures)
    except SBNetError as error:
        raise SBNetError(f"{path}: {error}") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise SBNetError(
            f"{path}: not a COCO instances file ({type(error).__name__}: {error}): use one such as "
            "instances_train2014.json"
        ) from error
    return Instances(path, classes, tuple(pictures), len(images) - len(pictures))


def _compact(entry: dict[str, Any]) -> dict[str, Any]:
    """What is used of an object, polygons at 8 bytes a number instead of 32: instances_train2014.json has millions."""
    kept = {key: value for key, value in entry.items() if key in _KEPT}
    shape = kept.get("segmentation")
    if isinstance(shape, list):
        # What is no polygon is refused, with the annotation's id, when it is drawn.
        with suppress(TypeError, OverflowError):
            kept["segmentation"] = [array("d", polygon) for polygon in shape]
    return kept


def _classes(categories: Iterable[dict[str, Any]]) -> tuple[tuple[str, ...], dict[int, int]]:
    """Class names, background first, and category id -> class id."""
    names = {int(one["id"]): str(one["name"]).strip() for one in categories}
    for number, name in names.items():
        if name in ("", BACKGROUND) or not set(name).isdisjoint(";\n\r"):
            raise SBNetError(
                f"category {number} is named '{name}': a class name is one line without ';', and '{BACKGROUND}' is "
                "what belongs to no category: rename it"
            )
        if list(names.values()).count(name) > 1:
            raise SBNetError(f"two categories are named '{name}': rename one")
    if len(names) >= IGNORE:
        raise SBNetError(f"{len(names)} categories, but at most {IGNORE - 1} fit a mask: keep fewer")
    numbers = sorted(names)
    index = {number: index for index, number in enumerate(numbers, start=1)}
    return (BACKGROUND, *(names[number] for number in numbers)), index


def _by_image(
    images: dict[int, Any], classes: dict[int, int], annotations: Iterable[dict[str, Any]]
) -> dict[int, list[Instance]]:
    found: dict[int, list[Instance]] = {}
    for one in annotations:
        number, image, category = int(one["id"]), int(one["image_id"]), int(one["category_id"])
        for what, table, known in ((image, "images", images), (category, "categories", classes)):
            if what not in known:
                raise SBNetError(
                    f"annotation {number} (image {image}, category {category}): {what} is not in '{table}': add it "
                    "there, or remove the annotation"
                )
        area = one.get("area")
        area = None if area is None else float(area)
        found.setdefault(image, []).append(Instance(number, classes[category], area, one.get("segmentation")))
    return found


def _check_names(pictures: Iterable[Picture]) -> None:
    """Masks and lists know images by their names without folder and suffix."""
    first: dict[str, Picture] = {}
    for picture in pictures:
        name = picture.name
        if not name or name != name.strip() or not set(name).isdisjoint("\n\r"):
            raise SBNetError(
                f"image {picture.id} is named '{picture.file_name}', which a list of names cannot hold: remove spaces "
                "and line breaks from its ends"
            )
        if (other := first.setdefault(name, picture)) is not picture:
            raise SBNetError(
                f"images {other.id} and {picture.id} are named '{other.file_name}' and '{picture.file_name}': their "
                "masks would overwrite each other; rename one"
            )
