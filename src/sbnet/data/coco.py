"""COCO's instance annotations as image labels, and as a folder in VOC's layout.

Class ids: COCO's category ids (1 to 90 with gaps) in ascending order become 1 to 80, background is 0: the usual 81
classes. Masks are not made.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sbnet.data.collection import Collection, Photo
from sbnet.data.files import write_bytes
from sbnet.data.labels import BACKGROUND, read_class_names
from sbnet.errors import SBNetError


def read_coco(instances: str | Path, photos: str | Path) -> Collection:
    """The photos of `instances` (instances_train2014.json) that have any instance, crowds counted, in order of ids.

    photos: the folder of the photos. Raises `SBNetError` for a file that is no COCO instances file, ids that it does
    not define, and photos that are not in the folder.
    """
    path, folder = Path(instances), Path(photos)
    categories, images, annotations = _tables(path)
    contiguous = {number: index for index, number in enumerate(sorted(categories), start=1)}
    present: dict[int, set[int]] = {}
    for image, category in annotations:
        if image not in images or category not in contiguous:
            raise SBNetError(
                f"{path}: an annotation names image {image}, category {category}: one is not defined there"
            )
        present.setdefault(image, set()).add(contiguous[category])
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    missing = [images[image] for image in sorted(present) if images[image] not in there]
    if missing:
        raise SBNetError(
            f"{folder}: {len(missing)} of {len(present)} photos of {path.name} are not there ('{missing[0]}' is the "
            "first): give the folder that holds them"
        )
    found = tuple(
        Photo(Path(images[image]).stem, folder / images[image], tuple(sorted(present[image])))
        for image in sorted(present)
    )
    if not found:
        raise SBNetError(f"{path}: no photo has an instance: give an instances file of train or val")
    names = (BACKGROUND, *(categories[number] for number in sorted(categories)))
    return Collection(names, found, path.stem)


def write_voc_layout(collection: Collection, root: str | Path, split: str) -> Path:
    """A folder that runs take: links to the photos in JPEGImages, ImageSets/Segmentation/SPLIT.txt, classes.txt, and
    `root`/labels_SPLIT.csv, whose path is given back.

    More lists can be added to one folder. Raises `SBNetError` where it has other classes or another photo of a name.
    """
    root = Path(root)
    classes = root / "classes.txt"
    if classes.is_file() and read_class_names(classes) != collection.classes:
        raise SBNetError(f"{classes} is there already and names other classes: choose another folder")
    links = root / "JPEGImages"
    links.mkdir(parents=True, exist_ok=True)
    for photo in collection:
        link, target = links / photo.path.name, photo.path.resolve()
        if not link.is_symlink() and not link.exists():
            link.symlink_to(target)
        elif link.resolve() != target:
            raise SBNetError(f"{link} is there already and is another photo: choose another folder")
    write_bytes(classes, "".join(f"{name}\n" for name in collection.classes).encode())
    rows = [";".join(collection.classes[index] for index in photo.classes) for photo in collection]
    labels = root / f"labels_{split}.csv"
    lines = (f"{photo.name},{row}\n" for photo, row in zip(collection, rows, strict=True))
    write_bytes(labels, "".join(["name,classes\n", *lines]).encode())
    names = "".join(f"{photo.name}\n" for photo in collection)
    write_bytes(root / "ImageSets" / "Segmentation" / f"{split}.txt", names.encode())
    return labels


def _tables(path: Path) -> tuple[dict[int, str], dict[int, str], list[tuple[int, int]]]:
    """Category id -> name, image id -> file name, and (image id, category id) of every annotation."""
    try:
        data: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        categories = {int(one["id"]): str(one["name"]) for one in data["categories"]}
        images = {int(one["id"]): str(one["file_name"]) for one in data["images"]}
        return (
            categories,
            images,
            [(int(one["image_id"]), int(one["category_id"])) for one in data["annotations"]],
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SBNetError(
            f"{path}: no instances file of COCO ({type(error).__name__}: {error}): give instances_train2014.json"
        ) from error
