"""Recipe files: where they are, their values, the lines those stand on, and `base:`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sbnet.config import FOLDER, names
from sbnet.errors import SBNetError, check_folder, did_you_mean

OWN = ("name", "about")  # what a recipe never takes from its base
CHOOSERS = ("method", "source")  # keys that choose the settings of their section

KEYS = ("tag:yaml.org,2002:str", "tag:yaml.org,2002:merge")
DEEPEST = 6  # sections within each other; an anchor within itself has no end


@dataclass
class Source:
    """Values of a recipe before they are typed.

    places: dotted key -> `file.yaml, line 7: `. layers: dotted key -> 0 for the lowest base, one more for each file above
    it, overrides last: where a value was set, and a method or data set last changed. files: those that the values are
    from, each after its base.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    layers: dict[str, int] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def where(self, key: str) -> str:
        """The place of a key, or of the nearest one above it, or of one below it."""
        below = (place for other, place in self.places.items() if other.startswith(f"{key}."))
        first = next(below, "")
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, first)

    def merge(self, other: Source) -> None:
        """Lay another file's values over these."""
        layer = len(self.files)
        self._merge(self.values, other.values, "", layer)
        self.places.update(other.places)
        self.files += other.files

    def set(self, key: str, value: Any, *, place: str) -> None:
        """Set one dotted key; `place` is what an error about it begins with."""
        *parents, name = key.split(".")
        values = self.values
        for parent in parents:
            if values.get(parent) is None:
                values[parent] = {}
            values = values[parent]
            if not isinstance(values, dict):
                raise SBNetError(f"{place}'{parent}' is one value; it has no setting '{name}'")
        self._note(key, values.get(name), value, len(self.files))
        values[name] = value
        self.places[key] = place

    def _merge(self, into: dict[str, Any], values: dict[str, Any], above: str, layer: int) -> None:
        for key, value in values.items():
            dotted = f"{above}{key}"
            if isinstance(value, dict):
                inner = into.get(key)
                into[key] = inner if isinstance(inner, dict) else {}
                self._merge(into[key], value, f"{dotted}.", layer)
            elif value is not None or not isinstance(into.get(key), dict):  # an empty section changes nothing
                self._note(dotted, into.get(key), value, layer)
                into[key] = value

    def _note(self, key: str, before: Any, value: Any, layer: int) -> None:
        if before != value or key.rpartition(".")[2] not in CHOOSERS:
            self.layers[key] = layer


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
    packaged = FOLDER / f"{name_or_path}.yaml"
    if name_or_path in names():
        return packaged
    for path in (Path(name_or_path), (beside or Path()) / name_or_path):
        if path.is_dir():
            check_folder(path)
        if path.is_dir() and (path / "recipe.yaml").is_file():
            return path / "recipe.yaml"
        if path.is_file():
            return path
    path = Path(name_or_path)
    if path.is_dir():
        raise SBNetError(f"{path} is not a run folder (it has no recipe.yaml); name a recipe: {_choices()}")
    if path.suffix in (".yaml", ".yml"):
        raise SBNetError(f"{path}: no such recipe file")
    raise SBNetError(
        f"there is no recipe '{name_or_path}'{did_you_mean(name_or_path, names())}; "
        f"available: {_choices()}; or give the path of a YAML file or of a run folder"
    )


def _choices() -> str:
    return ", ".join(names())


def read(path: Path, _above: tuple[Path, ...] = ()) -> Source:
    """A recipe file's values over its base's."""
    if path.resolve() in _above:
        raise SBNetError(f"{path}: the recipe is its own base; remove the line 'base:' from one of them")
    own = _read_one(path)
    base = own.values.pop("base", None)
    if own.values.get("name") is None:
        own.values["name"] = path.stem
    source = Source()
    if base is not None:
        if not isinstance(base, str):
            raise SBNetError(f"{own.where('base')}base is {base!r}; expected a recipe's name or path")
        source = read(find(base, path.parent), (*_above, path.resolve()))
        for key in OWN:
            source.values.pop(key, None)
    source.merge(own)
    return source


def read_text(path: Path) -> str:
    """A recipe file's content. Raises SBNetError where it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SBNetError(
            f"{path}: the recipe cannot be read ({error}); check the name, and save it as UTF-8"
        ) from error


def _read_one(path: Path) -> Source:
    text = read_text(path)
    try:
        values = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a date that does not exist
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SBNetError(
            f"{path}{line}: not valid YAML ({getattr(error, 'problem', None) or error})"
        ) from error
    if not isinstance(values, dict):
        raise SBNetError(f"{path}: a recipe consists of 'key: value' lines; see `sbnet recipes quickstart`")
    source = Source(values, files=[path])
    _note_lines(node, path, "", source.places)
    return source


def _note_lines(node: yaml.Node | None, path: Path, above: str, places: dict[str, str]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{above}.{key.value}" if above else str(key.value)
        place = f"{path}, line {key.start_mark.line + 1}: "
        if key.tag not in KEYS:
            raise SBNetError(f"{place}a key is not text; write it in quotes, or remove it")
        if dotted.count(".") > DEEPEST:
            raise SBNetError(f"{place}sections are nested too deep; check the anchors (&, *)")
        if dotted in places:
            raise SBNetError(f"{place}'{dotted}' is set twice; keep one")
        places[dotted] = place
        _note_lines(value, path, dotted, places)
