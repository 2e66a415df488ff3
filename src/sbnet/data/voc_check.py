"""What of PASCAL VOC's protocol lies in a folder, what is missing, and whether masks and annotations agree."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sbnet.data.image import check_sizes, mask_classes
from sbnet.data.labels import VOC_CLASSES, read_class_names, read_xml_classes
from sbnet.data.voc import check_layout, photos_by_name, read_list
from sbnet.data.voc_sources import WHOLE, WHOLE_LISTS, find_sbd
from sbnet.errors import SBNetError


class Part(NamedTuple):
    """A folder of the data set. whole: the files that VOC 2012 has there, None where that is not known."""

    name: str
    path: Path | None
    files: int
    whole: int | None


class ListFacts(NamedTuple):
    """A list; `photos` is None where it is not there. The names that lack a photo, and the number that lack a mask."""

    name: str
    photos: int | None
    whole: int | None
    without_photo: tuple[str, ...] = ()
    without_mask: int = 0


class Difference(NamedTuple):
    """A photo whose annotation and mask do not name the same classes: those that stand in one alone."""

    photo: str
    only_xml: tuple[str, ...]
    only_mask: tuple[str, ...]


@dataclass(frozen=True)
class VocFacts:
    """compared: photos that have both annotation and mask. problems: what a run would refuse, or a figure suffer
    from.
    """

    parts: tuple[Part, ...]
    lists: tuple[ListFacts, ...]
    compared: int
    differences: tuple[Difference, ...]
    problems: tuple[str, ...]


def check_voc(root: str | Path, *, sbd: str | Path | None = None) -> VocFacts:
    """Looks at a folder in VOC's layout: folders, lists, every mask, and the annotations of photos with a mask.

    sbd: SBD's folder; by default it is looked for in and beside `root`. Raises `SBNetError` where there is no
    JPEGImages and for a class list that cannot be used; whatever else is wrong is a problem in what is given back.
    """
    root = Path(root)
    check_layout(root)
    own = root / "classes.txt"
    names = read_class_names(own) if own.is_file() else VOC_CLASSES
    whole = WHOLE if names == VOC_CLASSES else {}
    photos = photos_by_name(root / "JPEGImages")
    masks, extra = (_files(root / folder, ".png") for folder in ("SegmentationClass", "SegmentationClassAug"))
    annotations = _files(root / "Annotations", ".xml")
    mats = find_sbd(root, Path(sbd) if sbd else None)
    parts = [
        Part("JPEGImages", root / "JPEGImages", len(photos), whole.get("JPEGImages")),
        _part(root, "SegmentationClass", masks, whole),
        _part(root, "Annotations", annotations, whole),
        _part(root, "SegmentationClassAug", extra, whole),
        Part("SBD", mats, len(list(mats.glob("*.mat"))) if mats else 0, whole.get("SBD")),
    ]
    problems: list[str] = []
    lists = _lists(root, photos, {**extra, **masks}, names == VOC_CLASSES, problems)
    present = _each_mask({**extra, **masks}, photos, names, problems)
    both = sorted(present.keys() & annotations.keys())
    differences = []
    for name in both:
        try:
            told = set(read_xml_classes(annotations[name], names))
        except SBNetError as error:
            problems.append(str(error))
            continue
        seen = set(present[name])
        if told != seen:
            alone = (tuple(names[index] for index in sorted(ids)) for ids in (told - seen, seen - told))
            differences.append(Difference(name, *alone))
    return VocFacts(tuple(parts), lists, len(both), tuple(differences), tuple(problems))


def _part(root: Path, name: str, files: Mapping[str, Path], whole: Mapping[str, int]) -> Part:
    path = root / name
    return Part(name, path if path.is_dir() else None, len(files), whole.get(name))


def _files(folder: Path, suffix: str) -> dict[str, Path]:
    return {path.stem: path for path in folder.glob(f"*{suffix}")}


def _lists(
    root: Path, photos: Mapping[str, Path], masks: Mapping[str, Path], is_voc: bool, problems: list[str]
) -> tuple[ListFacts, ...]:
    """The usual lists, there or not, then all others of the folder. Photos of both train and val are a problem."""
    folder = root / "ImageSets" / "Segmentation"
    found = {path.stem: path for path in sorted(folder.glob("*.txt"))}
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
        bare = sum(entry not in masks for entry in read[name])
        facts.append(ListFacts(name, len(read[name]), whole, missing, bare))
        if missing:
            problems.append(
                f"{found[name]}: {len(missing)} of {len(read[name])} photos are not in JPEGImages ('{missing[0]}' is "
                "the first): add them or take them off the list"
            )
    for name in ("train", "train_aug"):
        if shared := sorted(set(read.get(name, ())) & set(read.get("val", ()))):
            problems.append(
                f"{found[name]}: {len(shared)} photos stand in val.txt, too ('{shared[0]}' is the first): what is "
                "trained on them must not be measured on them"
            )
    return tuple(facts)


def _each_mask(
    masks: Mapping[str, Path], photos: Mapping[str, Path], names: tuple[str, ...], problems: list[str]
) -> dict[str, tuple[int, ...]]:
    """Name -> foreground ids of every mask that can be used; the others are problems."""

    def look(name: str) -> tuple[int, ...] | str:
        try:
            if name in photos:
                check_sizes(photos[name], masks[name])
            return mask_classes(masks[name], classes=len(names))
        except SBNetError as error:
            return str(error)

    with ThreadPoolExecutor() as pool:
        looked = dict(zip(sorted(masks), pool.map(look, sorted(masks)), strict=True))
    problems.extend(found for found in looked.values() if isinstance(found, str))
    return {name: found for name, found in looked.items() if not isinstance(found, str)}
