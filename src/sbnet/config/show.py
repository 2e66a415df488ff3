"""A recipe as `sbnet recipes NAME` shows it: every setting with what it is, and which file chose it for what reason."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from sbnet.config import source
from sbnet.config.comments import Comment, comments, heading
from sbnet.config.recipe import CHOSEN, FIXED, Recipe, typed
from sbnet.config.refusals import section_model
from sbnet.registry import DATASETS, METHODS
from sbnet.settings import Settings

COLUMN = 40  # where the remarks begin
LEGEND = "Behind a value: * if this recipe sets it, the base's name if a base does, nothing for a default."
# Dotted key -> who sets it (`*`, or a base's name), and the comment there.
Remarks = Mapping[str, tuple[str, Comment]]


@dataclass(frozen=True)
class _Lines:
    remarks: Remarks
    docs: bool

    def of(self, values: Mapping[str, Any], model: type[Settings] | None, parent: str = "") -> Iterator[str]:
        for key, value in values.items():
            dotted = f"{parent}.{key}" if parent else key
            yield from self._setting(key, value, model, dotted)

    def section(
        self, key: str, values: Mapping[str, Any], model: type[Settings] | None, dotted: str
    ) -> Iterator[str]:
        """Its name and what is in it."""
        indent = "  " * dotted.count(".")
        who, comment = self.remarks.get(dotted, ("", Comment()))
        yield from (f"{indent}# {_remark(who, line)}" for line in comment.above)
        yield f"{indent}{key}:" + (f"  # {_remark(who, comment.behind)}" if comment.behind else "")
        yield from self.of(values, model, dotted)

    def _setting(self, key: str, value: Any, model: type[Settings] | None, dotted: str) -> Iterator[str]:
        indent = "  " * dotted.count(".")
        who, comment = self.remarks.get(dotted, ("", Comment()))
        info = model.model_fields.get(key) if model else None
        if self.docs and info is not None and info.description:
            yield from (f"{indent}# {line.strip()}" for line in info.description.splitlines())
        if isinstance(value, dict):
            yield from self.section(key, value, section_model(model, key) if model else None, dotted)
            return
        yield from (f"{indent}# {_remark(who, line)}" for line in comment.above)
        if dotted in source.OWN:
            yield _text(key, value)
        else:
            line = f"{indent}{key}: {_flow(value)}"
            yield f"{line:<{COLUMN - 2}}  # {_remark(who, comment.behind)}" if who else line


def resolved(name_or_path: str, *, docs: bool = True) -> str:
    """Every value of a recipe, its bases' and the defaults among them, as YAML that loads as this recipe.

    docs: with what each setting is. Behind each is who sets it, with the comments that are there. Raises SBNetError for
    an unknown recipe, key or value.
    """
    found = source.read(source.find(name_or_path))
    recipe = typed(found)
    head = [*heading(source.read_text(found.files[-1])), LEGEND]
    writer = _Lines(_remarks(found.files), docs)
    lines = [f"# {line}".rstrip() for line in head]
    for key, value in recipe.plain().items():
        if isinstance(value, dict):
            lines += ["", *writer.section(key, value, _model(recipe, key), key)]
        else:
            lines += writer.of({key: value}, None)
    return "\n".join(lines) + "\n"


def _model(recipe: Recipe, key: str) -> type[Settings]:
    if key in FIXED:
        return FIXED[key]
    name = getattr(recipe, key).name
    return (DATASETS if CHOSEN[key][1] is DATASETS else METHODS)[name].Settings


def _remarks(files: Sequence[Path]) -> Remarks:
    """Of a recipe's file, the last, and of its bases."""
    remarks: dict[str, tuple[str, Comment]] = {}
    for file in files:
        own = file == files[-1]
        for key, comment in comments(source.read_text(file)).items():
            if own or key not in source.OWN:
                remarks[key] = ("*" if own else file.stem, comment)
    return remarks


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
