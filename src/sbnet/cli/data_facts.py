"""The findings of `sbnet data check` as lines for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sbnet.data.datasets.label_check import FEW

if TYPE_CHECKING:
    from sbnet.data.datasets.coco.check import CocoCheck
    from sbnet.data.datasets.label_check import LabelFacts
    from sbnet.data.datasets.voc.check import Difference, VocFacts


def voc_lines(facts: VocFacts, shown: int | None) -> list[str]:
    """Of a folder in VOC's layout; of differences and problems the first `shown`, None for all."""
    lines, lacking = [], []
    for part in facts.parts:
        state = f"{part.files} files in {part.path}" if part.path else "missing"
        lines.append(f"{part.name:<22} {state}{_of(part.files, part.whole)}")
        lacking += [part.name] if part.files < (part.whole or 1) else []
    for entry in facts.lists:
        title = f"list {entry.name:<17}"
        lacking += [entry.name] if (entry.photos or 0) < (entry.whole or 1) else []
        if entry.photos is None:
            lines.append(f"{title} missing{_of(0, entry.whole)}")
        else:
            bare = f"{entry.without_mask} without a mask" if entry.without_mask else "each with a mask"
            if entry.without_aug is not None:
                bare += f"; in SegmentationClassAug {entry.without_aug or 'none'} without"
            lines.append(f"{title} {entry.photos} images{_of(entry.photos, entry.whole)}, {bare}")
    for one in facts.compared:
        where = f" in {one.folder}" if len(facts.compared) > 1 else ""
        lines.append(
            f"{'image labels':<22} {one.photos} images have both annotation and mask{where}; "
            f"{len(one.differences)} differ"
        )
        lines += _some(one.differences, shown, _difference)
    lines += _label_lines(facts.labels, shown)
    lines += [f"{'images':<22} {kind}" for kind in facts.kinds]
    return lines + _problems(facts.problems, shown) + _origins(lacking)


def coco_lines(facts: CocoCheck, shown: int | None) -> list[str]:
    """Of a folder in COCO's layout."""
    from sbnet.data.datasets.coco.folder import PAGE, WHOLE

    lines = []
    for entry in facts.lists:
        whole = "" if entry.whole in (None, entry.photos) else f" (COCO 2014 has {entry.whole})"
        lines.append(
            f"list {entry.name:<17} {entry.photos} images with an instance{whole}, {entry.without} without; "
            f"{entry.instances} instances of {entry.classes} classes, {len(entry.empty)} without a pixel"
        )
    lacking = [name for name in WHOLE if name not in {entry.name for entry in facts.lists}]
    lines += [f"list {name:<17} missing (COCO 2014 has {WHOLE[name]})" for name in lacking]
    lines += _problems(facts.problems, shown)
    return [*lines, f"COCO: {PAGE}"] if lacking or facts.problems else lines


def _label_lines(labels: LabelFacts, shown: int | None) -> list[str]:
    lines = []
    if labels.file:
        lines.append(
            f"{'label file':<22} {labels.photos} images in {labels.file}; {len(labels.without_photo)} names without an "
            f"image, {len(labels.without_label)} images not in it"
        )
        lines += _some(labels.without_photo, shown, str)
        lines += _some(labels.without_label, shown, lambda name: f"'{name}' is not in it")
    where = f"images of list {labels.of}" if labels.of else "images"
    counts = sorted((count, name) for name, count in labels.counts.items())
    if any(count for count, _ in counts):
        few = f"{len(labels.few)} of {len(counts)} classes are in fewer than {FEW} {where}"
        lines.append(f"{'classes':<22} {few if labels.few else f'each in {FEW} {where} or more'}")
        told = counts if shown is None else [entry for entry in counts if entry[0] < FEW]
        lines += _some(told, shown, lambda entry: f"{entry[1]}: {entry[0]}")
    return lines


def _problems(problems: Sequence[str], shown: int | None) -> list[str]:
    return [f"{'problems':<22} {len(problems) or 'none'}", *_some(problems, shown, str)]


def _origins(lacking: list[str]) -> list[str]:
    from sbnet.data.datasets.voc.sources import origin

    where: dict[str, list[str]] = {}
    for name in lacking:
        where.setdefault(origin(name), []).append(name)
    return [f"{', '.join(names)}: {place}" for place, names in where.items()]


def _of(count: int, whole: int | None) -> str:
    return f" (VOC 2012 has {whole})" if whole is not None and whole != count else ""


def _difference(one: Difference) -> str:
    sides = (("annotation", one.only_xml), ("mask", one.only_mask))
    return f"{one.photo}: " + "; ".join(
        f"only in its {where}: {', '.join(ids)}" for where, ids in sides if ids
    )


def _some(items: Sequence[Any], shown: int | None, text: Callable[[Any], str]) -> list[str]:
    rest = len(items) - len(items[:shown])
    return [*(f"  {text(item)}" for item in items[:shown]), *([f"  and {rest} more: --all"] if rest else [])]
