"""Class names, lists of images and image-level labels from text: classes.txt, lists, label files, VOC's XML."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from sbnet.data import IGNORE
from sbnet.errors import SBNetError, did_you_mean

BACKGROUND = "background"
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


def read_class_names(path: str | Path) -> tuple[str, ...]:
    """Class names, one per line, in the order of their ids; `background` is put first where it is missing."""
    path = Path(path)
    first: dict[str, int] = {}
    for number, text in enumerate(read_text(path, "class list").splitlines(), start=1):
        name = text.strip()
        if name and first.setdefault(name, number) != number:
            raise SBNetError(
                f"{path}, line {number}: class '{name}' is on line {first[name]} already: remove one"
            )
    names = tuple(first)
    if BACKGROUND in names[1:]:
        raise SBNetError(
            f"{path}, line {first[BACKGROUND]}: '{BACKGROUND}' has id 0: put it first or remove it"
        )
    if names[:1] != (BACKGROUND,):
        names = (BACKGROUND, *names)
    if len(names) < 2:
        raise SBNetError(f"{path}: the class list is empty: write one class name per line")
    if len(names) > IGNORE:
        raise SBNetError(
            f"{path}: {len(names)} classes with background, but at most {IGNORE} fit: ids are bytes, and {IGNORE} "
            "means ignore"
        )
    return names


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
    text, is_csv = read_text(path, "label file"), path.suffix.lower() == ".csv"
    rows, problems = _csv_rows(path, text) if is_csv else (_text_rows(text), {})
    labels: dict[str, tuple[int, ...]] = {}
    lines: dict[str, int] = {}
    for number, name, words in rows:
        where = f"{path}, line {number}"
        if name in lines:
            problems[number] = f"{where}: image '{name}' is on line {lines[name]} already: remove one"
            continue
        lines[name] = number
        try:
            labels[name] = class_ids(
                words, names, where=where, remedy="" if is_csv else _csv_remedy(path, name, words, names)
            )
        except SBNetError as error:
            problems[number] = str(error)
    return ImageLabels(path, labels, lines), [problems[number] for number in sorted(problems)]


def read_xml_classes(path: Path, names: tuple[str, ...]) -> tuple[int, ...]:
    """Ids of the objects in a VOC annotation; objects marked difficult count, object parts do not."""
    text = read_text(path, "annotation")
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


def class_ids(
    words: Iterable[str], names: tuple[str, ...], *, where: str, remedy: str = ""
) -> tuple[int, ...]:
    """Ids, ascending, each once, without background. Raises `SBNetError` for an unknown class, starting with `where`
    and ending with `remedy` if there is one.
    """
    ids = set()
    for word in words:
        if word not in names:
            if remedy:
                raise SBNetError(f"{where}: class '{word}' is not in the class list: {remedy}")
            remedy = "fix it or add the class to the list"
            if set(re.split("[,;]", word)) <= set(names):
                remedy = f"separate class names with spaces: {' '.join(re.split('[,;]', word))}"
            elif names == VOC_CLASSES:
                remedy = "fix it; classes other than PASCAL VOC's go into classes.txt beside JPEGImages, one per line"
            raise SBNetError(
                f"{where}: class '{word}' is not in the class list{did_you_mean(word, names)}: {remedy}"
            )
        ids.add(names.index(word))
    return tuple(sorted(ids - {0}))


def _text_rows(text: str) -> list[tuple[int, str, list[str]]]:
    words = [(number, line.split()) for number, line in enumerate(text.splitlines(), start=1)]
    return [(number, row[0], row[1:]) for number, row in words if row]


def _csv_remedy(path: Path, name: str, words: list[str], names: tuple[str, ...]) -> str:
    """What to write instead where the words of a line look like class names with spaces in them, else ""."""
    known = [word in names for word in words]
    if all(known):
        return ""
    form = f"as {path.stem}.csv, with 'name,classes' as the first line and here"
    if "," in name and not name.endswith(","):
        return f"this looks like CSV, where names may have spaces: save it as {path.stem}.csv"
    classes = _with_blanks(words, names)
    if classes and any(" " in found for found in classes):
        return f"names with spaces need the CSV form: save the file {form} '{name},{';'.join(classes)}'"
    if classes:
        return f"write it without spaces: {name} {' '.join(classes)}"
    blanks = [one for one in names if " " in one]
    if near := did_you_mean(next(word for word in words if word not in names), blanks):
        return f"names with spaces need the CSV form{near}: save the file {form} '{name},class;class'"
    first = known.index(True) if True in known else len(words)
    if all(known[first:]) and first < len(words):
        whole, rest = " ".join([name, *words[:first]]), ";".join(words[first:])
        if not any(did_you_mean(word, names) for word in words[:first]):
            return f"fix it, or if '{whole}' is the image name, save the file {form} '{whole},{rest}'"
    return ""


def _with_blanks(words: list[str], names: tuple[str, ...]) -> list[str]:
    """The words as class names, each one or more words with or without spaces in between; [] where they are not."""
    found: list[str] = []
    while words:
        count = next(
            (n for n in range(len(words), 0, -1) if {" ".join(words[:n]), "".join(words[:n])} & set(names)), 0
        )
        if not count:
            return []
        whole = " ".join(words[:count])
        found.append(whole if whole in names else "".join(words[:count]))
        words = words[count:]
    return found


def _csv_rows(path: Path, text: str) -> tuple[list[tuple[int, str, list[str]]], dict[int, str]]:
    """The rows, and by line what is wrong with those of another form."""
    rows, problems = [], {}
    for number, row in enumerate(csv.reader(text.splitlines()), start=1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (
            number == 1 and cells[0] == "name" and cells[-1] in ("class", "classes", "labels")
        ):
            continue
        if len(cells) > 2 or not cells[0]:
            problems[number] = f"{path}, line {number}: '{','.join(row)}' is not of the form name,class;class"
            continue
        words = [word.strip() for word in (cells[1] if len(cells) == 2 else "").split(";")]
        rows.append((number, cells[0], [word for word in words if word]))
    return rows, problems


def read_text(path: Path, what: str) -> str:
    """A text file as UTF-8. what: the kind of file, for the `SBNetError` raised where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # a byte order mark, as spreadsheets write it, is dropped
    except (OSError, UnicodeDecodeError) as error:
        raise SBNetError(
            f"{path}: the {what} cannot be read ({error}): check the name, save it as UTF-8"
        ) from error


def read_list(path: Path) -> list[tuple[int, str]]:
    """Line numbers (from 1) and names of an image list; empty lines are skipped.

    Raises `SBNetError` for a file that cannot be read, an empty one, and a duplicate name.
    """
    first: dict[str, int] = {}
    for number, line in enumerate(read_text(path, "list").splitlines(), start=1):
        name = line.strip()
        if name and first.setdefault(name, number) != number:
            raise SBNetError(f"{path}, line {number}: '{name}' is on line {first[name]} already: remove one")
    if not first:
        raise SBNetError(f"{path}: the list is empty: write one image name per line")
    return [(number, name) for name, number in first.items()]
