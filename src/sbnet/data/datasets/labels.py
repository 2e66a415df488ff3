"""Class names, lists of images and image-level labels from text: classes.txt, lists, label files, VOC's XML."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from sbnet.data import IGNORE
from sbnet.data.io.named_files import photos_by_name
from sbnet.errors import SBNetError, did_you_mean

BACKGROUND = "background"
HEADINGS = ("class", "classes", "labels")  # of the second column of a label file
VOC_CLASSES = (
    BACKGROUND, "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair",
    "cow", "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip


class ImageLabels(NamedTuple):
    """What a label file says. classes: image name -> class ids, ascending. lines: image name -> its line."""

    path: Path
    classes: dict[str, tuple[int, ...]]
    lines: dict[str, int]

    def of(self, name: str, where: str) -> tuple[tuple[int, ...], str]:
        """Class ids of an image, and the place of its labels. Raises `SBNetError`, starting with `where`, without any."""
        if name in self.classes:
            return self.classes[name], f"{self.path}, line {self.lines[name]}"
        remedy = "add its classes there"
        for known, line in self.lines.items():
            if known.startswith(tuple(name + end for end in ".,;:")):
                remedy = f"on its line {line}, write '{name}' without suffix and a space before the classes"
        raise SBNetError(f"{where}: image '{name}' is not in {self.path}: {remedy}")


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Class names, one per line, in the order of their ids; `background` is put first where it is missing."""
    path = Path(path)
    lines = _lines(path, "class list")
    if lines.get(BACKGROUND, 0) > min(lines.values(), default=0):
        raise SBNetError(
            f"{path}, line {lines[BACKGROUND]}: '{BACKGROUND}' has id 0: put it first or remove it"
        )
    names = tuple(dict.fromkeys([BACKGROUND, *lines]))
    if len(names) < 2:
        raise SBNetError(f"{path}: the class list is empty: write one class name per line")
    if len(names) > IGNORE:
        raise SBNetError(
            f"{path}: {len(names)} classes with background, but at most {IGNORE} fit: ids are bytes, and {IGNORE} "
            "means ignore"
        )
    return names


def read_list(path: Path) -> list[tuple[int, str]]:
    """Line numbers (from 1) and names of an image list; empty lines are skipped.

    Raises `SBNetError` for a file that cannot be read, an empty one, and a duplicate name.
    """
    lines = _lines(path, "list")
    if not lines:
        raise SBNetError(f"{path}: the list is empty: write one image name per line")
    return [(number, name) for name, number in lines.items()]


def read_image_list(path: Path, folder: Path) -> Iterator[tuple[str, Path, str]]:
    """Of each image of a list its name, its file in `folder`, and its place in the list. Raises `SBNetError` as
    `read_list` does, and for a name without an image.
    """
    images = photos_by_name(folder)
    for line, name in read_list(path):
        where = f"{path}, line {line}"
        if name not in images:
            near, remedy = did_you_mean(name, images, nearness=0.9), "add it or remove the line"
            if (bare := Path(name).stem) in images:
                near, remedy = "", f"write '{bare}', without folder and suffix"
            raise SBNetError(f"{where}: there is no image '{name}' in {folder}{near}: {remedy}")
        yield name, images[name], where


def _lines(path: Path, what: str) -> dict[str, int]:
    """Each line that is not empty, and its number. what: see `_read_text`."""
    lines: dict[str, int] = {}
    for number, text in enumerate(_read_text(path, what).splitlines(), start=1):
        name = text.strip()
        if name and lines.setdefault(name, number) != number:
            raise SBNetError(f"{path}, line {number}: '{name}' is on line {lines[name]} already: remove one")
    return lines


def read_label_file(path: str | Path, names: tuple[str, ...]) -> ImageLabels:
    """Image-level labels from a file, one image per line.

    Text: `NAME class class`, separated by spaces. CSV (suffix .csv): `name,class;class`, for names with spaces; a
    first line `name,classes` is skipped. `background` adds nothing. Raises `SBNetError` for an unknown class, an
    image named twice, and lines of another form.
    """
    labels, problems = look_into_label_file(path, names)
    if problems:
        raise SBNetError(problems[0])
    return labels


def look_into_label_file(path: str | Path, names: tuple[str, ...]) -> tuple[ImageLabels, list[str]]:
    """`read_label_file` of the usable lines, and what is wrong with the others, in their order.

    Raises `SBNetError` for a file that cannot be read.
    """
    path = Path(path)
    text, is_csv = _read_text(path, "label file").splitlines(), path.suffix.lower() == ".csv"
    labels, problems = ImageLabels(path, {}, {}), []
    for number, row in enumerate(csv.reader(text) if is_csv else map(str.split, text), start=1):
        cells = [cell.strip() for cell in row]
        is_heading = is_csv and number == 1 and cells[:1] == ["name"] and cells[-1] in HEADINGS
        if not any(cells) or is_heading:
            continue
        where = f"{path}, line {number}"
        name, *words = cells
        if is_csv and (len(cells) > 2 or not name):
            problems.append(f"{where}: '{','.join(row)}' is not of the form name,class;class")
        elif name in labels.lines:
            problems.append(f"{where}: image '{name}' is on line {labels.lines[name]} already: remove one")
        else:
            labels.lines[name] = number
            if is_csv:
                words = [word.strip() for word in ";".join(words).split(";") if word.strip()]
            try:
                labels.classes[name] = class_ids(words, names, where=where)
            except SBNetError as error:
                hint = "" if is_csv else f"; {_csv_remedy(path, name, words, names)}"
                problems.append(f"{error}{hint}")
    return labels, problems


def _csv_remedy(path: Path, name: str, words: list[str], names: tuple[str, ...]) -> str:
    """What to do if a line of text has names with spaces; in full where its words are such class names."""
    longest_first = sorted(names, key=len, reverse=True)
    found = re.findall("|".join(map(re.escape, longest_first)), " ".join(words))
    if found and " ".join(found) == " ".join(words):
        return (
            f"names with spaces need the CSV form: save the file as {path.stem}.csv, with 'name,classes' as the first "
            f"line and here '{name},{';'.join(found)}'"
        )
    return f"names with spaces need the CSV form ({path.stem}.csv, with lines 'name,class;class')"


def read_xml_classes(path: Path, names: tuple[str, ...]) -> tuple[int, ...]:
    """Ids of the objects in a VOC annotation; objects marked difficult count, object parts do not."""
    text = _read_text(path, "annotation")
    try:
        root = ElementTree.fromstring(text)
    except ElementTree.ParseError as error:
        raise SBNetError(f"{path}: not a complete XML file ({error}): replace it") from error
    words = [(item.findtext("name") or "").strip() for item in root.findall("object")]
    for word in words:
        if word not in names:
            line = next((number for number, row in enumerate(text.splitlines(), 1) if f">{word}<" in row), 1)
            class_ids([word], names, where=f"{path}, line {line}")
    return class_ids(words, names, where=str(path))


def class_ids(words: Sequence[str], names: tuple[str, ...], *, where: str) -> tuple[int, ...]:
    """Ids, ascending, each once, without background. Raises `SBNetError`, starting with `where`, for an unknown class."""
    for word in words:
        if word not in names:
            remedy = "fix it or add the class to the list"
            if set(separate := re.split("[,;]", word)) <= set(names):
                remedy = f"separate class names with spaces: {' '.join(separate)}"
            elif names == VOC_CLASSES:
                remedy = "fix it; classes other than PASCAL VOC's go into classes.txt beside JPEGImages, one per line"
            raise SBNetError(
                f"{where}: class '{word}' is not in the class list{did_you_mean(word, names)}: {remedy}"
            )
    return tuple(sorted({names.index(word) for word in words} - {0}))


def _read_text(path: Path, what: str) -> str:
    """A text file as UTF-8. what: the kind of file, for the `SBNetError` raised where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # a byte order mark, as spreadsheets write it, is dropped
    except (OSError, UnicodeDecodeError) as error:
        raise SBNetError(
            f"{path}: the {what} cannot be read ({error}): check the name, save it as UTF-8"
        ) from error
