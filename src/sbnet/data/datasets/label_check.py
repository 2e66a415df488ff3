"""Image-level labels as a run reads them: images by class, and everything in a label file that it would refuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import NamedTuple

from sbnet.data.datasets.labels import look_into_label_file, read_xml_classes
from sbnet.errors import SBNetError, did_you_mean

FEW = 20  # images; a class with fewer is hard to learn


class LabelFacts(NamedTuple):
    """file: the label file, None where masks and annotations are the source. images: that it labels. without_photo: its
    lines whose image is not there, without_label: images that are not in it; both no mistakes. counts: images by
    class among those of the list `of`, "" for all labelled ones.
    """

    file: Path | None
    photos: int
    without_photo: tuple[str, ...]
    without_label: tuple[str, ...]
    counts: Mapping[str, int]
    of: str

    @property
    def few(self) -> dict[str, int]:
        """Classes with fewer than FEW images, fewest first."""
        return {name: count for count, name in sorted((c, n) for n, c in self.counts.items()) if count < FEW}


def check_label_file(
    file: str | Path,
    names: tuple[str, ...],
    photos: Collection[str],
    train: Collection[str] | None,
    problems: list[str],
) -> LabelFacts:
    """images: names of those that are there. train: those of the list to train on, None where there is no such list.

    Adds to `problems` every line that a run would refuse, images of the list without label, and classes without image.
    Raises `SBNetError` for a file that cannot be read.
    """
    labels, wrong = look_into_label_file(file, names)
    problems += wrong
    missing = tuple(
        f"line {line}: there is no image '{name}'{_near(name, photos)}"
        for name, line in labels.lines.items()
        if name not in photos
    )
    unlabelled = tuple(sorted(set(photos) - labels.lines.keys()))
    if train is not None:
        if bare := [name for name in train if name not in labels.lines]:
            problems.append(
                f"{labels.path}: {len(bare)} of {len(train)} images of list train are not in it ('{bare[0]}' is "
                "the first): add their classes, or remove them from the list"
            )
        if empty := [name for name in train if labels.classes.get(name, (0,)) == ()]:
            problems.append(
                f"{labels.path}, line {labels.lines[empty[0]]}: image '{empty[0]}' of list train has no class"
                f"{_others(len(empty))}: every training image needs a class; label it or remove it from the list"
            )
    counted = {name: labels.classes[name] for name in labels.classes if name in photos}
    facts = _counted(labels.path, counted, names, train)
    problems += [] if wrong else _unseen(facts)
    return facts._replace(without_photo=missing, without_label=unlabelled)


def check_labels_of_masks(
    present: Mapping[str, tuple[int, ...]],
    masks: Collection[str],
    annotations: Mapping[str, Path],
    names: tuple[str, ...],
    train: Collection[str] | None,
    problems: list[str],
) -> LabelFacts:
    """The same where an image's mask says what it shows (`present`, of those of `masks` that can be used), else its
    annotation.
    """
    found = dict(present)
    for name in train or ():
        if name not in found and name in annotations:
            try:
                found[name] = read_xml_classes(annotations[name], names)
            except SBNetError as error:
                problems.append(str(error))
    if bare := [name for name in train or () if name not in masks and name not in annotations]:
        problems.append(
            f"{len(bare)} of {len(train or ())} images of list train have neither a mask nor an annotation "
            f"('{bare[0]}' is the first): add them, or give a label file (--labels FILE; for a run: data.labels=FILE)"
        )
    facts = _counted(None, found, names, train)
    problems += _unseen(facts) if train and found.keys() >= set(train) else []
    return facts


def _counted(
    file: Path | None,
    classes: Mapping[str, tuple[int, ...]],
    names: tuple[str, ...],
    train: Collection[str] | None,
) -> LabelFacts:
    wanted = classes.keys() if train is None else classes.keys() & set(train)
    number = Counter(index for name in wanted for index in classes[name])
    counts = {name: number[index] for index, name in enumerate(names) if index}
    return LabelFacts(file, len(classes), (), (), counts, "" if train is None else "train")


def _unseen(facts: LabelFacts) -> list[str]:
    """What is wrong with classes that no image shows: one problem or none."""
    unseen = [f"'{name}'" for name, count in facts.counts.items() if not count]
    if not unseen:
        return []
    where = " of list train" if facts.of else ""
    return [
        f"{facts.file or 'image-level labels'}: no image{where} shows {', '.join(unseen)}: every class "
        "needs images; add some, or remove the class from the class list"
    ]


def _near(name: str, photos: Collection[str]) -> str:
    bare = Path(name).stem
    return f" (write '{bare}')" if bare in photos else did_you_mean(name, photos, nearness=0.9)


def _others(count: int) -> str:
    return f" (and {count - 1} more)" if count > 1 else ""
