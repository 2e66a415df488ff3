"""A recipe's values before they are typed: from its file, from the files below it (`base:`), from overrides."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sbnet.config import FOLDER, names
from sbnet.config.yaml_file import Place, read_values
from sbnet.errors import SBNetError, check_folder, did_you_mean
from sbnet.registry import DATASETS, METHODS, ROLES, Registry

OWN = ("name", "about")  # what a recipe never takes from its base
# Section -> the key that chooses its settings, and the registry to choose from.
CHOSEN: dict[str, tuple[str, Registry[Any]]] = {
    "data": ("source", DATASETS),
    **dict.fromkeys(ROLES, ("method", METHODS)),
}


@dataclass
class Source:
    """Values of a recipe. places: dotted key -> where it was set last. files: those that the values are from, each after
    its base. layers: dotted key -> 0 for the lowest base, one more for each file above it, overrides last: where a value
    was set, and a method or data set last changed.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def where(self, key: str) -> str:
        """The place of a key, or of the nearest one above it, or of one below it."""
        below = (place.text for other, place in self.places.items() if other.startswith(f"{key}."))
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places[key].text if key else next(below, "")

    def add_file(self, path: Path, values: dict[str, Any], places: dict[str, Place]) -> None:
        """Lay a file's values over these."""
        self._merge(self.values, values, "")
        self.places.update(places)
        self.files.append(path)

    def set(self, key: str, value: Any, *, place: str) -> None:
        """Set one dotted key; `place` is what an error about it begins with."""
        *parents, name = key.split(".")
        values = self.values
        for number, parent in enumerate(parents, start=1):
            if values.get(parent) is None:
                values[parent] = {}
            values = values[parent]
            if not isinstance(values, dict):
                raise SBNetError(f"{place}'{parent}' is one value; it has no setting '{name}'")
            self.places[".".join(parents[:number])] = Place(place)
        self._note(key, values.get(name), value)
        values[name] = value
        self.places[key] = Place(place)

    def _merge(self, into: dict[str, Any], values: dict[str, Any], above: str) -> None:
        for key, value in values.items():
            before = into.get(key)
            if isinstance(value, dict):
                into[key] = before if isinstance(before, dict) else {}
                self._merge(into[key], value, f"{above}{key}.")
            elif value is not None or not isinstance(before, dict):  # an empty section changes nothing
                self._note(f"{above}{key}", before, value)
                into[key] = value

    def _note(self, key: str, before: Any, value: Any) -> None:
        if before != value or key not in (f"{section}.{key}" for section, (key, _) in CHOSEN.items()):
            self.layers[key] = len(self.files)


def split(assignment: str) -> tuple[str, str]:
    """`seeds.train.epochs=3` -> key and value."""
    key, equals, value = assignment.partition("=")
    if not equals or not all(part.strip() for part in key.split(".")):
        remedy = "write KEY=VALUE, for example seeds.train.epochs=3"
        if Path(assignment).is_dir():
            remedy = f"a folder of images is given as --data {assignment}"
        raise SBNetError(f"'{assignment}' is not a setting; {remedy}")
    return key.strip(), value.strip()


def find(name_or_path: str, beside: Path | None = None) -> Path:
    """The file of a packaged recipe's name, a YAML path (relative to `beside` too), or a run folder."""
    if name_or_path in names():
        return FOLDER / f"{name_or_path}.yaml"
    path = Path(name_or_path)
    for place in (path, (beside or Path()) / path):
        if place.is_dir():
            check_folder(place)
        file = place / "recipe.yaml" if place.is_dir() else place
        if file.is_file():
            return file
    known = ", ".join(names())
    if path.is_dir():
        raise SBNetError(f"{path} is not a run folder (it has no recipe.yaml); name a recipe: {known}")
    if path.suffix in (".yaml", ".yml"):
        raise SBNetError(f"{path}: no such recipe file")
    raise SBNetError(
        f"there is no recipe '{name_or_path}'{did_you_mean(name_or_path, names())}; "
        f"available: {known}; or give the path of a YAML file or of a run folder"
    )


def read(path: Path, _above: tuple[Path, ...] = ()) -> Source:
    """A recipe file's values over its base's."""
    if path.resolve() in _above:
        raise SBNetError(f"{path}: the recipe is its own base; remove the line 'base:' from one of them")
    values, places = read_values(path)
    source = Source()
    base = values.pop("base", None)
    if base is not None:
        if not isinstance(base, str):
            raise SBNetError(f"{places['base'].text}base is {base!r}; expected a recipe's name or path")
        source = read(find(base, path.parent), (*_above, path.resolve()))
        for key in OWN:
            source.values.pop(key, None)
            source.places.pop(key, None)
    if values.get("name") is None:
        values["name"] = path.stem
    source.add_file(path, values, places)
    return source
