"""Folders in the layout of PASCAL VOC.

JPEGImages/NAME.jpg                      the images
SegmentationClass/NAME.png               ground truth: palette or grey PNGs of class ids, where there are any
                                         (or in another folder, such as SegmentationClassAug)
Annotations/NAME.xml                     VOC's annotations: <object><name>cat</name>
ImageSets/Segmentation/SPLIT.txt         one image name per line
classes.txt                              class names, one per line; without it they are VOC's
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sbnet.data.datasets.base import Lists
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.labels import (
    VOC_CLASSES,
    ImageLabels,
    read_class_names,
    read_image_list,
    read_label_file,
    read_xml_classes,
)
from sbnet.data.io.image import mask_classes
from sbnet.data.io.named_files import masks_by_name
from sbnet.errors import SBNetError, check_folder, did_you_mean

SOURCES = ("auto", "masks", "xml")  # of image-level labels, apart from a label file
IMAGES, MASKS = "JPEGImages", "SegmentationClass"
AUG = "SegmentationClassAug"  # masks that a run reads where data.masks names the folder
ANNOTATIONS, LISTS = "Annotations", "ImageSets/Segmentation"


def read_lists(
    root: str | Path, train: str, val: str, *, labels: str | Path = "auto", **options: Any
) -> Lists:
    """Train and val list, see `read_voc`; val: "" for none. A label file need not list the val images: ground truth
    measures them.
    """
    found = read_voc(root, train, labels=labels, **options)
    if not val:
        return Lists(found, None)
    return Lists(found, read_voc(root, val, labels=labels if labels in SOURCES else "masks", **options))


def read_voc(
    root: str | Path,
    split: str,
    *,
    labels: str | Path = "auto",
    classes: str | Path = "",
    masks: str | Path = "",
    white: float = 0,
) -> Collection:
    """The images of `ImageSets/Segmentation/SPLIT.txt` with their image-level labels.

    labels: "masks", "xml", a label file (see `labels.read_label_file`), or "auto": the image's mask if it has one, else
    its XML. classes: a file of class names; by default the folder's `classes.txt`, else VOC's 20. masks: the folder of
    the ground truth, by default `SegmentationClass`; a name in `root`, or a path. white: the white level, see
    `read_photo`. Raises `SBNetError` with file, line, value and remedy for whatever does not fit.
    """
    root = Path(root)
    check_layout(root)
    mask_folder = _mask_folder(root, masks)
    names = class_names(root, classes)
    file = None if str(labels) in SOURCES else _label_file(Path(labels), names)
    list_file = _list_file(root, split)
    found_masks = masks_by_name(mask_folder)
    photos = []
    for name, path, where in read_image_list(list_file, root / IMAGES):
        mask = found_masks.get(name)
        if file:
            present, labelled = file.of(name, where)
        else:
            present, labelled = _labels_of_folder(root, mask_folder, str(labels), names, name, mask, where)
        photos.append(Photo(name, path, present, mask, where, labelled, white))
    if masks and not any(photo.mask for photo in photos):
        raise SBNetError(
            f"data.masks: none of the {len(photos)} images of {list_file} has a mask in {mask_folder}: name the folder "
            "that holds their NAME.png, or leave it empty for SegmentationClass"
        )
    return Collection(names, tuple(photos), f"{root.name}/{split}")


def class_names(root: Path, classes: str | Path = "") -> tuple[str, ...]:
    """From the file `classes`, else from the folder's own, else VOC's."""
    own = root / "classes.txt"
    file = classes or (own if own.is_file() else "")
    return read_class_names(file) if file else VOC_CLASSES


def _mask_folder(root: Path, masks: str | Path) -> Path:
    if not masks:
        return root / MASKS
    for folder in (root / masks, Path(masks)):
        if folder.is_dir():
            return folder
    folders = [path.name for path in root.iterdir() if path.is_dir()]
    near = did_you_mean(str(masks), folders)
    made = ": sbnet data make-lists --masks writes it" if str(masks) == AUG else ""
    raise SBNetError(
        f"data.masks: there is no folder '{masks}' in {root}, nor relative to {Path.cwd()}{near}{made}"
    )


def _label_file(path: Path, names: tuple[str, ...]) -> ImageLabels:
    if path.is_file():
        return read_label_file(path, names)
    beside = [file.name for file in path.parent.iterdir()] if path.parent.is_dir() else []
    near = did_you_mean(path.name, beside) or did_you_mean(str(path), SOURCES)
    raise SBNetError(
        f"data.labels: '{path}' is neither a file nor one of {', '.join(SOURCES)}{near}; relative paths start from "
        f"{Path.cwd()}"
    )


def _labels_of_folder(
    root: Path, masks: Path, source: str, names: tuple[str, ...], name: str, mask: Path | None, where: str
) -> tuple[tuple[int, ...], str]:
    """Class ids from the image's mask or annotation, and its path."""
    annotation = root / ANNOTATIONS / f"{name}.xml"
    if source != "xml" and mask is not None:
        return mask_classes(mask, classes=len(names)), str(mask)
    if source == "masks":
        raise SBNetError(
            f"{where}: image '{name}' has no mask in {masks}: add {name}.png; a train list may take its labels from "
            "XML annotations or a label file instead (data.labels=xml or FILE)"
        )
    if annotation.is_file():
        return read_xml_classes(annotation, names), str(annotation)
    looked = "neither a mask nor an annotation" if source == "auto" else "no annotation"
    raise SBNetError(
        f"{where}: image '{name}' has {looked}: add {masks.name}/{name}.png or Annotations/{name}.xml, "
        "or a label file (data.labels=FILE) with a line 'NAME class class' for each image"
    )


def check_layout(root: Path) -> None:
    """Raises `SBNetError` for a folder that cannot be read, and where `root` has no JPEGImages; names one nearby."""
    for folder in (root, root / ANNOTATIONS, root / LISTS):
        if folder.is_dir():
            check_folder(folder)
    if (root / IMAGES).is_dir():
        return
    if not root.is_dir():
        beside = root.absolute().parent
        near = did_you_mean(root.name, [path.name for path in beside.iterdir()]) if beside.is_dir() else ""
        start = "" if root.is_absolute() else f"; relative paths start from {Path.cwd()}"
        raise SBNetError(
            f"{root}: there is no such folder{near}: give the folder that holds JPEGImages{start}"
        )
    inner = next(
        (found for depth in ("*", "*/*") for found in sorted(root.glob(f"{depth}/JPEGImages"))), None
    )
    if root.resolve().name == "JPEGImages":
        inner = root.resolve()
    hint = f" (did you mean '{inner.parent}'?)" if inner else ""
    raise SBNetError(f"{root}: there is no JPEGImages in it{hint}: give a folder in VOC's layout")


def _list_file(root: Path, split: str) -> Path:
    path = root / LISTS / f"{split}.txt"
    if not path.is_file():
        lists = sorted(file.stem for file in path.parent.glob("*.txt"))
        known = f"it has {', '.join(lists)}" if lists else "it has none"
        raise SBNetError(
            f"{path}: there is no such list{did_you_mean(split, lists)}; {known}; name one, or write it: one image "
            "name per line, without suffix; without a list to measure on, leave the val list empty (data.val=)"
        )
    return path
