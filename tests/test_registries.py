"""Registries: what is wrong with one plug-in is told by its name, and the others keep working."""

from __future__ import annotations

import sys
import types
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from sbnet import registry
from sbnet.config import recipe
from sbnet.config.recipe import load_recipe
from sbnet.errors import SBNetError
from sbnet.methods.base import Method
from sbnet.registry import DATASETS, EXPORTS, METHODS, Registry
from sbnet.settings import Settings


def method(name: str, role: str = "refine") -> type[Method]:
    return type(
        f"Made{name}",
        (Method,),
        {
            **{"name": name, "title": name, "role": role, "about": "", "Settings": Settings},
            "steps": lambda _self, _settings: [],
        },
    )


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Plug-ins, module -> entry points of classes or of text (code that fails), in place of those installed. Gives the
    registry of methods as it is with them.
    """

    def installed(**modules: dict[str, Any]) -> Registry[Method]:
        points = []
        for module, entries in modules.items():
            made = types.ModuleType(module)
            for name, entry in entries.items():
                points.append(EntryPoint(name, f"{module}:{name}", "sbnet.methods"))
                if not isinstance(entry, str):
                    setattr(made, name, entry)
            monkeypatch.setitem(sys.modules, module, made)
        monkeypatch.setattr(
            registry, "entry_points", lambda *, group: points if group == "sbnet.methods" else []
        )
        fresh: Registry[Method] = Registry(
            "method", homes=("sbnet.methods", "sbnet.segmenters"), group="sbnet.methods"
        )
        METHODS.names()
        for entry in METHODS.entries():  # those of ours are registered once, when they are imported
            if METHODS.origin(entry.name).startswith("sbnet."):
                fresh._add(entry, origin=METHODS.origin(entry.name))
        monkeypatch.setattr(recipe, "CHOSEN", {**recipe.CHOSEN, "refine": ("method", fresh)})
        return fresh

    return installed


def ours() -> list[str]:
    return [name for name in METHODS.names() if METHODS.origin(name).startswith("sbnet.")]


def test_a_plug_in_s_method_is_like_ours(install: Any) -> None:
    found = install(mine={"blur": method("blur")})
    assert found.names() == [*ours(), "blur"]
    assert found["blur"].title == "blur"
    assert (found.origin("blur"), found.broken) == ("mine", {})
    loaded = load_recipe("quickstart", ["refine.method=blur"])
    assert (loaded.refine.name, loaded.refine.settings) == ("blur", Settings())


def test_a_plug_in_that_fails_to_import(install: Any) -> None:
    found = install(theirs={"blur": "is not there"}, mine={"sharpen": method("sharpen")})
    assert found.names() == [*ours(), "sharpen"]
    for attempt in (lambda: found["blur"], lambda: load_recipe("quickstart", ["refine.method=blur"])):
        with pytest.raises(SBNetError, match=r"'blur'.*cannot be loaded.*AttributeError.*fix or uninstall"):
            attempt()
    assert load_recipe("quickstart", ["refine.method=sharpen"]).refine.name == "sharpen"


def test_a_plug_in_whose_module_or_constructor_raises(
    install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_plug_in.py").write_text("import no_such_library\n")
    monkeypatch.syspath_prepend(tmp_path)

    def fails(self: Any) -> None:
        raise RuntimeError("no luck")

    bad = method("bad")
    bad.__init__ = fails  # type: ignore[method-assign, assignment]
    found = install(theirs={"bad": bad}, mine={"sharpen": method("sharpen")})
    points = [*registry.entry_points(group="sbnet.methods")]
    points.insert(0, EntryPoint("blur", "broken_plug_in:Blur", "sbnet.methods"))
    monkeypatch.setattr(registry, "entry_points", lambda *, group: points)
    assert found.names() == [*ours(), "sharpen"]
    with pytest.raises(SBNetError, match=r"'blur'.*ModuleNotFoundError.*no_such_library"):
        found["blur"]
    with pytest.raises(SBNetError, match=r"'bad'.*RuntimeError: no luck"):
        found["bad"]


def test_a_plug_in_may_not_take_a_name_of_ours(install: Any) -> None:
    found = install(theirs={"irn": method("irn")}, mine={"sharpen": method("sharpen")})
    assert found.names() == [*ours(), "sharpen"]
    assert found["irn"] is METHODS["irn"]
    (told,) = found.broken.values()
    assert "theirs also registers 'irn', which sbnet.methods.irn already provides" in told


@pytest.mark.parametrize("more", [0, 1])
def test_two_plug_ins_of_one_name_are_both_refused(more: int, install: Any) -> None:
    modules = {f"number{number}": {"blur": method("blur")} for number in range(2 + more)}
    found = install(**modules, mine={"sharpen": method("sharpen")})
    assert found.names() == [*ours(), "sharpen"]
    with pytest.raises(
        SBNetError, match=r"two plug-ins register this name.*number0.*number.*uninstall or rename"
    ):
        found["blur"]


def test_the_same_class_twice_is_one(install: Any) -> None:
    found = install(mine={"blur": method("blur")})
    found.names()
    found._add(found["blur"], origin="mine")
    assert (found.names().count("blur"), found.broken) == (1, {})


class Roleless(Method):
    name = "blur"
    title = "Blur"
    about = ""
    Settings = Settings

    def steps(self, settings: Any) -> list[Any]:
        return []


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        (42, "is not a class"),
        (print, "is not a class"),
        (type("Nameless", (), {}), "no `name`"),
        (Roleless, "Roleless has no `role`"),
        (Method, "abstract"),
    ],
)
def test_what_is_no_method_is_told(entry: object, told: str, install: Any) -> None:
    found = install(theirs={"blur": entry}, mine={"sharpen": method("sharpen")})
    assert found.names() == [*ours(), "sharpen"]
    with pytest.raises(SBNetError, match=f"'blur'.*cannot be loaded.*{told}"):
        found["blur"]


def test_a_method_of_another_role_is_refused(install: Any) -> None:
    install(mine={"paint": method("paint", role="segmenter")})
    with pytest.raises(
        SBNetError, match=r"refine\.method is 'paint', which is a method for `segmenter`.*irn"
    ):
        load_recipe("quickstart", ["refine.method=paint"])


def test_an_unknown_name_is_told_the_nearest(install: Any) -> None:
    found = install(mine={"sharpen": method("sharpen")})
    assert "sharpen" in found
    assert "shapren" not in found
    with pytest.raises(SBNetError, match=r"no method 'shapren' \(did you mean 'sharpen'\?\).*available: "):
        found["shapren"]


def test_what_the_package_brings() -> None:
    assert {"cam", "seam", "sbnet", "cam_files", "affinitynet", "irn", "mask_files", "none"} < set(ours())
    assert {"deeplabv2", "deeplabv3plus", "upernet", "segformer"} < set(ours())
    assert {"voc", "coco", "scenes"} <= set(DATASETS.names())
    assert EXPORTS.names()
    for name in ours():
        entry = METHODS[name]
        assert (entry.name, bool(entry.title and entry.about)) == (name, True)
        assert entry.role in ("seeds", "refine", "segmenter")
