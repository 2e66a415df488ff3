"""What of COCO's own layout lies in a folder, and what of it a run would refuse."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from sbnet.data.datasets.coco import WHOLE, find_list, instance_files, without_photo
from sbnet.data.datasets.coco_file import Instances, Picture, read_instances
from sbnet.data.datasets.coco_masks import draw_for
from sbnet.work.parallel import map_unordered
from sbnet.work.progress import photo_progress
from sbnet.work.parallel import cpu_count
from sbnet.errors import SBNetError


class ListFacts(NamedTuple):
    """A list: photos with any instance, those that COCO 2014 has (None where that is not known), photos without any
    instance, classes, instances, and ids of annotations without a pixel.
    """

    name: str
    photos: int
    whole: int | None
    without: int
    classes: int
    instances: int
    empty: tuple[int, ...]


@dataclass(frozen=True)
class CocoCheck:
    """lists: those that can be read. problems: what a run would refuse."""

    lists: tuple[ListFacts, ...]
    problems: tuple[str, ...]


def check_coco(root: str | Path) -> CocoCheck:
    """Reads every instances file of `root`, looks for the photos, holds their sizes to the file's, and draws every
    mask, writing none. Whatever is wrong is a problem in what is given back, one a photo.
    """
    lists, problems = [], []
    for name in instance_files(Path(root)):
        try:
            path, photos = find_list(root, name)
            file = read_instances(path)
        except SBNetError as error:
            problems.append(str(error))
            continue
        missing = without_photo(file, photos)
        problems += [
            f"{photos / one.file_name}: there is no such photo (image {one.id} of {path.name}): unpack it there"
            for one in missing
        ]
        bad, empty = _draw_each(file, photos, {one.id for one in missing})
        problems += bad
        count = sum(len(one.instances) for one in file.pictures)
        facts = (len(file.pictures), WHOLE.get(name), file.without, len(file.classes) - 1, count)
        lists.append(ListFacts(name, *facts, tuple(sorted(empty))))
    return CocoCheck(tuple(lists), tuple(problems))


def _draw_each(file: Instances, photos: Path, missing: set[int]) -> tuple[list[str], list[int]]:
    """Problems in order of the images' ids, and annotations without a pixel."""

    def one(picture: Picture) -> tuple[int, str, tuple[int, ...]]:
        try:
            drawn = draw_for(photos / picture.file_name, picture, where=str(file.path))
        except SBNetError as error:
            return picture.id, str(error), ()
        return picture.id, "", drawn.empty

    todo = [picture for picture in file.pictures if picture.id not in missing]
    done = map_unordered(one, todo, workers=cpu_count())
    problems, empty = [], list[int]()
    for number, problem, found in photo_progress(f"check {file.path.name}", done, len(todo)):
        empty += found
        if problem:
            problems.append((number, problem))
    return [problem for _, problem in sorted(problems)], empty
