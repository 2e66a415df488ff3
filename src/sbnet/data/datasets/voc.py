"""Folders in the layout of PASCAL VOC.

JPEGImages/NAME.jpg                      the photos
SegmentationClass/NAME.png               masks: palette or grey PNG of class ids; photos may lack one
                                         (or in another folder, such as SegmentationClassAug)
Annotations/NAME.xml                     VOC's annotations: <object><name>cat</name>
ImageSets/Segmentation/SPLIT.txt         one photo's NAME a line
classes.txt                              class names, one a line, where they are not VOC's
"""

from __future__ import annotations

from pathlib import Path

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.labels import (
    VOC_CLASSES,
    ImageLabels,
    read_class_names,
    read_label_file,
    read_text,
    read_xml_classes,
)
from sbnet.data.io.image import mask_classes
from sbnet.data.io.named_files import masks_by_name, photos_by_name
from sbnet.errors import SBNetError, check_folder, did_you_mean

SOURCES = ("auto", "masks", "xml")  # of image labels, besides a label file
MASKS = "SegmentationClass"
LISTS, ANNOTATIONS = "ImageSets/Segmentation", "Annotations"


def read_voc(
    root: str | Path,
    split: str,
    *,
    labels: str | Path = "auto",
    classes: str | Path | None = None,
    masks: str | Path = "",
    white: float = 0,
) -> Collection:
    """The photos of `ImageSets/Segmentation/SPLIT.txt` with their image labels.

    `labels`: "masks", "xml", a label file (see `labels.read_label_file`), or "auto": the photo's mask where
    there is one, else its XML. `classes`: a file of class names; by default the folder's `classes.txt`, else
    VOC's 20. `masks`: the folder of the true masks, by default `SegmentationClass`; a name in `root`, or a path.
    `white`: the value that is white in photos of more than 8 bits, see `read_photo`.
    Raises `SBNetError` with file, line, value and remedy for whatever does not fit.
    """
    root = Path(root)
    check_layout(root)
    mask_folder = _mask_folder(root, masks)
    names = class_names(root, classes)
    image_labels = None
    if str(labels) not in SOURCES:
        if not Path(labels).is_file():
            near = _near_file(Path(labels)) or did_you_mean(str(labels), SOURCES)
            raise SBNetError(
                f"data.labels: '{labels}' is neither a file nor one of {', '.join(SOURCES)}{near}; a relative path "
                f"begins at {Path.cwd()}"
            )
        image_labels = read_label_file(labels, names)
    list_file = _list_file(root, split)
    photo_files = photos_by_name(root / "JPEGImages")
    mask_files = masks_by_name(mask_folder)
    photos = []
    for line, name in read_list(list_file):
        where = f"{list_file}, line {line}"
        if name not in photo_files:
            bare = Path(name).stem
            remedy = (
                f"write '{bare}', without folder and suffix"
                if bare in photo_files
                else "add it or remove the line"
            )
            near = "" if bare in photo_files else did_you_mean(name, photo_files, nearness=0.9)
            raise SBNetError(f"{where}: there is no photo '{name}' in {root / 'JPEGImages'}{near}: {remedy}")
        mask = mask_files.get(name)
        if image_labels is not None:
            present, labelled = _from_file(name, where, image_labels)
        else:
            present, labelled = _from_folder(mask_folder, root, name, where, str(labels), mask, names)
        photos.append(Photo(name, photo_files[name], present, mask, where, labelled, white))
    if masks and not any(photo.mask for photo in photos):
        raise SBNetError(
            f"data.masks: none of the {len(photos)} photos of {list_file} has a mask in {mask_folder}: name the folder "
            "that holds their NAME.png, or leave it empty for SegmentationClass"
        )
    return Collection(names, tuple(photos), f"{root.name}/{split}")


def class_names(root: Path, classes: str | Path | None) -> tuple[str, ...]:
    """Of the file `classes`, else of the folder's own, else VOC's."""
    if classes is None and (root / "classes.txt").is_file():
        classes = root / "classes.txt"
    return VOC_CLASSES if classes is None else read_class_names(classes)


def _mask_folder(root: Path, masks: str | Path) -> Path:
    if not masks:
        return root / MASKS
    for folder in (root / masks, Path(masks)):
        if folder.is_dir():
            return folder
    folders = [path.name for path in root.iterdir() if path.is_dir()]
    near = did_you_mean(str(masks), folders)
    made = ": sbnet data make-lists --masks writes it" if str(masks) == "SegmentationClassAug" else ""
    raise SBNetError(
        f"data.masks: there is no folder '{masks}' in {root}, nor from {Path.cwd()} on{near}{made}"
    )


def _near_file(path: Path) -> str:
    try:
        beside = [file.name for file in path.parent.iterdir() if file.is_file()]
    except OSError:
        return ""
    return did_you_mean(path.name, beside)


def _from_file(name: str, where: str, labels: ImageLabels) -> tuple[tuple[int, ...], str]:
    if name in labels.classes:
        return labels.classes[name], f"{labels.path}, line {labels.lines[name]}"
    remedy = "add its classes there"
    for known, line in labels.lines.items():
        if Path(known).stem == name:
            remedy = f"write '{known}' on its line {line} without suffix"
        elif known.startswith((f"{name},", f"{name};", f"{name}:")):
            remedy = (
                f"part name and classes by blanks on its line {line}, or save it as .csv (name,class;class)"
            )
    raise SBNetError(f"{where}: photo '{name}' is not in {labels.path}: {remedy}")


def _from_folder(
    masks: Path, root: Path, name: str, where: str, labels: str, mask: Path | None, names: tuple[str, ...]
) -> tuple[tuple[int, ...], str]:
    annotation = root / ANNOTATIONS / f"{name}.xml"
    if labels in ("auto", "masks") and mask is not None:
        return mask_classes(mask, classes=len(names)), str(mask)
    if labels == "masks":
        raise SBNetError(
            f"{where}: photo '{name}' has no mask in {masks}: add {name}.png; a list to "
            "learn from may have image labels from XML annotations or a label file instead (data.labels=xml or FILE)"
        )
    if annotation.is_file():
        return read_xml_classes(annotation, names), str(annotation)
    looked = "neither a mask nor an annotation" if labels == "auto" else "no annotation"
    raise SBNetError(
        f"{where}: photo '{name}' has {looked}: add {masks.name}/{name}.png or Annotations/{name}.xml, "
        "or give a label file (data.labels=FILE) with a line 'NAME class class' for each photo"
    )


def check_layout(root: Path) -> None:
    """Raises `SBNetError` for a folder of the layout that cannot be read, and where there is no JPEGImages in `root`,
    naming a folder nearby that fits.
    """
    for folder in (root, root / ANNOTATIONS, root / LISTS):
        if folder.is_dir():
            check_folder(folder)
    if (root / "JPEGImages").is_dir():
        return
    if not root.is_dir():
        beside = root.absolute().parent
        near = did_you_mean(root.name, [path.name for path in beside.iterdir()]) if beside.is_dir() else ""
        begins = "" if root.is_absolute() else f"; a relative path begins at {Path.cwd()}"
        raise SBNetError(
            f"{root}: there is no such folder{near}: give the folder that holds JPEGImages{begins}"
        )
    inner = next(
        (found for depth in ("*", "*/*") for found in sorted(root.glob(f"{depth}/JPEGImages"))), None
    )
    if root.resolve().name == "JPEGImages":
        inner = root.resolve()
    hint = f" (did you mean '{inner.parent}'?)" if inner else ""
    raise SBNetError(f"{root}: there is no JPEGImages in it{hint}: give a folder in VOC's layout")


def _list_file(root: Path, split: str) -> Path:
    folder = root / LISTS
    path = folder / f"{split}.txt"
    if not path.is_file():
        lists = sorted(file.stem for file in folder.glob("*.txt"))
        known = f"it has {', '.join(lists)}" if lists else "it has none"
        raise SBNetError(
            f"{path}: there is no such list{did_you_mean(split, lists)}; {known}; name one, or write it: the name of a "
            "photo a line, without suffix; the val list may be empty (data.val=) where there is nothing to measure on"
        )
    return path


def read_list(path: Path) -> list[tuple[int, str]]:
    """Line numbers (from 1) and names of a list of photos; blank lines are skipped.

    Raises `SBNetError` for a file that cannot be read, an empty one, and a name that stands in it twice.
    """
    first: dict[str, int] = {}
    for number, line in enumerate(read_text(path, "list").splitlines(), start=1):
        name = line.strip()
        if name and first.setdefault(name, number) != number:
            raise SBNetError(f"{path}, line {number}: '{name}' is on line {first[name]} already: remove one")
    if not first:
        raise SBNetError(f"{path}: the list is empty: write one photo's name a line")
    return [(number, name) for name, number in first.items()]
