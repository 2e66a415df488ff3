"""Class names and image labels from text: class lists, label files, VOC's XML annotations."""

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
    if len(names) > IGNORE:
        raise SBNetError(
            f"{path}: {len(names)} classes with background, and {IGNORE} are the most: ids are bytes, and {IGNORE} "
            "marks pixels of no class"
        )
    return names


def read_label_file(path: str | Path, names: tuple[str, ...]) -> ImageLabels:
    """Image labels from a file, one photo a line.

    Text: `NAME class class`, separated by blanks. CSV (suffix .csv): `name,class;class`, for names that have
    blanks in them; a first line `name,classes` is skipped. `background` may be named and adds nothing. Raises
    `SBNetError` for an unknown class, a photo named twice, and lines of another form.
    """
    labels, problems = look_into_label_file(path, names)
    if problems:
        raise SBNetError(problems[0])
    return labels


def look_into_label_file(path: str | Path, names: tuple[str, ...]) -> tuple[ImageLabels, list[str]]:
    """What `read_label_file` gives, of the lines that can be used, and what is wrong with the others, in their order.

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
            problems[number] = f"{where}: photo '{name}' is on line {lines[name]} already: remove one"
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


def class_ids(
    words: Iterable[str], names: tuple[str, ...], *, where: str, remedy: str = ""
) -> tuple[int, ...]:
    """Ids, ascending, each once, without background. Unknown ones: `SBNetError`, beginning with `where`; `remedy`: what
    is to be done then, where it is known better than here.
    """
    ids = set()
    for word in words:
        if word not in names:
            if remedy:
                raise SBNetError(f"{where}: class '{word}' is not in the list of classes: {remedy}")
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


def _csv_remedy(path: Path, name: str, words: list[str], names: tuple[str, ...]) -> str:
    """Where words of a text file's line make sense as names with blanks in them: what to write instead, else ""."""
    known = [word in names for word in words]
    if all(known):
        return ""
    form = f"as {path.stem}.csv, with 'name,classes' as the first line and here"
    if "," in name and not name.endswith(","):
        return f"this looks like CSV, where names may have blanks: save it as {path.stem}.csv"
    classes = _with_blanks(words, names)
    if classes and any(" " in found for found in classes):
        return (
            f"names with blanks in them need the CSV form: save the file {form} '{name},{';'.join(classes)}'"
        )
    if classes:
        return f"write it without blanks: {name} {' '.join(classes)}"
    blanks = [one for one in names if " " in one]
    if near := did_you_mean(next(word for word in words if word not in names), blanks):
        return f"names with blanks in them need the CSV form{near}: save the file {form} '{name},class;class'"
    first = known.index(True) if True in known else len(words)
    if all(known[first:]) and first < len(words):
        whole, rest = " ".join([name, *words[:first]]), ";".join(words[first:])
        if not any(did_you_mean(word, names) for word in words[:first]):
            return f"mend it, or where '{whole}' is the photo's name save the file {form} '{whole},{rest}'"
    return ""


def _with_blanks(words: list[str], names: tuple[str, ...]) -> list[str]:
    """The words as class names, of which one may be several words with or without blanks between, or [] where they are
    not.
    """
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
    """A text file's content, as UTF-8. Raises `SBNetError`, saying `what` the file is, where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8-sig")  # a byte order mark, as spreadsheets write it, is dropped
    except (OSError, UnicodeDecodeError) as error:
        raise SBNetError(
            f"{path}: the {what} cannot be read ({error}): check the name, save it as UTF-8"
        ) from error
