"""COCO's instances made a folder in VOC's layout, once: for `sbnet data from-coco`, and for a run on COCO itself."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from sbnet.data.datasets.coco.folder import check_free, label_file, labelled_photos, write_voc_layout
from sbnet.data.datasets.coco.instances import Instances, Picture, read_instances
from sbnet.data.datasets.coco.masks import draw_for
from sbnet.data.io.files import check_output, read_json, write_json, write_label
from sbnet.errors import SBNetError, counted
from sbnet.work.parallel import cpu_count, map_unordered
from sbnet.work.progress import photo_progress

MARKER = "coco.json"  # list -> what it was made from, and, once it is whole, the facts
VERSION = 1  # of the drawing: masks of another version are redrawn


class CocoFacts(NamedTuple):
    """photos: images listed. without: images without instances, skipped. drawn: masks drawn now; the others existed.
    empty: annotations without a pixel in the masks drawn.
    """

    photos: int
    classes: int
    without: int
    drawn: int
    empty: list[int]


def make_voc_layout(
    instances: str | Path, photos: str | Path, root: str | Path, split: str, *, masks: bool = True
) -> CocoFacts:
    """Adds the list `split` to the folder `root`: links, image-level labels, and masks (as `draw` says).

    Interrupted, the same call resumes: existing masks are kept, unless they were drawn from another instances file. A
    complete list is kept (`drawn` is 0). Raises `SBNetError` for whatever does not fit, such as an image of another
    size than the file says. The list is written last, so that half of it is never read.
    """
    instances, photos, root = Path(instances), Path(photos), Path(root)
    if Path(split).name != split:
        raise SBNetError(f"'{split}' is not a list name: leave out '/'")
    check_output(root / MARKER, [instances])
    made_from = _made_from(instances, photos, masks)
    before = _entry(root, split)
    if before.get("made_from") == made_from and "facts" in before and _whole(root, split, masks):
        return CocoFacts(**{**before["facts"], "drawn": 0})
    file = read_instances(instances)
    collection = labelled_photos(file, photos)
    check_free(collection, root)
    if masks and before and _drawn_from(before["made_from"]) != _drawn_from(made_from):
        _list_file(root, split).unlink(missing_ok=True)
        for picture in file.pictures:
            (root / "SegmentationClass" / f"{picture.name}.png").unlink(missing_ok=True)
    _note(root, split, {"made_from": made_from})
    drawn, empty = 0, list[int]()
    if masks:
        for found in _draw_missing(file, photos, root / "SegmentationClass"):
            drawn += 1
            empty += found
    write_voc_layout(collection, root, split)
    facts = CocoFacts(len(collection), len(file.classes) - 1, file.without, drawn, sorted(empty))
    _note(root, split, {"made_from": made_from, "facts": facts._asdict()})
    return facts


def empty_note(empty: Sequence[int]) -> str:
    """The note about annotations without a pixel."""
    return (
        f"{counted(len(empty), 'annotation')} without a pixel in the masks ({', '.join(map(str, empty[:5]))}"
        f"{', ...' if len(empty) > 5 else ''}): polygons thinner than a pixel or outside the image; their classes "
        "still count as image-level labels"
    )


def _draw_missing(file: Instances, photos: Path, folder: Path) -> Iterable[tuple[int, ...]]:
    """The annotations without pixel, picture by picture as their masks are written."""

    def one(picture: Picture) -> tuple[int, ...]:
        mask, empty = draw_for(photos / picture.file_name, picture, where=str(file.path))
        write_label(folder / f"{picture.name}.png", mask)
        return empty

    there = {path.stem for path in folder.glob("*.png")}
    todo = [picture for picture in file.pictures if picture.name not in there]
    done = map_unordered(one, todo, workers=cpu_count())
    return photo_progress("draw COCO's masks", done, len(todo))


def _made_from(instances: Path, photos: Path, masks: bool) -> dict[str, Any]:
    try:
        with instances.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SBNetError(f"{instances}: the instances file cannot be read ({error.strerror})") from error
    return {"version": VERSION, "file": digest, "photos": str(photos.resolve()), "masks": masks}


def _drawn_from(made_from: dict[str, Any]) -> tuple[Any, Any]:
    """What the masks depend on."""
    return made_from.get("version"), made_from.get("file")


def _list_file(root: Path, split: str) -> Path:
    return root / "ImageSets" / "Segmentation" / f"{split}.txt"


def _whole(root: Path, split: str, masks: bool) -> bool:
    """Whether all that was made of the list is there still."""
    names = _list_file(root, split)
    if not (names.is_file() and label_file(root, split).is_file() and (root / "classes.txt").is_file()):
        return False
    listed = set(names.read_text(encoding="utf-8").splitlines())
    folders = ["JPEGImages", *(["SegmentationClass"] if masks else [])]
    return all(listed <= {path.stem for path in (root / folder).glob("*")} for folder in folders)


def _entry(root: Path, split: str) -> dict[str, Any]:
    try:
        entry = read_json(root / MARKER)[split]
    except (SBNetError, KeyError, TypeError):  # none yet, or broken: what is there is looked at
        return {}
    return entry if isinstance(entry, dict) and isinstance(entry.get("made_from"), dict) else {}


def _note(root: Path, split: str, entry: dict[str, Any]) -> None:
    try:
        entries = read_json(root / MARKER)
    except SBNetError:
        entries = {}
    write_json(root / MARKER, {**(entries if isinstance(entries, dict) else {}), split: entry})
