"""Registries: what is wrong with one plug-in is told by its name, and the others keep working."""

from __future__ import annotations

import re
import sys
import types
from functools import partial
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from sbnet import registry
from sbnet.cli import execute
from sbnet.cli.runs import _source
from sbnet.config import recipe
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.base import Dataset, DataSettings
from sbnet.errors import SBNetError
from sbnet.methods.base import Method
from sbnet.pipeline import run
from sbnet.pipeline.graph import recipe_steps
from sbnet.registry import DATASETS, EXPORTS, METHODS, Registry
from sbnet.settings import Settings
from sbnet.steps.spec import MODEL, SCORES, Kind, Measure, StepSpec


def method(name: str, role: str = "refine") -> type[Method]:
    return type(
        f"Made{name}",
        (Method,),
        {
            **{"name": name, "title": name, "role": role, "about": f"what {name} does", "Settings": Settings},
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
            "method", homes=("sbnet.methods",), base="sbnet.methods.base:Method", group="sbnet.methods"
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
        (type("Stranger", (), {"name": "blur"}), "Stranger is not a subclass of .*Method"),
        (Roleless, "Roleless has no `role`"),
        (Method, "abstract"),
    ],
)
def test_what_is_no_method_is_told(entry: object, told: str, install: Any) -> None:
    found = install(theirs={"blur": entry}, mine={"sharpen": method("sharpen")})
    assert found.names() == [*ours(), "sharpen"]
    with pytest.raises(SBNetError, match=f"'blur'.*cannot be loaded.*{told}"):
        found["blur"]


def add(monkeypatch: pytest.MonkeyPatch, to: Registry[Any], entry: type[Any], name: str = "odd") -> None:
    """Add a plug-in's class to a registry for the rest of the test."""
    to.names()
    for part in ("_entries", "_origins", "broken"):
        monkeypatch.setattr(to, part, dict(getattr(to, part)))
    module = types.ModuleType("theirs")
    module.entry = entry  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "theirs", module)
    point = EntryPoint(name, "theirs:entry", to.group)
    to._try(name, "theirs 1", partial(to._take, point))


def step(name: str = "odd", **more: Any) -> StepSpec:
    return StepSpec(name, name, name, **{"run": "theirs:run", "settings": Settings(), **more})


def fails(*_: Any) -> Any:
    raise RuntimeError("no luck")


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"name": "even"}, "'even', its entry point's 'odd'"),
        ({"title": None}, "`title` is None"),
        ({"role": "paint"}, "`role` is 'paint'.*refine"),
        ({"Settings": dict}, "`Settings` is <class 'dict'>.*Settings"),
        ({"figures": ("61 %",)}, "`figures` is"),
        ({"networks": ["oddnet"]}, "`networks` is"),
        ({"networks": {"odd-net": "theirs:Net"}}, "'odd-net' of its networks has a -"),
        ({"steps": fails}, "RuntimeError: no luck"),
        ({"steps": lambda *_: None}, "NoneType"),
        ({"steps": lambda *_: [42]}, "42; expected a StepSpec"),
        ({"steps": lambda *_: [step(writes=("Masks",))]}, "'odd' names 'Masks', which is not a kind"),
        ({"steps": lambda *_: [step(writes=(Kind("Riddles", "riddles"),))]}, "'Riddles'.*available: Scores"),
        ({"steps": lambda *_: [step(reads={"maps": None})]}, "names None"),
        ({"steps": lambda *_: [step(reads=[SCORES])]}, "AttributeError"),
        ({"steps": lambda *_: [step(measures=(Measure("odd", "Odd", "Masks"),))]}, "names 'Masks'"),  # type: ignore[arg-type]
        ({"steps": lambda *_: [step(measures=(Measure("odd", "Odd", SCORES),))]}, "does not write it"),
        ({"steps": lambda *_: [step(settings={})]}, "settings of step 'odd' are {}"),
        ({"steps": lambda *_: [step("data")]}, "cannot be named 'data'"),
        ({"steps": lambda *_: [step(None)]}, "TypeError"),  # type: ignore[arg-type]
    ],
)
def test_every_fault_of_a_method_is_told_by_its_name(
    wrong: dict[str, Any], told: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Where methods and verbs are listed, and where it is chosen; the others keep their verbs."""
    entry = method("odd")
    for key, value in wrong.items():
        setattr(entry, key, value)
    add(monkeypatch, METHODS, entry)
    fault = f"method 'odd'.*{told}"
    for verb in ("methods", "--help"):
        assert execute([verb]) == 0
        printed = " ".join(capsys.readouterr().out.split())
        assert re.search(f"plug-ins that cannot be used: {fault}", printed, re.IGNORECASE)
        assert "train-cam" in printed or "affinitynet" in printed
        assert "what odd does" not in printed
    with pytest.raises(SBNetError, match=fault):
        recipe_steps(load_recipe("quickstart", ["refine.method=odd"]))


def test_a_data_set_that_fails_to_recognize_a_folder_leaves_it_to_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    entry = type(
        "Odd",
        (Dataset,),
        {
            **{"name": "odd", "title": "Odd", "Settings": DataSettings, "recognizes": fails},
            "open": lambda *_, **__: None,
        },
    )
    add(monkeypatch, DATASETS, entry)
    monkeypatch.setattr(DATASETS, "_entries", {"odd": DATASETS["odd"], **DATASETS._entries})
    assert _source(tmp_path) == "voc"
    assert all(words in caplog.text for words in ("dataset 'odd' (theirs)", "RuntimeError: no luck"))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"run": "theirs:nothing"}, "theirs:nothing cannot be loaded.*AttributeError"),
        ({"run": "no_such_module:run"}, "ModuleNotFoundError: No module named 'no_such_module'"),
        ({"run": "theirs"}, "cannot be loaded"),
        ({"run": "theirs:__name__"}, "not a function"),
        ({"variants": "no_such_module:variants"}, "no_such_module:variants cannot be loaded"),
        ({"trains": "oddnet"}, "the network 'oddnet' cannot be loaded.*no_such_module"),
    ],
)
def test_code_that_cannot_be_loaded_is_told_before_anything_runs(
    wrong: dict[str, str], told: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    entry: Any = method("odd", role="segmenter")
    entry.networks = {"oddnet": "no_such_module:Net"}
    entry.steps = lambda *_: [step(**{"run": "builtins:print", "writes": (MODEL,), **wrong})]
    add(monkeypatch, METHODS, entry)
    loaded = load_recipe("quickstart", ["segmenter.method=odd", "backbone.weights=none"])
    with pytest.raises(SBNetError, match=rf"method 'odd' \(theirs\), step 'odd'.*{told}"):
        run(loaded, tmp_path / "run")
    assert not (tmp_path / "run").exists()


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
