"""COCO's own layout, and its lists as a folder in VOC's layout.

annotations/instances_LIST.json          LIST: train2014, val2014, ...
LIST/ or images/LIST/                    its images
"""

from __future__ import annotations

import csv
import filecmp
import io
import re
from pathlib import Path

from sbnet.data.datasets.coco.instances import Instances, Picture
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.labels import read_class_names
from sbnet.data.io.files import write_bytes
from sbnet.errors import SBNetError, check_folder, did_you_mean

PAGE = "https://cocodataset.org/#download"
WHOLE = {"train2014": 82081, "val2014": 40137}
"""Images of COCO 2014 with any instance."""


def is_coco(root: Path) -> bool:
    """Whether a folder is in COCO's layout, and not in VOC's. Raises `SBNetError` for one that cannot be read."""
    for folder in (root, root / "annotations"):
        if folder.is_dir():
            check_folder(folder)
    return not (root / "JPEGImages").is_dir() and bool(instance_files(root))


def find_list(root: str | Path, name: str) -> tuple[Path, Path]:
    """The instances file and the folder of images of a list: `train2014`, or `train` where there is one year of it.

    Raises `SBNetError`, naming the lists that exist, where either is missing.
    """
    root = Path(root)
    lists = instance_files(root)
    fitting = [known for known in lists if re.fullmatch(re.escape(name) + r"(\d{4})?", known)]
    if name in lists:
        fitting = [name]
    if len(fitting) != 1:
        told = f"it has {', '.join(lists)}" if lists else "it has none"
        near = did_you_mean(name, [*lists, *(re.sub(r"\d{4}$", "", known) for known in lists)])
        of = "there are several" if fitting else f"there is no such file{near}"
        raise SBNetError(
            f"{root / 'annotations'}/instances_{name}.json: {of}; {told}; name one (data.train=, data.val=), or give "
            "the folder that holds COCO's annotations/ (data.root=)"
        )
    found = fitting[0]
    for photos in (root / found, root / "images" / found):
        if photos.is_dir():
            return lists[found], photos
    raise SBNetError(
        f"{root / found}: there is no such folder: unpack the images of {lists[found].name} into it"
    )


def instance_files(root: Path) -> dict[str, Path]:
    """Name of a list -> its instances file, in order of the alphabet."""
    files = sorted((root / "annotations").glob("instances_*.json"))
    return {path.stem.removeprefix("instances_"): path for path in files}


def without_photo(instances: Instances, folder: Path) -> list[Picture]:
    """Those whose image is not in the folder; a file name may begin with folders of its own."""
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    elsewhere = [one for one in instances.pictures if one.file_name not in there]
    return [one for one in elsewhere if not (folder / one.file_name).is_file()]


def labelled_photos(instances: Instances, photos: str | Path) -> Collection:
    """The images that have any instance, crowds counted, in order of ids, without masks.

    images: their folder. Raises `SBNetError` for images that are not in it.
    """
    path, folder = instances.path, Path(photos)
    missing = without_photo(instances, folder)
    if missing:
        raise SBNetError(
            f"{folder}: {len(missing)} of {len(instances.pictures)} images of {path.name} are not there "
            f"('{missing[0].file_name}', image {missing[0].id}, is the first): give the folder that holds them"
        )
    found = tuple(Photo(one.name, folder / one.file_name, one.classes) for one in instances.pictures)
    return Collection(instances.classes, found, path.stem)


def label_file(root: str | Path, split: str) -> Path:
    """Where `write_voc_layout` puts the image-level labels of a list."""
    return Path(root) / f"labels_{split}.csv"


def check_free(collection: Collection, root: str | Path) -> None:
    """Raises `SBNetError` where `root` has other classes, or another image of a name."""
    classes, links = Path(root) / "classes.txt", Path(root) / "JPEGImages"
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


def write_voc_layout(collection: Collection, root: str | Path, split: str) -> None:
    """A folder for runs: links to the images in JPEGImages, ImageSets/Segmentation/SPLIT.txt, classes.txt, and
    the image-level labels `label_file`. More lists can be added to one folder. What is refused: `check_free`.
    """
    check_free(collection, root)
    root = Path(root)
    links = root / "JPEGImages"
    try:
        links.mkdir(parents=True, exist_ok=True)
        for photo in collection:
            link = links / photo.path.name
            if link.is_symlink() and link.resolve() != photo.path.resolve():
                link.unlink()  # the images were moved
            if not link.exists():
                link.symlink_to(photo.path.resolve())
    except OSError as error:
        raise SBNetError(f"{links} does not support links ({error}): choose another folder") from error
    write_bytes(root / "classes.txt", "".join(f"{name}\n" for name in collection.classes).encode())
    table = io.StringIO()
    rows = csv.writer(table, lineterminator="\n")
    rows.writerow(("name", "classes"))
    for photo in collection:
        rows.writerow((photo.name, ";".join(collection.classes[index] for index in photo.classes)))
    write_bytes(label_file(root, split), table.getvalue().encode())
    names = "".join(f"{photo.name}\n" for photo in collection)
    write_bytes(root / "ImageSets" / "Segmentation" / f"{split}.txt", names.encode())
