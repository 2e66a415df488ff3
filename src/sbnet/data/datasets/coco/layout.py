"""COCO's instances made a folder in VOC's layout, once: for `sbnet data from-coco`, and for a run on COCO itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, NamedTuple

from sbnet.data.datasets.coco.instances import Instances, Picture, read_instances
from sbnet.data.datasets.coco.masks import draw_for
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.voc.folder import IMAGES, LISTS, MASKS
from sbnet.data.datasets.voc.write import check_free, label_file, write_voc
from sbnet.data.io.files import check_output, read_json, write_json, write_label
from sbnet.errors import SBNetError
from sbnet.work.parallel import cpu_count, map_unordered
from sbnet.work.progress import work_through

MARKER = "coco.json"  # list -> what it was made from; where the list is there, too, it is complete
VERSION = 1  # of the drawing: masks of another version are redrawn


class MadeList(NamedTuple):
    """photos: images listed. without: images without instances, skipped. drawn: masks drawn now; the others existed."""

    photos: int
    classes: int
    without: int
    drawn: int


def make_voc_layout(
    instances: str | Path, photos: str | Path, root: str | Path, split: str, *, masks: bool = True
) -> MadeList | None:
    """Adds the list `split` to the folder `root`: links, image-level labels, and masks (as `draw` says).

    Interrupted, the same call resumes: existing masks are kept, unless they were drawn from another instances file. A
    complete list is kept (None). Raises `SBNetError` for whatever does not fit, such as an image of another size than
    the file says. The list is written last, so that half of it is never read.
    """
    instances, photos, root = Path(instances), Path(photos), Path(root)
    if Path(split).name != split:
        raise SBNetError(f"'{split}' is not a list name: leave out '/'")
    check_output(root / MARKER, [instances])
    made_from = _made_from(instances, photos, masks)
    before = _notes(root).get(split)
    if before == made_from and _complete(root, split, masks):
        return None
    file = read_instances(instances)
    collection = labelled_photos(file, photos)
    check_free(collection, root)
    (root / LISTS / f"{split}.txt").unlink(missing_ok=True)
    if masks and before and any(before[key] != made_from[key] for key in ("version", "file")):
        for picture in file.pictures:
            (root / MASKS / f"{picture.name}.png").unlink(missing_ok=True)
    write_json(root / MARKER, {**_notes(root), split: made_from})
    drawn = _draw_missing(file, photos, root / MASKS) if masks else 0
    write_voc(collection, root, split)
    return MadeList(len(collection), len(file.classes) - 1, file.without, drawn)


def labelled_photos(file: Instances, folder: Path) -> Collection:
    """The images that have any instance, crowds counted, in order of ids, without masks. Raises `SBNetError` for
    images that are not in `folder`.
    """
    there = {entry.name for entry in folder.iterdir()} if folder.is_dir() else set()
    missing = [
        one
        for one in file.pictures
        if one.file_name not in there and not (folder / one.file_name).is_file()  # it may begin with folders
    ]
    if missing:
        raise SBNetError(
            f"{folder}: {len(missing)} of {len(file.pictures)} images of {file.path.name} are not there "
            f"('{missing[0].file_name}', image {missing[0].id}, is the first): give the folder that holds them"
        )
    found = tuple(Photo(one.name, folder / one.file_name, one.classes) for one in file.pictures)
    return Collection(file.classes, found, file.path.stem)


def _draw_missing(file: Instances, photos: Path, folder: Path) -> int:
    """How many masks are drawn: those that are not in the folder."""

    def draw_one(picture: Picture) -> None:
        write_label(folder / f"{picture.name}.png", draw_for(photos, picture, where=file.path))

    there = {path.stem for path in folder.glob("*.png")}
    todo = [picture for picture in file.pictures if picture.name not in there]
    work_through("draw COCO's masks", map_unordered(draw_one, todo, workers=cpu_count()), len(todo))
    return len(todo)


def _made_from(instances: Path, photos: Path, masks: bool) -> dict[str, Any]:
    try:
        with instances.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise SBNetError(f"{instances}: the instances file cannot be read ({error.strerror})") from error
    return {"version": VERSION, "file": digest, "photos": str(photos.resolve()), "masks": masks}


def _complete(root: Path, split: str, masks: bool) -> bool:
    """Whether all that was made of the list is there still."""
    names = root / LISTS / f"{split}.txt"
    if not all(path.is_file() for path in (names, label_file(root, split), root / "classes.txt")):
        return False
    listed = set(names.read_text(encoding="utf-8").splitlines())
    folders = [IMAGES, MASKS] if masks else [IMAGES]
    return all(listed <= {path.stem for path in (root / folder).glob("*")} for folder in folders)


def _notes(root: Path) -> dict[str, Any]:
    """What `MARKER` says; nothing where there is none or it is broken."""
    try:
        notes = read_json(root / MARKER)
    except SBNetError:
        return {}
    return notes if isinstance(notes, dict) else {}
