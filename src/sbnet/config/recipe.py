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
from sbnet.config.refusals import refusal, section_model, shortened, unknown_key
from sbnet.config.source import Source
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError, did_you_mean
from sbnet.registry import DATASETS, METHODS, Registry
from sbnet.settings import Settings, plain
from sbnet.steps.settings import CrfSettings, PredictSettings

# Section -> the key that chooses its settings, and the registry to choose from.
CHOSEN: dict[str, tuple[str, Registry[Any]]] = {
    "data": ("source", DATASETS),
    "seeds": ("method", METHODS),
    "refine": ("method", METHODS),
    "segmenter": ("method", METHODS),
}
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
        roles = {role: getattr(self, role) for role in CHOSEN if role != "data"}
        return replace(
            self,
            **{
                role: replace(choice, settings=METHODS[choice.name].reference(choice.settings))
                for role, choice in roles.items()
            },
        )

    def section(self, key: str) -> Settings:
        """Settings by the dotted key of their section, such as `seeds.train`."""
        first, *rest = key.split(".")
        found = getattr(self, first)
        found = found.settings if isinstance(found, Choice) else found
        for name in rest:
            found = getattr(found, name)
        section: Settings = found
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

    def to_yaml(self) -> str:
        """`load_recipe` gives the same recipe back."""
        return yaml.safe_dump(self.plain(), sort_keys=False, width=100)

    def write(self, path: Path) -> None:
        from sbnet.data.io.files import write_bytes

        write_bytes(path, self.to_yaml().encode())


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


def typed(found: Source) -> Recipe:
    """The recipe of these values. Raises SBNetError as `load_recipe` does."""
    values = dict(found.values)
    known = [one.name for one in fields(Recipe)]
    for key in values:
        if key not in known:
            raise SBNetError(f"{found.where(key)}{unknown_key(key, known, _models(values))}")
    given = {key: {} if values.get(key) is None else values[key] for key in (*FIXED, *CHOSEN)}
    sections = {key: _fixed(kind, given[key], found, key) for key, kind in FIXED.items()}
    chosen = {key: _choice(given[key], found, key) for key in CHOSEN}
    return Recipe(
        name=_name(values, found),
        about=_text(values, found, "about"),
        reference=_switch(values, found, "reference"),
        **sections,  # type: ignore[arg-type]
        **chosen,  # type: ignore[arg-type]
    )


def _name(values: Mapping[str, Any], found: Source) -> str:
    """It names the run's folder."""
    name = _text(values, found, "name")
    if not name.strip(". ") or "/" in name or "\\" in name:
        raise SBNetError(
            f"{found.where('name')}name is {shortened(name)}; expected a name for the run's folder"
        )
    return name


def _text(values: Mapping[str, Any], found: Source, key: str) -> str:
    value = values.get(key)
    if isinstance(value, list | dict | bool):
        raise SBNetError(f"{found.where(key)}{key} is {shortened(value)}; expected text")
    return "" if value is None else str(value)


def _switch(values: Mapping[str, Any], found: Source, key: str) -> bool:
    try:
        return TypeAdapter(bool).validate_python(values.get(key, False))
    except ValidationError:
        raise SBNetError(
            f"{found.where(key)}{key} is {shortened(values[key])}; expected true or false"
        ) from None


def _fixed(kind: type[Settings], values: Any, found: Source, key: str, *, chosen_at: str = "") -> Settings:
    """chosen_at: the key whose place is named for a setting that is missing."""
    if not isinstance(values, dict):
        raise SBNetError(
            f"{found.where(key)}{key} is {values!r}; expected settings such as '{next(iter(kind.model_fields))}'"
        )
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise refusal(
            error, kind, lambda name: found.where(name if name in found.places else chosen_at or name), key
        ) from None


def _choice(values: Any, found: Source, key: str) -> Choice:
    chooser, registry = CHOSEN[key]
    dotted = f"{key}.{chooser}"
    if not isinstance(values, dict):
        raise SBNetError(f"{found.where(key)}{key} is {values!r}; expected settings such as '{chooser}'")
    rest = dict(values)
    name = rest.pop(chooser, None)
    if name is None:
        place = found.where(key) or f"{found.files[-1]}: "
        remedy = " (or give --data FOLDER)" if key == "data" else ""
        raise SBNetError(f"{place}{dotted} is required{remedy}; available: {', '.join(_names(key))}")
    place, available = f"{found.where(dotted)}{dotted}", f"available: {', '.join(_names(key))}"
    if str(name) not in registry and str(name) not in registry.broken:
        raise SBNetError(
            f"{place}: there is no {registry.what} '{name}'{did_you_mean(str(name), _names(key))}; {available}"
        )
    try:
        entry = registry[str(name)]
    except SBNetError as error:
        raise SBNetError(f"{place}: {error}") from None
    role = getattr(entry, "role", key)
    if role != key:
        raise SBNetError(f"{place} is '{name}', which is a method for `{role}`; {available}")
    changed = found.layers.get(dotted, 0)
    kept = _below(rest, entry.Settings, found, key, changed, all_of=key == "data")
    return Choice(str(name), _fixed(entry.Settings, kept, found, key, chosen_at=dotted))


def _below(
    values: dict[str, Any], kind: type[Settings], found: Source, key: str, layer: int, *, all_of: bool
) -> dict[str, Any]:
    """The values without those that a file below the choice meant for another method: keys that this one does not have;
    of a data set, all.
    """
    kept: dict[str, Any] = {}
    for name, value in values.items():
        dotted = f"{key}.{name}"
        inner = section_model(kind, name)
        if isinstance(value, dict) and inner is not None:
            kept[name] = _below(value, inner, found, dotted, layer, all_of=all_of)
        elif _layer(found, dotted, value) >= layer or (name in kind.model_fields and not all_of):
            kept[name] = value
    return kept


def _layer(found: Source, key: str, value: Any) -> int:
    if isinstance(value, dict):
        return max((_layer(found, f"{key}.{name}", inner) for name, inner in value.items()), default=0)
    return found.layers.get(key, 0)


def _names(key: str) -> list[str]:
    _, registry = CHOSEN[key]
    return [entry.name for entry in registry.entries() if getattr(entry, "role", key) == key]


def _models(values: Mapping[str, Any]) -> dict[str, type[Settings]]:
    """Section -> its settings, as far as they are known, to look for a key's name in."""
    models = dict(FIXED)
    for key, (chooser, registry) in CHOSEN.items():
        given = values.get(key, {})
        name = given.get(chooser) if isinstance(given, dict) else None
        if str(name) in registry:
            models[key] = registry[str(name)].Settings
    return models


def _leaves(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted keys and values of nested mappings, so that a section is merged, as in a file with `base:`."""
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value
