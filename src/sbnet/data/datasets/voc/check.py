"""A folder in VOC's layout: what is there, what is missing, and whether masks and annotations agree."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sbnet.data.datasets.label_check import LabelFacts, check_label_file, check_labels_of_masks
from sbnet.data.datasets.labels import VOC_CLASSES, read_xml_classes
from sbnet.data.datasets.voc.folder import MASKS, check_layout, class_names, read_list
from sbnet.data.datasets.voc.sources import WHOLE, WHOLE_LISTS, find_sbd
from sbnet.data.io.image import check_photo, mask_classes
from sbnet.data.io.named_files import masks_by_name, photos_by_name
from sbnet.data.io.photo_kind import PhotoKind, check_white
from sbnet.data.io.photo_notes import band_notes, dark_note, kind_counts
from sbnet.errors import SBNetError, counted

AUG = "SegmentationClassAug"  # masks that a run reads where data.masks names the folder


class Part(NamedTuple):
    """A folder of the data set. whole: the files that VOC 2012 has there, None where that is not known."""

    name: str
    path: Path | None
    files: int
    whole: int | None


class ListFacts(NamedTuple):
    """A list; `photos` is None where it is not there. The names that lack an image, the number that lack a mask in
    SegmentationClass, all names, and the number that lack one in SegmentationClassAug, None without that folder.
    """

    name: str
    photos: int | None
    whole: int | None
    without_photo: tuple[str, ...] = ()
    without_mask: int = 0
    names: tuple[str, ...] = ()
    without_aug: int | None = None


class Difference(NamedTuple):
    """An image whose annotation and mask do not name the same classes: those that stand in one alone."""

    photo: str
    only_xml: tuple[str, ...]
    only_mask: tuple[str, ...]


class Compared(NamedTuple):
    """A folder's masks beside the annotations. images: those that have both."""

    folder: str
    photos: int
    differences: tuple[Difference, ...]


@dataclass(frozen=True)
class VocFacts:
    """compared: of SegmentationClass, and of SegmentationClassAug where it is there. labels: what classes the images
    show. kinds: what is more than 8-bit grey or colour, a line each. problems: what a run would refuse, or a figure
    suffer from.
    """

    parts: tuple[Part, ...]
    lists: tuple[ListFacts, ...]
    compared: tuple[Compared, ...]
    labels: LabelFacts
    kinds: tuple[str, ...]
    problems: tuple[str, ...]


def check_voc(
    root: str | Path,
    *,
    sbd: str | Path | None = None,
    labels: str | Path | None = None,
    classes: str | Path | None = None,
    white: float = 0,
) -> VocFacts:
    """Looks at a folder in VOC's layout: folders, lists, every image's header, every mask, the annotations of images
    with a mask, and what classes the images to train on show.

    sbd: SBD's folder; by default it is looked for in and beside `root`. labels, classes, white: a label file, a list of
    classes, and the value that is white, as a run is given them (see `read_voc`). Raises `SBNetError` where there is no
    JPEGImages, for two images or masks of one name, and for class lists and label files that cannot be read; whatever
    else is wrong is a problem in what is given back.
    """
    root = Path(root)
    check_white(white)
    check_layout(root)
    names = class_names(root, classes or "")
    whole = WHOLE if names == VOC_CLASSES else {}
    photos = photos_by_name(root / "JPEGImages")
    # Each by itself: a run reads one of the two, so that neither may hide what the other has or lacks.
    masks = {MASKS: masks_by_name(root / MASKS)}
    if (root / AUG).is_dir():
        masks[AUG] = masks_by_name(root / AUG)
    annotations = {path.stem: path for path in (root / "Annotations").glob("*.xml")}
    mats = find_sbd(root, Path(sbd) if sbd else None)
    parts = [
        Part("JPEGImages", root / "JPEGImages", len(photos), whole.get("JPEGImages")),
        _part(root, MASKS, masks[MASKS], whole),
        _part(root, "Annotations", annotations, whole),
        _part(root, AUG, masks.get(AUG, {}), whole),
        Part("SBD", mats, len(list(mats.glob("*.mat"))) if mats else 0, whole.get("SBD")),
    ]
    problems: list[str] = []
    lists = _lists(root, photos, masks, names == VOC_CLASSES, problems)
    kinds = _each_photo(photos, white, problems)
    present = {
        folder: _each_mask(found, kinds, photos, names, problems, white=white)
        for folder, found in masks.items()
    }
    annotated = _each_annotation(annotations, set().union(*present.values()), names, problems)
    train = next((entry.names for entry in lists if entry.name == "train" and entry.names), None)
    if labels is None:
        shown = check_labels_of_masks(present[MASKS], masks[MASKS], annotations, names, train, problems)
    else:
        shown = check_label_file(labels, names, photos.keys(), train, problems)
    return VocFacts(
        tuple(parts),
        lists,
        tuple(_compare(folder, found, annotated, names) for folder, found in present.items()),
        shown,
        (*kind_counts(kinds), *band_notes(kinds)),
        tuple(dict.fromkeys(problems)),
    )


def _part(root: Path, name: str, files: Mapping[str, Path], whole: Mapping[str, int]) -> Part:
    path = root / name
    return Part(name, path if path.is_dir() else None, len(files), whole.get(name))


def _lists(
    root: Path,
    photos: Mapping[str, Path],
    masks: Mapping[str, Mapping[str, Path]],
    is_voc: bool,
    problems: list[str],
) -> tuple[ListFacts, ...]:
    """The usual lists, there or not, then all others of the folder. Images of both train and val are a problem."""
    folder = root / "ImageSets" / "Segmentation"
    found = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    if not found:
        problems.append(
            f"{folder / 'train.txt'}: there is no such list, nor any other; write it: one image name per line, "
            "without suffix"
        )
    read: dict[str, list[str]] = {}
    facts = []
    for name in dict.fromkeys([*("train", "val", "trainval", "train_aug"), *found]):
        whole = WHOLE_LISTS.get(name) if is_voc else None
        if name not in found:
            facts.append(ListFacts(name, None, whole))
            continue
        try:
            read[name] = [entry for _, entry in read_list(found[name])]
        except SBNetError as error:
            problems.append(str(error))
            continue
        missing = tuple(entry for entry in read[name] if entry not in photos)
        bare = {folder: sum(entry not in files for entry in read[name]) for folder, files in masks.items()}
        entries = tuple(read[name])
        facts.append(ListFacts(name, len(entries), whole, missing, bare[MASKS], entries, bare.get(AUG)))
        if missing:
            problems.append(
                f"{found[name]}: {len(missing)} of {len(read[name])} images are not in JPEGImages ('{missing[0]}' is "
                "the first): add them or remove them from the list"
            )
    for name in ("train", "train_aug"):
        if shared := sorted(set(read.get(name, ())) & set(read.get("val", ()))):
            problems.append(
                f"{found[name]}: {counted(len(shared), 'image')} also in val.txt ('{shared[0]}' is the first): keep "
                "each in one of the two"
            )
    return tuple(facts)


def _each_photo(photos: Mapping[str, Path], white: float, problems: list[str]) -> dict[Path, PhotoKind]:
    """What each image is, by its header; those that cannot be read are problems, and so are those nearly black."""

    def look(path: Path) -> PhotoKind | str:
        try:
            return check_photo(path, white=white)
        except SBNetError as error:
            return str(error)

    paths = sorted(photos.values())
    with ThreadPoolExecutor() as pool:
        looked = dict(zip(paths, pool.map(look, paths), strict=True))
    problems.extend(found for found in looked.values() if isinstance(found, str))
    kinds = {path: found for path, found in looked.items() if not isinstance(found, str)}
    if not white and (
        dark := dark_note(kinds, setting="--white-level {0} (for a run: data.white_level={0})")
    ):
        problems.append(dark)
    return kinds


def _each_mask(
    masks: Mapping[str, Path],
    kinds: Mapping[Path, PhotoKind],
    photos: Mapping[str, Path],
    names: tuple[str, ...],
    problems: list[str],
    *,
    white: float,
) -> dict[str, tuple[int, ...]]:
    """Name -> foreground ids of every mask that can be used; the others are problems."""

    def look(name: str) -> tuple[int, ...] | str:
        try:
            if photos.get(name) in kinds:
                check_photo(photos[name], masks[name], white=white)
            return mask_classes(masks[name], classes=len(names))
        except SBNetError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        looked = dict(zip(sorted(masks), pool.map(look, sorted(masks)), strict=True))
    problems.extend(found for found in looked.values() if isinstance(found, str))
    return {name: found for name, found in looked.items() if not isinstance(found, str)}


def _each_annotation(
    files: Mapping[str, Path], wanted: Collection[str], names: tuple[str, ...], problems: list[str]
) -> dict[str, tuple[int, ...]]:
    """Name -> the ids that the annotation names, of those of `wanted` that have one; unusable ones are problems."""
    found = {}
    for name in sorted(files.keys() & set(wanted)):
        try:
            found[name] = read_xml_classes(files[name], names)
        except SBNetError as error:
            problems.append(str(error))
    return found


def _compare(
    folder: str,
    present: Mapping[str, tuple[int, ...]],
    annotated: Mapping[str, tuple[int, ...]],
    names: tuple[str, ...],
) -> Compared:
    """What a folder's masks show beside what the annotations name: name -> foreground ids each."""
    both = sorted(present.keys() & annotated.keys())
    differences = []
    for name in both:
        told, seen = set(annotated[name]), set(present[name])
        if told != seen:
            alone = (tuple(names[index] for index in sorted(ids)) for ids in (told - seen, seen - told))
            differences.append(Difference(name, *alone))
    return Compared(folder, len(both), tuple(differences))
