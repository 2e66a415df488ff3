"""Class names and image labels from text: class lists, label files, VOC's XML annotations."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from sbnet.errors import SBNetError, did_you_mean

BACKGROUND = "background"
VOC_CLASSES = (
    BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class ImageLabels(NamedTuple):
    """What a label file says. classes: photo name -> class ids, ascending. lines: photo name -> where it stands."""

    path: Path
    classes: dict[str, tuple[int, ...]]
    lines: dict[str, int]


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Class names, one a line, in the order of their ids; `background` is put first where it is left out."""
    path = Path(path)
    first: dict[str, int] = {}
    for number, text in enumerate(read_text(path, "list of classes").splitlines(), start=1):
        name = text.strip()
        if name and first.setdefault(name, number) != number:
            raise SBNetError(
                f"{path}, line {number}: class '{name}' is on line {first[name]} already: remove one"
            )
    names = tuple(first)
    if BACKGROUND in names[1:]:
        raise SBNetError(
            f"{path}, line {first[BACKGROUND]}: '{BACKGROUND}' has id 0: put it first or leave it out"
        )
    if names[:1] != (BACKGROUND,):
        names = (BACKGROUND, *names)
    if len(names) < 2:
        raise SBNetError(f"{path}: the list of classes is empty: write one name a line")
    return names


def read_label_file(path: str | Path, names: tuple[str, ...]) -> ImageLabels:
    """Image labels from a file, one photo a line.

    Text: `NAME class class`, separated by blanks. CSV (suffix .csv): `name,class;class`, for names that have
    blanks in them; a first line `name,classes` is skipped. `background` may be named and adds nothing. Raises
    `SBNetError` for an unknown class, a photo named twice, and lines of another form.
    """
    path = Path(path)
    text = read_text(path, "label file")
    rows = _csv_rows(path, text) if path.suffix.lower() == ".csv" else _text_rows(text)
    labels: dict[str, tuple[int, ...]] = {}
    lines: dict[str, int] = {}
    for number, name, words in rows:
        if name in lines:
            raise SBNetError(
                f"{path}, line {number}: photo '{name}' is on line {lines[name]} already: remove one"
            )
        lines[name] = number
        labels[name] = class_ids(words, names, where=f"{path}, line {number}")
    return ImageLabels(path, labels, lines)


def read_xml_classes(path: Path, names: tuple[str, ...]) -> tuple[int, ...]:
    """The ids of the objects of a VOC annotation; objects marked difficult count, their parts do not."""
    text = read_text(path, "annotation")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise SBNetError(f"{path}: not a whole XML file ({error}): replace it") from error
    words = [(item.findtext("name") or "").strip() for item in root.findall("object")]
    for word in words:
        if word not in names:
            line = next((number for number, row in enumerate(text.splitlines(), 1) if f">{word}<" in row), 1)
            class_ids([word], names, where=f"{path}, line {line}")
    return class_ids(words, names, where=str(path))


def class_ids(words: Iterable[str], names: tuple[str, ...], *, where: str) -> tuple[int, ...]:
    """Ids, ascending, each once, without background. Unknown ones: `SBNetError`, beginning with `where`."""
    ids = set()
    for word in words:
        if word not in names:
            remedy = "mend it or add the class to the list"
            if set(re.split("[,;]", word)) <= set(names):
                remedy = f"part classes by blanks: {' '.join(re.split('[,;]', word))}"
            elif names == VOC_CLASSES:
                remedy = "mend it; classes other than PASCAL VOC's go, one a line, into classes.txt beside JPEGImages"
            raise SBNetError(
                f"{where}: class '{word}' is not in the list of classes{did_you_mean(word, names)}: {remedy}"
            )
        ids.add(names.index(word))
    return tuple(sorted(ids - {0}))


def _text_rows(text: str) -> list[tuple[int, str, list[str]]]:
    words = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, row[0], row[1:]) for number, row in words if row]


def _csv_rows(path: Path, text: str) -> list[tuple[int, str, list[str]]]:
    rows = []
    for number, row in enumerate(csv.reader(text.splitlines()), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (
            number == 1 and cells[0] == "name" and cells[-1] in ("class", "classes", "labels")
        ):
            continue
        if len(cells) > 2 or not cells[0]:
            raise SBNetError(f"{path}, line {number}: '{','.join(row)}' is not of the form name,class;class")
        words = [word.strip() for word in (cells[1] if len(cells) == 2 else "").split(";")]
        rows.append((number, cells[0], [word for word in words if word]))
    return rows


def read_text(path: Path, what: str) -> str:
    """A text file's content, as UTF-8. Raises `SBNetError`, saying `what` the file is, where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # a byte order mark, as spreadsheets write it, is dropped
    except (OSError, UnicodeDecodeError) as error:
        raise SBNetError(
            f"{path}: the {what} cannot be read ({error}): check the name, save it as UTF-8"
        ) from error
