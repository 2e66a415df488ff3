"""A recipe as `sbnet recipes NAME` shows it: every setting, and which file chose it for what reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from sbnet.config import source
from sbnet.config.comments import Comment, comments, heading
from sbnet.config.convert import build, plain
from sbnet.config.recipe import Recipe, read_values

COLUMN = 36  # where the remarks begin
LEGEND = "Behind a value: * where this recipe sets it, a base's name where that does, nothing for a default."
# Dotted key -> who sets it (`*`, or a base's name), and the comment there.
Remarks = Mapping[str, tuple[str, Comment]]


def resolved(name_or_path: str) -> str:
    """Every value of a recipe, its bases' and the defaults among them, as YAML that loads as this recipe.

    Behind each is who sets it, with the comments that stand there. Raises SBNetError for an unknown recipe, key or
    type of value; that it names no photos is no mistake here.
    """
    found = read_values(name_or_path)
    recipe: Recipe = build(Recipe, found.values, found.where)
    own = found.files[-1]
    head = [*heading(source.read_text(own)), LEGEND]
    lines = [*(f"# {line}".rstrip() for line in head), *_lines(plain(recipe), _remarks(found.files))]
    return "\n".join(lines) + "\n"


def _remarks(files: Sequence[Path]) -> Remarks:
    """Of a recipe's file, the last, and of its bases."""
    remarks: dict[str, tuple[str, Comment]] = {}
    for file in files:
        own = file == files[-1]
        for key, comment in comments(source.read_text(file)).items():
            if own or key not in source.OWN:
                remarks[key] = ("*" if own else file.stem, comment)
    followed = {f"bootstrap_{key}": ("as refine", Comment()) for key in remarks if key.startswith("refine.")}
    return followed | remarks


def _lines(values: Mapping[str, Any], remarks: Remarks, parent: str = "") -> Iterator[str]:
    for key, value in values.items():
        dotted = f"{parent}.{key}" if parent else key
        indent = "  " * dotted.count(".")
        who, comment = remarks.get(dotted, ("", Comment()))
        yield from (f"{indent}# {_remark(who, line)}" for line in comment.above)
        if isinstance(value, dict):
            yield f"{indent}{key}:" + (f"  # {_remark(who, comment.behind)}" if comment.behind else "")
            yield from _lines(value, remarks, dotted)
        elif dotted in source.OWN:
            yield _text(key, value)
        else:
            line = f"{indent}{key}: {_flow(value)}"
            yield f"{line:<{COLUMN - 2}}  # {_remark(who, comment.behind)}" if who else line


def _remark(who: str, comment: str) -> str:
    return f"{who} {comment}".strip() if who == "*" else f"{who}: {comment}".rstrip(": ")


def _flow(value: Any) -> str:
    """A value on one line."""
    return yaml.safe_dump([value], default_flow_style=True, width=float("inf")).strip()[1:-1]


def _text(key: str, text: str) -> str:
    """A text of several lines as it was written, where YAML can have it so."""
    style = "|" if "\n" in text else None
    pair = (
        yaml.ScalarNode("tag:yaml.org,2002:str", key),
        yaml.ScalarNode("tag:yaml.org,2002:str", text, style=style),
    )
    return yaml.serialize(yaml.MappingNode("tag:yaml.org,2002:map", [pair]), width=float("inf")).rstrip("\n")
