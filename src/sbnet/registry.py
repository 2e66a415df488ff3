"""What can be added without touching the package: methods, data sets, export formats. Imports no PyTorch.

Inside the package a module registers itself with a decorator; a plug-in names it in an entry-point group.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Iterable
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Literal, TypeVar, get_args, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from sbnet.errors import SBNetError, did_you_mean

if TYPE_CHECKING:
    from sbnet.data.datasets.base import Dataset
    from sbnet.exports.base import Export
    from sbnet.methods.base import Method

Entry = TypeVar("Entry")
Role = Literal["seeds", "refine", "segmenter"]
# Of methods, in the order of a chain, and what each makes of what.
ROLES: dict[Role, str] = {
    "seeds": "image-level labels -> class score maps",
    "refine": "class score maps and seeds -> pseudo masks",
    "segmenter": "pseudo masks -> a network that predicts masks",
}
PACKAGE = "sbnet"


class Registry(Generic[Entry]):
    """Entries by name. `homes`: packages of ours whose packages register themselves, or, where those have none, their
    modules. `base`: `module:class` of every entry. `group`: of plug-ins' entry points, each with the name of its entry.

    What is wrong with one plug-in is kept in `broken` and raised where that plug-in is asked for; the others work.
    """

    def __init__(self, what: str, *, homes: Iterable[str], base: str, group: str) -> None:
        self.what, self.base, self.group = what, base, group
        self._homes = tuple(homes)
        self._entries: dict[str, Any] = {}
        self._origins: dict[str, str] = {}
        self.broken: dict[str, str] = {}
        self._loaded = False

    def register(self, cls: type[Any]) -> type[Any]:
        """Decorator of a class with a `name`: an instance of it is the entry."""
        self._add(cls(), origin=cls.__module__)
        return cls

    def names(self) -> list[str]:
        """In the order in which they registered: ours, then plug-ins'."""
        self._load()
        return list(self._entries)

    def entries(self) -> list[Entry]:
        self._load()
        return list(self._entries.values())

    def origin(self, name: str) -> str:
        """The module that an entry is from."""
        self._load()
        return self._origins[name]

    def __contains__(self, name: object) -> bool:
        self._load()
        return name in self._entries

    def __getitem__(self, name: str) -> Entry:
        """Raises SBNetError for an unknown name and for a plug-in that cannot be used, with the reason."""
        return self.find(name, self.names())

    def find(self, name: str, offered: Iterable[str]) -> Entry:
        """As `registry[name]`; the names `offered` are those that the message about an unknown one lists."""
        self._load()
        if name in self._entries:
            entry: Entry = self._entries[name]
            return entry
        if name in self.broken:
            raise SBNetError(f"{self.what} '{name}': {self.broken[name]}")
        near = did_you_mean(name, offered)
        raise SBNetError(f"there is no {self.what} '{name}'{near}; available: {', '.join(offered)}")

    def _add(self, entry: Any, *, origin: str) -> None:
        self._check(entry)
        name = entry.name
        first = self._origins.get(name)
        if first is not None and type(self._entries.get(name)) is type(entry):
            return
        if first is None and name not in self.broken:
            self._entries[name], self._origins[name] = entry, origin
        elif first is not None and first.partition(".")[0] == PACKAGE:
            self.broken[f"{origin}:{name}"] = (
                f"{origin} also registers '{name}', which {first} already provides"
            )
        else:
            self._entries.pop(name, None)
            others = ", ".join(filter(None, (self._origins.get(name), origin)))
            self.broken[name] = f"two plug-ins register this name ({others}); uninstall or rename one"

    def _load(self) -> None:
        if self._loaded:
            return
        self._loaded = True
        for home in self._homes:
            inside = list(pkgutil.iter_modules(importlib.import_module(home).__path__))
            for one in [one for one in inside if one.ispkg] or inside:
                importlib.import_module(f"{home}.{one.name}")
        for point in entry_points(group=self.group):
            where = f"{point.dist.name} {point.dist.version}" if point.dist else point.value
            self._try(point.name, where, partial(self._take, point))

    def _take(self, point: EntryPoint) -> None:
        loaded = point.load()
        if not isinstance(loaded, type):
            raise TypeError(f"{point.value} is not a class")
        entry = loaded()
        if (name := getattr(entry, "name", point.name)) != point.name:
            raise TypeError(f"its `name` is {name!r}, its entry point's '{point.name}'; use one name")
        self._add(entry, origin=point.module)

    def _try(self, name: str, where: str, add: Callable[[], None]) -> None:
        try:
            add()
        except (Exception, SystemExit) as error:  # a plug-in may raise anything when it is imported
            self.broken[name] = (
                f"the plug-in {where} cannot be loaded ({type(error).__name__}: {error}); fix or uninstall it"
            )

    def _check(self, entry: Any) -> None:
        """Raises TypeError for what is not of the base, where a class attribute that its classes of ours declare has no
        value or one of another type, and for a method with a family of networks that is another entry's.
        """
        module, _, name = self.base.partition(":")
        if not isinstance(entry, getattr(importlib.import_module(module), name)):
            raise TypeError(f"{type(entry).__name__} is not a subclass of {module}.{name}")
        ours = next(cls for cls in type(entry).__mro__ if cls.__module__.partition(".")[0] == PACKAGE)
        for key, declared in _declared(ours).items():
            if not hasattr(entry, key):
                raise TypeError(f"{type(entry).__name__} has no `{key}`")
            try:
                declared.validate_python(getattr(entry, key), strict=True)
            except ValidationError as error:
                fault = error.errors()[0]["msg"]
                raise TypeError(f"`{key}` is {getattr(entry, key)!r:.80}: {fault}") from None
        taken = {
            family
            for other in self._entries.values()
            if other.name != entry.name
            for family in getattr(other, "networks", ())
        }
        for family in getattr(entry, "networks", ()):
            if "-" in family or family in taken:
                fault = "has a -" if "-" in family else "is taken"
                raise TypeError(f"the family '{family}' of its networks {fault}")


@cache
def _declared(cls: type[Any]) -> dict[str, TypeAdapter[Any]]:
    """Class attributes that a class and its bases declare with a type."""
    hints = {key: get_args(hint) for key, hint in get_type_hints(cls).items() if hint is not ClassVar}
    return {
        key: TypeAdapter(kind, config=ConfigDict(arbitrary_types_allowed=True))
        for key, (kind,) in hints.items()
    }


METHODS: Registry[Method] = Registry(
    "method",
    homes=("sbnet.methods", "sbnet.segmenters"),
    base="sbnet.methods.base:Method",
    group="sbnet.methods",
)
DATASETS: Registry[Dataset] = Registry(
    "dataset",
    homes=("sbnet.data.datasets",),
    base="sbnet.data.datasets.base:Dataset",
    group="sbnet.datasets",
)
EXPORTS: Registry[Export] = Registry(
    "export format", homes=("sbnet.exports",), base="sbnet.exports.base:Export", group="sbnet.exports"
)


def faults() -> list[str]:
    """What cannot be used, of plug-ins, and why."""
    registries: tuple[Registry[Any], ...] = (METHODS, DATASETS, EXPORTS)
    for one in registries:
        one.names()  # loads them
    broken = [f"{one.what} '{name}': {fault}" for one in registries for name, fault in one.broken.items()]
    return [*broken, *filter(None, (method.fault() for method in METHODS.entries()))]
