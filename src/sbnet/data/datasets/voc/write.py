"""A collection as a folder in VOC's layout, for readers of data sets that have another."""

from __future__ import annotations

import filecmp
from collections.abc import Iterable
from pathlib import Path

from sbnet.data.datasets.collection import Collection
from sbnet.data.datasets.labels import read_class_names
from sbnet.data.datasets.voc.folder import IMAGES, LISTS
from sbnet.data.io.files import write_bytes, write_table
from sbnet.errors import SBNetError


def label_file(root: Path, split: str) -> Path:
    """Where `write_voc` puts the image-level labels of a list."""
    return root / f"labels_{split}.csv"


def write_voc(collection: Collection, root: Path, split: str) -> None:
    """Links to the images in JPEGImages, classes.txt, `label_file`, and last ImageSets/Segmentation/SPLIT.txt.

    More lists can be added to one folder: call `check_free` before. Links to images that were moved are replaced.
    """
    links = root / IMAGES
    try:
        links.mkdir(parents=True, exist_ok=True)
        for photo in collection:
            link = links / photo.path.name
            if link.is_symlink() and link.resolve() != photo.path.resolve():
                link.unlink()
            if not link.exists():
                link.symlink_to(photo.path.resolve())
    except OSError as error:
        raise SBNetError(f"{links} does not support links ({error}): choose another folder") from error
    write_bytes(root / "classes.txt", _lines(collection.classes))
    classes = (";".join(collection.classes[index] for index in photo.classes) for photo in collection)
    names = [photo.name for photo in collection]
    write_table(label_file(root, split), [("name", "classes"), *zip(names, classes, strict=True)])
    write_bytes(root / LISTS / f"{split}.txt", _lines(names))


def check_free(collection: Collection, root: Path) -> None:
    """Raises `SBNetError` where `root` has other classes, or another image of a name."""
    classes, links = root / "classes.txt", root / IMAGES
    if classes.is_file() and read_class_names(classes) != collection.classes:
        raise SBNetError(f"{classes} already exists with other classes: choose another folder")
    names = {path.stem: path for path in links.iterdir()} if links.is_dir() else {}
    for photo in collection:
        other = names.get(photo.name)
        if other is not None and other.exists() and not _same(other, photo.path):
            raise SBNetError(
                f"{other} already exists and is another image ({other.resolve()}) than {photo.path}: names must "
                "differ between the lists of one folder: rename one, or choose another folder"
            )


def _same(one: Path, other: Path) -> bool:
    return one.resolve() == other.resolve() or filecmp.cmp(one, other, shallow=False)


def _lines(names: Iterable[str]) -> bytes:
    return "".join(f"{name}\n" for name in names).encode()
