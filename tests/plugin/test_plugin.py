"""A plug-in, installed as a package of its own, takes part in everything; no file of `src/` knows of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import processes

HERE = Path(__file__).parent
SMALL = [
    "runtime.workers=0",
    "seeds.train.epochs=2",
    "seeds.train.batch=2",
    "seeds.train.crop=64",
    "seeds.train.checkpoint_every=1",
    "segmenter.epochs=1",
    "segmenter.batch=2",
    "segmenter.crop=64",
    "segmenter.scales=1",
]
RECIPE = """\
name: toy
about: a test
data:
  source: toy_squares
backbone:
  name: timm:test_efficientnet
  weights: none
  stride: 16
  freeze: 0
seeds:
  method: toy_cam
refine:
  method: toy_blur
segmenter:
  method: toydecoder
  weights: none
"""
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for PYTHONPATH that pip has installed the plug-in into."""
    target = tmp_path_factory.mktemp("installed")
    pip = ["-m", "pip", "install", "-q", "--no-deps", "--no-build-isolation", "--target", str(target)]
    source = tmp_path_factory.mktemp("source") / "plugin"
    source.mkdir()
    for part in ("pyproject.toml", "README.md"):
        (source / part).write_bytes((HERE / part).read_bytes())
    (source / "src").symlink_to(HERE / "src")
    subprocess.run([sys.executable, *pip, str(source)], check=True, cwd=source)
    return target


@pytest.fixture(scope="session")
def path(installed: Path) -> str:
    """PYTHONPATH with the plug-in."""
    return os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))


@pytest.fixture(scope="session")
def command(path: str) -> Command:
    """Runs `sbnet` with the plug-in installed."""
    return partial(processes.command, **{"PYTHONPATH": path, "COLUMNS": "200"})


CONTRACTS = """
import sys
from pathlib import Path
from sbnet.registry import DATASETS, EXPORTS, METHODS
from sbnet.testing import check_dataset, check_export, check_job, check_method, check_objective

for name in ("toy_cam", "toy_blur", "toydecoder", "toy_single"):
    check_method(METHODS[name])
squares = DATASETS["toy_squares"]
check_dataset(squares, squares.Settings(root=sys.argv[1]), work=Path(sys.argv[2]))
check_export(EXPORTS["toy_text"], out=Path(sys.argv[2]) / "out")

import torch
from sbnet.backbones.settings import BackboneSettings
from sbnet.engine.runtime import Runtime
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.steps.context import Context
from sbnet_toy.cam import InferToy, TrainToy
from sbnet_toy.maps import ToyMaps
from sbnet_toy.training import Teacher

network, folder = build("toycam-timm:test_efficientnet", 3, weights="none"), Path(sys.argv[2])
batch = {"image": torch.randn(2, 3, 64, 64), "labels": torch.eye(2)}
check_objective(lambda: Teacher(TrainToy()), network, batch)
save_model(network, folder / "model.safetensors", meta={})
train, val = squares.open(squares.Settings(root=sys.argv[1]), work=folder)
inputs = {"network": folder / "model.safetensors"}
context = Context(folder, inputs, train, val, BackboneSettings(), Runtime(device="cpu"))
check_job(ToyMaps(InferToy(), context), train.photos[0])
"""


def test_it_keeps_the_contracts(path: str, data: Path, tmp_path: Path) -> None:
    ended = processes.python(CONTRACTS, data, tmp_path, PYTHONPATH=path)
    assert ended.returncode == 0, ended.stderr


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squares of two colors on grey, in folders by class, with their masks."""
    root, random = tmp_path_factory.mktemp("squares"), np.random.default_rng(0)
    for index, (name, color) in enumerate({"red": (220, 30, 30), "blue": (30, 30, 220)}.items(), start=1):
        (root / name).mkdir()
        for number in range(6):
            pixels = np.full((64, 64, 3), 128, np.uint8) + random.integers(0, 30, (64, 64, 3), np.uint8)
            mask = np.zeros((64, 64), np.uint8)
            top, left = random.integers(4, 30, 2)
            pixels[top : top + 28, left : left + 28] = color
            mask[top : top + 28, left : left + 28] = index
            Image.fromarray(pixels).save(root / name / f"{name}{number}.png")
            Image.fromarray(mask).save(root / name / f"{name}{number}.mask.png")
    return root


@pytest.fixture(scope="session")
def finished(command: Command, data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was killed in its training, resumed, and ended."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "toy.yaml").write_text(RECIPE)
    arguments = ["run", folder / "toy.yaml", "--data", data, "--out", folder / "run", *SMALL]
    killed = command(*arguments, SBNET_TOY_KILL_AT_STEP="2")
    assert killed.returncode < 0, killed.stderr
    assert (folder / "run" / "train_toy" / "checkpoint.pt").is_file()
    done = command(*arguments)
    assert done.returncode == 0, done.stderr
    assert "train_toy" in done.stdout
    assert "resuming" in done.stdout
    return folder / "run"


def test_it_trains_is_killed_and_resumes_to_the_same_weights(
    command: Command, data: Path, finished: Path, tmp_path: Path
) -> None:
    """The objective's memory, the teacher, is in the checkpoint."""
    whole = command(
        "run",
        finished.parent / "toy.yaml",
        "--data",
        data,
        "--out",
        tmp_path / "run",
        *SMALL,
        "--to",
        "train_toy",
    )
    assert whole.returncode == 0, whole.stderr
    weights = [run / "train_toy" / "model.safetensors" for run in (finished, tmp_path / "run")]
    first, second = (_tensors(path) for path in weights)
    assert first == second


def _tensors(path: Path) -> dict[str, bytes]:
    """The header of a model file holds the recipe, and that the run's folder: only the tensors must be equal."""
    from safetensors.numpy import load_file

    return {name: array.tobytes() for name, array in load_file(path).items()}


def test_it_is_measured(finished: Path) -> None:
    metrics = json.loads((finished / "metrics.json").read_text())
    assert set(metrics) == {"toy_cam", "toy_blur", "segmenter", "segmenter_crf"}
    assert all(0 <= facts["miou"] <= 1 for facts in metrics.values())


def test_it_is_in_the_report(finished: Path) -> None:
    page = (finished / "report.html").read_text()
    assert all(words in page for words in ("Toy CAM", "Toy map", "Toy blur", "Train the toy network"))


def test_steps_that_nobody_needs_are_left_out(finished: Path) -> None:
    """The blur reads the maps: no CRF stands between."""
    steps = {path.parent.name for path in finished.glob("*/done.json")}
    assert steps == {"train_toy", "toy_maps", "toy_blur", "train_segmenter", "predict"}


def test_it_is_listed_and_has_verbs(command: Command, path: str, finished: Path) -> None:
    line = [sys.executable, "-m", "sbnet.cli", "methods"]  # found at a start like any other
    listed = subprocess.run(
        line, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    ).stdout
    assert all(
        name in listed for name in ("toy_cam", "toy_blur", "toydecoder", "nobody, nowhere", "sbnet_toy")
    )
    shown = command("--help").stdout
    assert "train-toy" in shown
    assert "toy-blur" in shown
    assert command("toy-blur", finished, "refine.width=1").returncode == 0


def test_its_settings_are_checked_and_shown(command: Command, finished: Path) -> None:
    wrong = command("run", finished, "seeds.train.agrement=1")
    assert wrong.returncode == 2
    assert all(words in wrong.stderr for words in ("seeds.train", "agrement", "did you mean 'agreement'"))
    shown = command("recipes", finished.parent / "toy.yaml").stdout
    assert "Weight of the term that keeps the scores near the teacher's." in shown


def test_it_is_swept(command: Command, finished: Path) -> None:
    swept = command("sweep", finished, "refine.background=0.2,0.4")
    assert swept.returncode == 0, swept.stderr
    assert "refine.background" in swept.stdout


def test_its_masks_are_exported_and_its_segmenter_predicts(
    command: Command, data: Path, finished: Path, tmp_path: Path
) -> None:
    exported = command("export", finished, "--to", "toy_text", "--out", tmp_path / "text")
    assert exported.returncode == 0, exported.stderr
    assert len((tmp_path / "text" / "counts.txt").read_text().splitlines()) == 4
    predicted = command(
        "predict", data / "red" / "red0.png", "--model", finished, "--out", tmp_path / "masks"
    )
    assert predicted.returncode == 0, predicted.stderr
    assert (tmp_path / "masks" / "red0.png").is_file()


SINGLE = """
import sys
import sbnet

recipe, data, out = sys.argv[1:]
quick = ["epochs=1", "batch=2", "crop=64", "long_side=64,80"]
words = [f"data.root={data}", "runtime.workers=0", *(f"segmenter.{word}" for word in ("method=toy_single", *quick))]
result = sbnet.run(recipe, out, [*words, "backbone.weights=none"])
assert sorted(path.parent.name for path in result.folder.glob("*/done.json")) == ["predict", "train_single"]
assert result.segmenter().predict(f"{data}/red/red0.png").masks[0].shape == (64, 64)
"""


def test_a_one_stage_method_s_segmenter_is_found(
    installed: Path, data: Path, finished: Path, tmp_path: Path
) -> None:
    """Its training step has a name of its own, its network no base of ours but `Network`."""
    path = os.pathsep.join(filter(None, [str(installed), os.environ.get("PYTHONPATH")]))
    recipe = tmp_path / "single.yaml"
    recipe.write_text(RECIPE.partition("segmenter:")[0])
    line = [sys.executable, "-c", SINGLE, *map(str, (recipe, data, tmp_path / "run"))]
    subprocess.run(line, env={**os.environ, "PYTHONPATH": path}, check=True)


def test_the_house_does_not_know_it() -> None:
    sources = (HERE.parents[1] / "src").rglob("*.py")
    assert not [path for path in sources if "toy" in path.read_text(encoding="utf-8")]


def test_a_broken_one_is_reported_by_its_name_and_spoils_nothing(command: Command, tmp_path: Path) -> None:
    """One that fails to import, one whose data set fails; `tests/test_registries.py` has every kind of fault."""
    (tmp_path / "breaks.py").write_text("raise RuntimeError('not today')\n")
    about = tmp_path / "breaks-1.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: breaks\nVersion: 1\n")
    groups = ("methods", "datasets", "exports")
    (about / "entry_points.txt").write_text(
        "".join(f"[sbnet.{group}]\nbroken_{group} = breaks:Thing\n" for group in groups)
    )
    path = str(tmp_path) + os.pathsep + os.environ.get("PYTHONPATH", "")
    for verb in ("methods", "--help"):
        listed = command(verb, PYTHONPATH=path)
        assert listed.returncode == 0, listed.stderr
        for what in (
            "method 'broken_methods'",
            "dataset 'broken_datasets'",
            "export format 'broken_exports'",
        ):
            assert f"{what}: the plug-in breaks 1 cannot be loaded (RuntimeError: not today)" in listed.stdout
    chosen = command(
        "run", "quickstart", "refine.method=broken_methods", "--out", tmp_path / "run", PYTHONPATH=path
    )
    assert chosen.returncode == 2
    assert all(words in chosen.stderr for words in ("method 'broken_methods'", "not today"))
