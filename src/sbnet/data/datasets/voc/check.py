"""A folder in VOC's layout: what is there, what is missing, and what a run would refuse."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path

from sbnet.data.datasets.findings import Findings
from sbnet.data.datasets.label_check import Ids, check_label_file, check_labels
from sbnet.data.datasets.labels import VOC_CLASSES, read_list, read_xml_classes
from sbnet.data.datasets.voc.folder import ANNOTATIONS, AUG, IMAGES, LISTS, MASKS, check_layout, class_names
from sbnet.data.datasets.voc.sources import WHOLE, find_sbd, origin
from sbnet.data.io.image import check_photo, mask_classes
from sbnet.data.io.named_files import masks_by_name, photos_by_name
from sbnet.data.io.photo_kind import check_white
from sbnet.data.io.photo_notes import band_notes, dark_note, kind_counts
from sbnet.errors import counted


def check_voc(
    root: str | Path,
    *,
    sbd: str | Path | None = None,
    labels: str | Path | None = None,
    classes: str | Path | None = None,
    white: float = 0,
) -> Findings:
    """Looks at folders, lists, every image's header, every mask, the annotations of images with a mask, and which
    classes the images to train on show.

    sbd: SBD's folder; by default it is looked for in and beside `root`. labels, classes, white: as a run is given them
    (see `read_voc`). Raises `SBNetError` where there is no JPEGImages, for two images or masks of one name, and for
    class lists and label files that cannot be read; whatever else is wrong is one of the problems.
    """
    root, found = Path(root), Findings()
    check_white(white)
    check_layout(root)
    names = class_names(root, classes or "")
    photos = photos_by_name(root / IMAGES)
    # Each by itself: a run reads one of the two, so that neither may hide what the other has or lacks.
    masks = {folder: masks_by_name(root / folder) for folder in (MASKS, AUG)}
    annotations = {path.stem: path for path in (root / ANNOTATIONS).glob("*.xml")}
    mats = find_sbd(root, sbd)

    whole = WHOLE if names == VOC_CLASSES else {}
    for part, files in {IMAGES: photos, **masks, ANNOTATIONS: annotations}.items():
        _add_part(found, part, part, len(files), f"files in {root / part}", whole)
    _add_part(found, "SBD", "SBD", len(list(mats.glob("*.mat"))) if mats else 0, f"files in {mats}", whole)
    if not masks[AUG]:
        del masks[AUG]
    lists = _check_lists(found, root, photos, masks, whole)
    train = lists.get("train", [])

    kinds = dict(found.each("check images", partial(check_photo, white=white), sorted(photos.values())))
    if not white:
        setting = "--white-level {0} (for a run: data.white_level={0})"
        found.problems.extend(filter(None, [dark_note(kinds, setting=setting)]))
    usable = {name: path for name, path in photos.items() if path in kinds}

    def look_into_mask(path: Path) -> tuple[int, ...]:
        if path.stem in usable:
            check_photo(usable[path.stem], path, white=white)
        return mask_classes(path, classes=len(names))

    present: dict[str, Ids] = {}
    for folder, files in masks.items():
        seen = found.each(f"check {folder}", look_into_mask, sorted(files.values()))
        present[folder] = {path.stem: ids for path, ids in seen}
    wanted = set().union(*present.values(), () if labels else train)
    paths = [annotations[name] for name in sorted(annotations.keys() & wanted)]
    read = found.each("check annotations", partial(read_xml_classes, names=names), paths)
    annotated = {path.stem: ids for path, ids in read}
    for folder, ids in present.items():
        _compare(found, folder, ids, annotated, names)

    if labels:
        check_label_file(found, labels, names, photos, train)
    else:
        ids, where = {**annotated, **present[MASKS]}, {**annotations, **masks[MASKS]}
        lack = "have neither a mask nor an annotation"
        check_labels(found, ids, where, names, photos, train, lack=lack)
    for kind in (*kind_counts(kinds), *band_notes(kinds)):
        found.add("images", kind)
    return found


def _add_part(
    found: Findings, title: str, part: str, count: int, text: str, whole: Mapping[str, int]
) -> None:
    """A line about a folder or list; what is missing in it also goes to the sources. whole: see `WHOLE`."""
    expected = whole.get(part, count)
    of = "" if count == expected else f" (VOC 2012 has {expected})"
    found.add(title, (f"{count} {text}" if count else "missing") + of)
    if count < (expected or 1):
        found.sources.setdefault(origin(part), []).append(part)


def _check_lists(
    found: Findings,
    root: Path,
    photos: Mapping[str, Path],
    masks: Mapping[str, Mapping[str, Path]],
    whole: Mapping[str, int],
) -> dict[str, list[str]]:
    """Of the usual lists, there or not, then of all others: name -> the images in it."""
    folder = root / LISTS
    paths = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    if not paths:
        found.problems.append(
            f"{folder / 'train.txt'}: there is no such list, nor any other; write it: one image name per line, "
            "without suffix"
        )
    read = found.each("check lists", lambda name: read_list(paths[name]), list(paths))
    lists = {name: [entry for _, entry in entries] for name, entries in read}
    for name in dict.fromkeys([*("train", "val", "trainval", "train_aug"), *paths]):
        entries = lists.get(name, [])
        bare = {part: sum(entry not in files for entry in entries) for part, files in masks.items()}
        told = ", ".join(f"{count or 'none'} without a mask in {part}" for part, count in bare.items())
        _add_part(found, f"list {name}", name, len(entries), f"images, {told}", whole)
        if missing := [entry for entry in entries if entry not in photos]:
            found.problems.append(
                f"{paths[name]}: {len(missing)} of {len(entries)} images are not in {IMAGES} ('{missing[0]}' is the "
                "first): add them or remove them from the list"
            )
    for name in ("train", "train_aug"):
        if shared := sorted(set(lists.get(name, [])) & set(lists.get("val", []))):
            found.problems.append(
                f"{paths[name]}: {counted(len(shared), 'image')} also in val.txt ('{shared[0]}' is the first): keep "
                "each in one of the two"
            )
    return lists


def _compare(found: Findings, folder: str, seen: Ids, annotated: Ids, names: tuple[str, ...]) -> None:
    """What a folder's masks show beside what the annotations name."""
    both = sorted(seen.keys() & annotated.keys())
    details = []
    for name in both:
        in_xml, in_mask = set(annotated[name]), set(seen[name])
        alone = {"annotation": in_xml - in_mask, "mask": in_mask - in_xml}
        told = [
            f"only in its {where}: {', '.join(names[index] for index in sorted(ids))}"
            for where, ids in alone.items()
            if ids
        ]
        if told:
            details.append(f"{name}: {'; '.join(told)}")
    text = f"{len(both)} images have both annotation and mask in {folder}; {len(details)} differ"
    found.add("image labels", text, details)
