"""A recipe as `sbnet recipes NAME` shows it: every setting, what it is, which file sets it, and the comment there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from sbnet.config import source
from sbnet.config.recipe import section_models, typed
from sbnet.config.refusals import sections
from sbnet.config.source import Source
from sbnet.config.yaml_file import Place, heading, read_text
from sbnet.settings import Settings

COLUMN = 40  # where the remarks begin
LEGEND = "Behind a value: * if this recipe sets it, the base's name if a base does, nothing for a default."


def resolved(name_or_path: str) -> str:
    """Every value of a recipe, its bases' and the defaults among them, as YAML that loads as this recipe.

    Raises SBNetError for an unknown recipe, key or value.
    """
    found = source.read(source.find(name_or_path))
    values = typed(found).plain()
    head = [f"# {line}".rstrip() for line in (*heading(read_text(found.files[-1])), LEGEND)]
    return "\n".join([*head, *_settings(values, None, section_models(values), "", found)]) + "\n"


def _settings(
    values: Mapping[str, Any],
    model: type[Settings] | None,
    inner: Mapping[str, type[Settings]],
    parent: str,
    found: Source,
) -> Iterator[str]:
    """Lines of a section. model: its settings, None for the whole recipe. inner: those of the sections in it."""
    indent = "  " * parent.count(".")
    for key, value in values.items():
        place = found.places.get(f"{parent}{key}", Place(""))
        info = model.model_fields.get(key) if model else None
        told = (info.description or "") if info else ""
        who = _who(place, found)
        if key in inner and not model:
            yield ""
        yield from (f"{indent}# {line.strip()}" for line in told.splitlines())
        yield from (f"{indent}# {_remark(who, line)}" for line in place.above)
        if key in inner:
            yield f"{indent}{key}:" + (f"  # {_remark(who, place.behind)}" if place.behind else "")
            yield from _settings(value, inner[key], sections(inner[key]), f"{parent}{key}.", found)
        elif f"{parent}{key}" in source.OWN:
            yield _text(key, value)
        else:
            line = f"{indent}{key}: {_flow(value)}"
            yield f"{line:<{COLUMN - 2}}  # {_remark(who, place.behind)}" if who else line


def _who(place: Place, found: Source) -> str:
    if place.file is None:
        return ""
    return "*" if place.file == found.files[-1] else place.file.stem


def _remark(who: str, comment: str) -> str:
    return f"{who} {comment}".strip() if who == "*" else f"{who}: {comment}".rstrip(": ")


def _flow(value: Any) -> str:
    """A value on one line."""
    return yaml.safe_dump([value], default_flow_style=True, width=float("inf")).strip()[1:-1]


def _text(key: str, text: str) -> str:
    """A text of several lines as it was written, where YAML can have it so."""
    tag, style = "tag:yaml.org,2002:", "|" if "\n" in text else None
    pair = (yaml.ScalarNode(f"{tag}str", key), yaml.ScalarNode(f"{tag}str", text, style=style))
    return yaml.serialize(yaml.MappingNode(f"{tag}map", [pair]), width=float("inf")).rstrip("\n")
