"""`recipes`, `methods`, `models`, `checks`, `bench`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, ClassVar

import pytest

from sbnet import bench
from sbnet.backbones.settings import BACKBONES
from sbnet.cli import execute
from sbnet.errors import SBNetError
from sbnet.methods.base import Figure, Method
from sbnet.registry import METHODS, Registry
from sbnet.settings import Settings


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Registry[Method]:
    """One method of ours, one of a plug-in's, a broken plug-in."""
    registry: Registry[Method] = Registry(
        "method", homes=(), base="sbnet.methods.base:Method", group="sbnet.tests.none"
    )
    monkeypatch.setattr("sbnet.registry.METHODS", registry)
    registry._add(method("own", networks={"own": "m:c"}), origin="sbnet.methods.own")
    registry._add(method("guest", paper="", figures=()), origin="guest.sbnet")
    registry.broken["odd"] = "the plug-in cannot be loaded; uninstall it"
    return registry


def method(label: str, **more: Any) -> Method:
    class Some(Method):
        name = label
        title = label.title()
        role = "refine"
        about = f"what {label} does"
        paper = "A & B, CVPR 2030"
        figures = (Figure("pseudo masks", "VOC 2012 train", 61.04),)
        Settings: ClassVar = Settings

        def steps(self, settings: Any) -> list[Any]:
            return []

    for key, value in more.items():
        setattr(Some, key, value)
    return Some()


def test_methods_with_papers_figures_and_plug_ins(
    registry: Registry[Method], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["methods"]) == 0
    own, guest = capsys.readouterr().out.split("refine:")[1].split("  guest ")
    for part in ("Own: what own does", "A & B, CVPR 2030", "61.0 (pseudo masks, VOC 2012 train)"):
        assert part in own
    assert "plug-in" not in own
    assert "plug-in: guest.sbnet" in guest
    assert "method 'odd': the plug-in cannot be loaded; uninstall it" in guest


def test_models_are_of_the_methods_and_backbones(
    registry: Registry[Method], capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute(["models"]) == 0
    printed = capsys.readouterr().out
    for part in ("own-lite0", "refine.method=own", "Own: what own does", *BACKBONES):
        assert part in printed
    assert "guest" not in printed


def test_all_methods_of_the_package_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["methods"]) == 0
    printed = capsys.readouterr().out
    assert all(f"  {one.name} " in printed and one.paper in printed for one in METHODS.entries())


def test_help_lists_and_typing_mistakes_load_neither_torch_nor_numpy(tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: quickstart\nseeds:\n  method: seem\n")
    code = (
        "import sys\n"
        "from sbnet.cli import execute\n"
        "for status, line in (\n"
        "    (0, '--help'), (0, '--version'), (0, 'run --help'), (0, 'train-cam --help'), (0, 'export --help'),\n"
        "    (0, 'bench --help'), (0, 'recipes'), (0, 'recipes voc12-lite'), (0, 'methods'), (0, 'models'),\n"
        "    (2, 'rum'), (2, 'run nosuch'), (2, 'run quickstart seeds.train.epoch=3'), (2, 'run MINE'),\n"
        "    (2, 'run quickstart refine.method=sbnet'), (2, 'run quickstart crf.iterations=many'),\n"
        "    (2, 'run voc12-lite --data nowhere'), (2, 'export nowhere --to png --out out'),\n"
        "    (2, 'export . --to pgn --out out'), (2, 'train-cam nowhere'),\n"
        "):\n"
        "    assert execute(line.replace('MINE', sys.argv[1]).split()) == status, line\n"
        "    assert not {'torch', 'numpy'} & sys.modules.keys(), line\n"
    )
    subprocess.run([sys.executable, "-c", code, str(mine)], check=True, capture_output=True)


@pytest.mark.parametrize("line", ["--version", "run --help", "recipes", "export --help"])
def test_no_plug_in_is_loaded_where_no_method_is_needed(line: str) -> None:
    code = (
        "import sys\n"
        "from sbnet.cli import execute\n"
        "from sbnet.registry import EXPORTS, METHODS\n"
        "assert execute(sys.argv[1].split()) == 0\n"
        "assert not METHODS._loaded\n"
        "assert EXPORTS._loaded == sys.argv[1].startswith('export')\n"
    )
    subprocess.run([sys.executable, "-c", code, line], check=True, capture_output=True)


@pytest.mark.parametrize(
    ("verb", "title"),
    [
        ("train-cam", "Train the plain CAM network (cam, "),
        ("train-affinity", "Train AffinityNet (affinitynet, "),
    ],
)
def test_a_shared_step_s_verb_names_its_methods(
    verb: str, title: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert execute([verb, "--help"]) == 0
    assert title in capsys.readouterr().out


def test_checks_say_why_something_is_broken(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> bool:
        raise RuntimeError("driver too old")

    monkeypatch.setattr("torch.cuda.is_available", broken)
    assert execute(["checks"]) == 0
    told = dict(line.split(None, 1) for line in capsys.readouterr().out.splitlines())
    assert told["device"] == "failed: driver too old"
    assert told["torch"][0].isdigit()
    assert {"cores", "memory", "compiled"} <= told.keys()


def test_benchmarks_are_found_with_what_they_compare(capsys: pytest.CaptureFixture[str]) -> None:
    known = bench.benchmarks()
    assert {"crf", "evaluation"} <= known.keys()
    assert not {"harness", "worker", "curves"} & known.keys()
    assert all(" " in what and "python" not in what for what in known.values())
    assert execute(["bench", "--help"]) == 0
    assert known["crf"] in capsys.readouterr().out
    with pytest.raises(SBNetError, match=r"'cfr' \(did you mean 'crf'\?\)"):
        next(bench.run_benchmarks(["cfr"]))
