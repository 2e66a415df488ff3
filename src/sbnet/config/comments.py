"""The comments of a YAML file, by the key that they stand at."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import yaml


class Comment(NamedTuple):
    """above: the comment lines directly above a key; behind: that on its line, behind the value or a section's name."""

    above: tuple[str, ...] = ()
    behind: str = ""


def heading(text: str) -> list[str]:
    """The comment lines that a file begins with."""
    first = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return [_bare(line) for line in first]


def comments(text: str) -> dict[str, Comment]:
    """Dotted key -> what is said there, for every key of a file that is YAML; its heading belongs to none."""
    found: dict[str, Comment] = {}
    lines = text.splitlines()
    lines[: len(heading(text))] = [""] * len(heading(text))
    _note(yaml.compose(text, Loader=yaml.SafeLoader), lines, "", found)
    return found


def _note(node: yaml.Node | None, lines: list[str], parent: str, found: dict[str, Comment]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{parent}.{key.value}" if parent else str(key.value)
        line = key.start_mark.line
        first = not lines[line][
            : key.start_mark.column
        ].strip()  # of its line, in `{a: 1, b: 2}` others follow
        before = reversed(lines[:line] if first else [])
        above = itertools.takewhile(lambda text: text.lstrip().startswith("#"), before)
        whole = value.end_mark.line == line  # else what follows the name: a section's, or a list's
        rest = lines[line][(value if whole else key).end_mark.column :].lstrip(" " if whole else " :")
        behind = _bare(rest) if rest.startswith("#") else ""
        found[dotted] = Comment(tuple(_bare(text) for text in above)[::-1], behind)
        _note(value, lines, dotted, found)


def _bare(line: str) -> str:
    return line.strip().removeprefix("#").strip()
