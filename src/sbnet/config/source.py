"""Recipe files: where they are, their values, the lines those stand on, and `base:`."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sbnet.errors import SBNetError, check_folder, did_you_mean
from sbnet.config import FOLDER, names

OWN = ("name", "about")  # what a recipe never takes from its base


@dataclass
class Source:
    """Values of a recipe before they are typed. `places`: dotted key -> `file.yaml, line 7: `. `files`: those that they
    are from, each after its base.
    """

    values: dict[str, Any] = field(default_factory=dict)
    places: dict[str, str] = field(default_factory=dict)
    files: list[Path] = field(default_factory=list)

    def where(self, key: str) -> str:
        """The place of a key, or of the nearest one above it."""
        while key and key not in self.places:
            key = key.rpartition(".")[0]
        return self.places.get(key, "")

    def merge(self, other: Source) -> None:
        _merge(self.values, other.values)
        self.places.update(other.places)
        self.files += other.files

    def set(self, key: str, value: Any, *, place: str) -> None:
        """Set one dotted key; `place` is what an error about it begins with."""
        *parents, name = key.split(".")
        values = self.values
        for parent in parents:
            values = values.setdefault(parent, {})
            if not isinstance(values, dict):
                raise SBNetError(f"{place}'{parent}' is one value; it holds no setting '{name}'")
        values[name] = value
        self.places[key] = place


def split(assignment: str) -> tuple[str, str]:
    """`train_cam.epochs=3` -> key and value."""
    key, equals, value = assignment.partition("=")
    if not equals or not key.strip():
        remedy = "write KEY=VALUE, for example train_cam.epochs=3"
        if Path(assignment).is_dir():
            remedy = f"a folder of photos is given as --data {assignment}"
        raise SBNetError(f"'{assignment}' is not a setting; {remedy}")
    return key.strip(), value.strip()


def _merge(into: dict[str, Any], values: dict[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = value


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
        raise SBNetError(
            f"{path}: the folder holds no recipe.yaml, so it is no run; name a recipe: {_choices()}"
        )
    if path.suffix in (".yaml", ".yml"):
        raise SBNetError(f"{path}: there is no such recipe file")
    raise SBNetError(
        f"there is no recipe '{name_or_path}'{did_you_mean(name_or_path, names())}; "
        f"recipes are {_choices()}, or the path of a YAML file or of a run folder"
    )


def _choices() -> str:
    return ", ".join(names())


def read(path: Path, _below: tuple[Path, ...] = ()) -> Source:
    """A recipe file's values, its base's beneath them."""
    if path.resolve() in _below:
        raise SBNetError(f"{path}: the recipe is its own base; take the line 'base:' out of one of them")
    own = _read_one(path)
    base = own.values.pop("base", None)
    own.values.setdefault("name", path.stem)
    if base is None:
        return own
    if not isinstance(base, str):
        raise SBNetError(f"{own.where('base')}base is {base!r}; expected a recipe's name or path")
    source = read(find(base, path.parent), (*_below, path.resolve()))
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
            f"{path}: the recipe cannot be read ({error}); check the name, save it as UTF-8"
        ) from error


def _read_one(path: Path) -> Source:
    text = read_text(path)
    try:
        values = yaml.safe_load(text)
        node = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        raise SBNetError(f"{path}{line}: not YAML ({getattr(error, 'problem', None) or error})") from error
    if not isinstance(values, dict):
        raise SBNetError(f"{path}: a recipe is a list of 'key: value' lines; see `sbnet recipes quickstart`")
    source = Source(values, files=[path])
    _note_lines(node, path, "", source.places)
    return source


def _note_lines(node: yaml.Node | None, path: Path, above: str, places: dict[str, str]) -> None:
    if not isinstance(node, yaml.MappingNode):
        return
    for key, value in node.value:
        dotted = f"{above}.{key.value}" if above else str(key.value)
        place = f"{path}, line {key.start_mark.line + 1}: "
        if dotted in places:
            raise SBNetError(f"{place}'{dotted}' stands here twice; keep one")
        places[dotted] = place
        _note_lines(value, path, dotted, places)
