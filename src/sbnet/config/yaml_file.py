"""One YAML file of a recipe: its values, and of each key the line it stands on and the comments there."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from sbnet.errors import SBNetError

KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
DEEPEST = 6  # sections within each other; an anchor within itself has no end


class Place(NamedTuple):
    """Where a key is set. text: what an error about it begins with, such as `mine.yaml, line 7: `. above: the comment
    lines directly above it; behind: that on its line.
    """

    text: str
    file: Path | None = None
    above: tuple[str, ...] = ()
    behind: str = ""


def read_text(path: Path) -> str:
    """A recipe file's content. Raises SBNetError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SBNetError(
            f"{path}: the recipe cannot be read ({error}); check the name, and save it as UTF-8"
        ) from error


def heading(text: str) -> list[str]:
    """The comment lines that a file begins with."""
    first = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return [_bare(line) for line in first]


def read_values(path: Path) -> tuple[dict[str, Any], dict[str, Place]]:
    """The values, and dotted key -> place. Raises SBNetError for what is no YAML of sections with unique text keys."""
    text = read_text(path)
    lines = text.splitlines()
    lines[: len(heading(text))] = [""] * len(heading(text))  # the heading belongs to no key
    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        places = dict(_places(node, path, lines))
        values = loader.construct_document(node) if node else None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SBNetError(
            f"{path}{line}: not valid YAML ({getattr(error, 'problem', None) or error})"
        ) from error
    if not isinstance(values, dict):
        raise SBNetError(f"{path}: a recipe consists of 'key: value' lines; see `sbnet recipes quickstart`")
    return values, places


def _places(
    node: yaml.Node | None, path: Path, lines: list[str], above: str = ""
) -> Iterator[tuple[str, Place]]:
    if not isinstance(node, yaml.MappingNode):
        return
    seen = set()
    for key, value in node.value:
        dotted = f"{above}{key.value}"
        place = f"{path}, line {key.start_mark.line + 1}: "
        if key.tag not in KEYS:
            raise SBNetError(f"{place}a key is not text; write it in quotes, or remove it")
        if dotted.count(".") > DEEPEST:
            raise SBNetError(f"{place}sections are nested too deep; check the anchors (&, *)")
        if key.value in seen:
            raise SBNetError(f"{place}'{dotted}' is set twice; keep one")
        seen.add(key.value)
        yield dotted, Place(place, path, *_comments(key, value, lines))
        yield from _places(value, path, lines, f"{dotted}.")


def _comments(key: yaml.Node, value: yaml.Node, lines: list[str]) -> tuple[tuple[str, ...], str]:
    """The comment lines directly above a key, and the comment on its line."""
    number = key.start_mark.line
    line = lines[number]
    is_first = not line[: key.start_mark.column].strip()  # in `{a: 1, b: 2}` others follow
    before = reversed(lines[:number] if is_first else [])
    above = [_bare(text) for text in itertools.takewhile(lambda text: text.lstrip().startswith("#"), before)]
    is_whole = value.end_mark.line == number  # else what follows is behind a section's name, or a list's
    rest = line[(value if is_whole else key).end_mark.column :].lstrip(" " if is_whole else " :")
    return tuple(reversed(above)), _bare(rest) if rest.startswith("#") else ""


def _bare(line: str) -> str:
    return line.strip().removeprefix("#").strip()
