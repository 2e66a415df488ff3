"""A recipe: everything a run needs, by role. `load_recipe` reads one, `Recipe.write` keeps it as it ran."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from sbnet.backbones.settings import BackboneSettings
from sbnet.config import source
from sbnet.config.refusals import refusal, sections, shortened, unknown_key
from sbnet.config.source import CHOSEN, Source
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.registry import METHODS, ROLES
from sbnet.settings import Settings, plain
from sbnet.steps.settings import CrfSettings, PredictSettings

FIXED: dict[str, type[Settings]] = {
    "backbone": BackboneSettings,
    "crf": CrfSettings,
    "predict": PredictSettings,
    "runtime": Runtime,
}


@dataclass(frozen=True)
class Choice:
    """A method or data set with its settings."""

    name: str
    settings: Any


@dataclass(frozen=True)
class Recipe:
    """about: its evidence (command, hardware, time, measured mIoU). reference: reproduce the quirks of the published code
    that change numbers, to compare with it. The other fields are the sections, by role.
    """

    name: str
    about: str
    reference: bool
    data: Choice
    backbone: BackboneSettings
    seeds: Choice
    crf: CrfSettings
    refine: Choice
    segmenter: Choice
    predict: PredictSettings
    runtime: Runtime

    def with_quirks(self) -> Recipe:
        """The settings that the steps get: under `reference`, those that the published code amounts to."""
        if not self.reference:
            return self
        choices = {role: getattr(self, role) for role in ROLES}
        quirky = {
            role: replace(choice, settings=METHODS[choice.name].reference(choice.settings))
            for role, choice in choices.items()
        }
        return replace(self, **quirky)

    def section(self, key: str) -> Settings:
        """Settings by the dotted key of their section, such as `seeds.train`."""
        first, *rest = key.split(".")
        found = getattr(self, first)
        section: Settings = found.settings if isinstance(found, Choice) else found
        for name in rest:
            section = getattr(section, name)
        return section

    def plain(self) -> dict[str, Any]:
        """Every value, in the order above, as YAML and JSON have them."""
        values: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if isinstance(value, Choice):
                values[one.name] = {CHOSEN[one.name][0]: value.name, **plain(value.settings)}
            else:
                values[one.name] = plain(value)
        return values

    def write(self, path: Path) -> None:
        """`load_recipe` gives the same recipe back."""
        from sbnet.data.io.files import write_bytes

        write_bytes(path, self.to_yaml().encode())

    def to_yaml(self) -> str:
        """The whole recipe."""
        return str(yaml.safe_dump(self.plain(), sort_keys=False, width=100))


def load_recipe(name_or_path: str | Path, overrides: Iterable[str] | Mapping[str, Any] = ()) -> Recipe:
    """The packaged recipe of that name, or that of a YAML file or run folder; `overrides` come on top, such as
    `["seeds.train.epochs=3"]`, `{"seeds.train.epochs": 3}` or `{"seeds": {"train": {"epochs": 3}}}`.

    Raises SBNetError for an unknown recipe, key or value, naming file, line, and what it should be.
    """
    found = source.read(source.find(str(name_or_path)))
    if isinstance(overrides, Mapping):
        for key, value in _leaves(overrides):
            found.set(key, value, place="")
    else:
        for assignment in overrides:
            found.set(*source.split(assignment), place=f"'{assignment}': ")
    return typed(found)


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings, so that a section is merged, as in a file with `base:`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


def typed(found: Source) -> Recipe:
    """The recipe of these values. Raises SBNetError as `load_recipe` does."""
    values = found.values
    known = [one.name for one in fields(Recipe)]
    for key in values:
        if key not in known:
            raise SBNetError(f"{found.where(key)}{unknown_key(key, known, section_models(values))}")
    fixed = {key: _validated(kind, _section(found, key), found, key) for key, kind in FIXED.items()}
    return Recipe(
        name=_name(found),
        about=_text(found, "about"),
        reference=_switch(found, "reference"),
        **fixed,  # type: ignore[arg-type]
        **{key: _choice(found, key) for key in CHOSEN},  # type: ignore[arg-type]
    )


def section_models(values: Mapping[str, Any]) -> dict[str, type[Settings]]:
    """Section -> its settings, of those that are chosen by name as far as the name is known."""
    models = dict(FIXED)
    for key, (chooser, registry) in CHOSEN.items():
        given = values.get(key)
        name = str(given.get(chooser)) if isinstance(given, dict) else ""
        if name in registry:
            models[key] = registry[name].Settings
    return models


def _name(found: Source) -> str:
    """It names the run's folder."""
    name = _text(found, "name")
    if not name.strip(". ") or "/" in name or "\\" in name:
        raise SBNetError(
            f"{found.where('name')}name is {shortened(name)}; expected a name for the run's folder"
        )
    return name


def _text(found: Source, key: str) -> str:
    value = found.values.get(key)
    if isinstance(value, list | dict | bool):
        raise SBNetError(f"{found.where(key)}{key} is {shortened(value)}; expected text")
    return "" if value is None else str(value)


def _switch(found: Source, key: str) -> bool:
    value = found.values.get(key, False)
    try:
        return TypeAdapter(bool).validate_python(value)
    except ValidationError:
        raise SBNetError(f"{found.where(key)}{key} is {shortened(value)}; expected true or false") from None


def _section(found: Source, key: str) -> dict[str, Any]:
    values = found.values.get(key)
    if values is None:
        return {}
    if not isinstance(values, dict):
        example = CHOSEN[key][0] if key in CHOSEN else next(iter(FIXED[key].model_fields))
        raise SBNetError(
            f"{found.where(key)}{key} is {shortened(values)}; expected settings such as '{example}'"
        )
    return values


def _validated(
    kind: type[Settings], values: dict[str, Any], found: Source, key: str, *, chosen_at: str = ""
) -> Settings:
    """chosen_at: the key whose place is named for a setting that is missing."""

    def where(name: str) -> str:
        return found.where(name if name in found.places else chosen_at or name)

    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise refusal(error, kind, where, key) from None


def _choice(found: Source, key: str) -> Choice:
    chooser, registry = CHOSEN[key]
    dotted = f"{key}.{chooser}"
    values = dict(_section(found, key))
    given = values.pop(chooser, None)
    offered = [entry.name for entry in registry.entries() if getattr(entry, "role", key) == key]
    if given is None:
        place = found.where(key) or f"{found.files[-1]}: "
        remedy = " (or give --data FOLDER)" if key == "data" else ""
        raise SBNetError(f"{place}{dotted} is required{remedy}; available: {', '.join(offered)}")
    name, place = str(given), f"{found.where(dotted)}{dotted}"
    try:
        entry = registry.find(name, offered)
    except SBNetError as error:
        raise SBNetError(f"{place}: {error}") from None
    if name not in offered:
        raise SBNetError(
            f"{place} is '{name}', which is a method for `{entry.role}`; available: {', '.join(offered)}"
        )
    layer = found.layers.get(dotted, 0)
    kept = _kept(values, entry.Settings, found, key, layer, all_of=key == "data")
    return Choice(name, _validated(entry.Settings, kept, found, key, chosen_at=dotted))


def _kept(
    values: dict[str, Any], kind: type[Settings] | None, found: Source, key: str, layer: int, *, all_of: bool
) -> dict[str, Any]:
    """The values without those that a file below the choice, in `layer`, meant for another method: settings that this
    one does not have; of a data set, all. kind: the section's settings, None where the method has no such section.
    """
    kept: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{key}.{name}"
        if isinstance(value, dict) and value:
            inner = sections(kind).get(name) if kind else None
            if below := _kept(value, inner, found, dotted, layer, all_of=all_of):
                kept[name] = below
        elif found.layers.get(dotted, 0) >= layer or (kind and name in kind.model_fields and not all_of):
            kept[name] = value
    return kept
