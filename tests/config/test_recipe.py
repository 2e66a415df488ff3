from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
from hypothesis import given
from hypothesis import strategies as st
from sbnet.config.convert import plain

from sbnet import models, ops
from sbnet.backbones import resnet38, resnet101
from sbnet.config import FOLDER, names
from sbnet.config.comments import heading
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.data.training import transforms
from sbnet.engine import optimizer
from sbnet.errors import SBNetError
from sbnet.methods.irn import network as irn_network
from sbnet.segmenters import deeplab
from sbnet.steps import train_segmenter
from sbnet.steps.evaluate import equal_score

DATA = "data.root=somewhere"
DOCS = Path(__file__).parents[2] / "docs"


def refusal(name: str | Path, *overrides: str) -> str:
    with pytest.raises(SBNetError) as error:
        load_recipe(name, overrides)
    return str(error.value)


@pytest.fixture
def recipe_file(tmp_path: Path) -> Path:
    return tmp_path / "mine.yaml"


@pytest.mark.parametrize("name", names())
def test_packaged_recipes_load_and_come_back_from_their_file(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, [DATA, "train_cam.learning_rate=0.0123"])
    assert recipe.name == name
    assert recipe.about
    recipe.write(tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe
    assert load_recipe(tmp_path) == recipe


# Every number that the papers and their code give; a recipe may add to them, and a base may not change them unseen.
PAPER: dict[str, dict[str, object]] = {
    "voc12-resnet38": {
        "data": {"source": "voc", "train": "train", "val": "val"},
        "model": {"backbone": "resnet38", "stride": 8, "freeze": 1},
        "bootstrap": {"method": "seam", "epochs": 8, "batch": 8, "learning_rate": 0.01, "momentum": 0.9},
        "train_cam": {
            **{"method": "sbnet", "epochs": 8, "batch": 8, "accumulate": 1, "learning_rate": 0.01},
            **{"momentum": 0.9, "weight_decay": 5e-4, "crop": 448, "long_side": (448, 768), "shrink": 0.3},
            **{
                "jitter": True,
                "boundary_weight": 0.01,
                "smoothness_weight": 1,
                "warmup": 0,
                "boundaries": "",
            },
        },
        "infer_cam": {"scales": (0.5, 1, 1.5, 2), "mirror": True, "map": "auto"},
        "refine": {
            **{"low_alpha": 4, "high_alpha": 32, "score_power": 1},
            **{"iterations": 10, "gaussian": (3, 3), "bilateral": (80, 13, 10)},
        },
        "train_affinity": {
            **{"method": "affinitynet", "start": "imagenet", "epochs": 8, "batch": 8, "learning_rate": 0.01},
            **{"momentum": 0.9, "weight_decay": 5e-4, "crop": 448, "long_side": (500, 500)},
        },
        "random_walk": {
            **{"background_alpha": 16, "score_power": 1, "sharpness": 8, "steps": 2**6},
            **{"scale": 1, "crf": False},
        },
        "train_segmenter": {
            **{"backbone": "resnet101", "head": "pyramid", "freeze": 0, "labels": "pseudo"},
            **{"scales": (1, 0.75, 0.5)},
            **{"batch": 5, "accumulate": 2, "learning_rate": 2.5e-4, "momentum": 0.9, "weight_decay": 5e-4},
            **{"crop": 321, "scale": (0.5, 1.5)},
        },
        "predict": {
            **{"crf": True, "scales": (1,), "mirror": False},
            **{"iterations": 10, "gaussian": (1, 3), "bilateral": (67, 3, 4)},
        },
    },
    "voc12-resnet38-seam": {
        "model": {"backbone": "resnet38", "stride": 8, "freeze": 1},
        "train_cam": {
            **{"method": "seam", "epochs": 8, "batch": 8, "learning_rate": 0.01, "momentum": 0.9},
            **{"weight_decay": 5e-4, "crop": 448, "long_side": (448, 768), "shrink": 0.3, "warmup": 0},
        },
        "infer_cam": {"scales": (0.5, 1, 1.5, 2), "mirror": True},
        "refine": {
            **{"low_alpha": 4, "high_alpha": 24, "iterations": 10},
            **{"gaussian": (3, 3), "bilateral": (80, 13, 10)},
        },
        "train_affinity": {
            "epochs": 8,
            "batch": 8,
            "learning_rate": 0.01,
            "crop": 448,
            "long_side": (500, 500),
        },
        "random_walk": {"background_alpha": 6, "sharpness": 8, "steps": 2**6},
        "train_segmenter": {
            **{"backbone": "resnet38", "head": "large_fov", "freeze": 0, "scales": (1,)},
            **{"batch": 10, "accumulate": 1},
            **{"learning_rate": 1e-3, "weight_decay": 5e-4, "crop": 448, "scale": (0.5, 1.5)},
        },
        "predict": {
            **{"crf": True, "scales": (0.5, 0.75, 1, 1.25, 1.5, 1.75), "mirror": True},
            **{"iterations": 1, "gaussian": (3, 3), "bilateral": (80, 13, 10)},
        },
    },
    "voc12-resnet38-psa": {
        "model": {"backbone": "resnet38", "stride": 8, "freeze": 1},
        "train_cam": {
            **{"method": "cam", "epochs": 15, "batch": 16, "learning_rate": 0.1, "momentum": 0},
            **{"weight_decay": 5e-4, "crop": 448, "long_side": (256, 512)},
        },
        "infer_cam": {"scales": (0.5, 1, 1.5, 2), "mirror": True},
        "refine": {
            **{"low_alpha": 4, "high_alpha": 32, "iterations": 10},
            **{"gaussian": (3, 3), "bilateral": (80, 13, 10)},
        },
        "train_affinity": {
            **{"epochs": 8, "batch": 8, "learning_rate": 0.1, "momentum": 0},
            **{"weight_decay": 5e-4, "crop": 256, "long_side": (500, 500)},
        },
        "random_walk": {"background_alpha": 16, "sharpness": 8, "steps": 2**8},
    },
    "voc12-resnet50-irn": {
        "data": {"source": "voc", "train": "train", "val": "val"},
        "model": {"backbone": "timm:resnet50.tv_in1k", "stride": 16, "freeze": 3, "dilate": False},
        "train_cam": {
            **{"method": "cam", "epochs": 5, "batch": 16, "accumulate": 1, "learning_rate": 0.1},
            **{"momentum": 0, "weight_decay": 1e-4, "crop": 512, "long_side": (320, 640), "jitter": False},
        },
        "infer_cam": {"scales": (0.5, 1, 1.5, 2), "mirror": True},
        "refine": {"score_power": 1, "iterations": 10, "gaussian": (3, 3), "bilateral": (50, 5, 10)},
        "train_affinity": {
            **{"method": "irn", "start": "imagenet", "epochs": 3, "batch": 32, "accumulate": 1},
            **{"learning_rate": 0.1, "momentum": 0, "weight_decay": 1e-4},
            **{"crop": 512, "long_side": (250, 750), "jitter": False},
        },
        "random_walk": {
            **{"background_score": 0.25, "score_power": 1, "sharpness": 10, "steps": 2**8},
            **{"scale": 1, "crf": False},
        },
        "train_segmenter": {
            **{"backbone": "timm:resnet50.tv_in1k", "head": "pyramid", "freeze": 0, "labels": "pseudo"},
            **{"scales": (1, 0.75, 0.5), "batch": 10, "accumulate": 1, "learning_rate": 2.5e-4},
            **{"momentum": 0.9, "weight_decay": 5e-4, "crop": 321, "scale": (0.5, 1.5)},
        },
        "predict": {
            **{"crf": True, "scales": (1,), "mirror": False},
            **{"iterations": 10, "gaussian": (1, 3), "bilateral": (67, 3, 4)},
        },
    },
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_numbers(name: str) -> None:
    recipe = plain(load_recipe(name, [DATA]))
    for section, expected in PAPER[name].items():
        assert isinstance(expected, dict)
        there = {key: recipe[section][key] for key in expected}
        assert there == plain_of(expected), section


@pytest.mark.parametrize("name", ["voc12-resnet38", "voc12-resnet38-seam", "voc12-resnet50-irn"])
def test_the_segmenter_takes_20_000_steps_of_10_photos_on_train_aug(name: str) -> None:
    settings = load_recipe(name, [DATA]).train_segmenter
    steps = settings.epochs * (10_582 // settings.batch) // settings.accumulate
    assert settings.batch * settings.accumulate == 10
    assert steps == pytest.approx(20_000, rel=0.01)


def plain_of(values: dict[str, object]) -> dict[str, object]:
    """As `plain` has them: tuples are lists."""
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


@pytest.mark.parametrize("name", PAPER)
def test_reference_is_off_and_changes_momentum_canny_and_absent_classes_alone(name: str) -> None:
    plainly, recipe = load_recipe(name, [DATA]), load_recipe(name, [DATA, "reference=true"])
    assert (plainly.reference, plainly.absent, recipe.absent) == (False, "nan", "zero")
    assert plainly.with_quirks() == plainly
    quirky = recipe.with_quirks()
    for section in ("bootstrap", "train_cam", "train_affinity"):
        before, after = getattr(recipe, section), getattr(quirky, section)
        assert (
            after.momentum
            == before.weight_decay
            == (1e-4 if "irn" in name and section != "bootstrap" else 5e-4)
        )
        canny = {"canny": "normalized"} if section != "train_affinity" else {}
        assert after == dataclasses.replace(before, momentum=before.weight_decay, **canny)
    sections = {key: getattr(recipe, key) for key in ("bootstrap", "train_cam", "train_affinity")}
    assert dataclasses.replace(quirky, **sections) == recipe


def test_irn_s_labels_and_backbone() -> None:
    recipe = load_recipe("voc12-resnet50-irn", [DATA])
    refine = recipe.refine
    assert equal_score(refine.low_alpha) == pytest.approx(0.30, abs=0.005)
    assert equal_score(refine.high_alpha) == pytest.approx(0.05, abs=0.005)
    assert timm.is_model(recipe.model.backbone.removeprefix("timm:"))


def test_the_commands_that_reproduce_the_papers_are_such_recipes() -> None:
    page = (DOCS / "reproducing.md").read_text(encoding="utf-8").replace("\\\n", "")
    commands = [line.split()[2:] for line in page.splitlines() if line.startswith("sbnet run ")]
    assert {name for name, *_ in commands} == {*PAPER}
    for name, *words in commands:
        recipe = load_recipe(name, [DATA, *(word for word in words if "=" in word)])
        assert (recipe.data.labels, recipe.reference) == ("xml", False)
        assert recipe.data.train in ("train_aug", "val")


def default(of: Callable[..., object], name: str) -> Any:
    return inspect.signature(of).parameters[name].default


def test_the_numbers_without_a_setting_are_the_code_s() -> None:
    """Those of the table of docs/recipes.md: each row's second cell holds these numbers in this order."""
    rgb, bgr = resnet38.ResNet38.normalization, resnet101.ResNet101.normalization
    assert (rgb.bgr, bgr.bgr, bgr.std, bgr.scale) == (False, True, (1, 1, 1), 1)
    assert optimizer.DECAYED == (True, False, True, False)
    plan = optimizer.Plan(1, 1, 1, 0.1, 0.9, 0.0)
    assert plan.hold == 1
    radius = default(models.AffinityNetwork, "radius")
    assert default(ops.random_walk, "radius") == radius
    spread = float(deeplab.AtrousPyramid(512, 21, deeplab.RATES).c0.weight.detach().std())
    fov = deeplab.LargeFieldOfView(8, 21)
    expected = {
        "colour jitter": transforms.JITTER,
        "mirror image": [default(transforms.TrainTransform, "mirror")],
        "learning rates": plan.multipliers,
        "decay of the learning rate": [default(optimizer.Plan, "power")],
        "renewal of the learning rate": [train_segmenter.RATE_HELD],
        "mean and deviation of the photos": [*rgb.mean, *rgb.std, 1 / rgb.scale],
        "mean of the photos in BGR": bgr.mean,
        "Canny edges": [default(ops.canny, "low"), default(ops.canny, "high")],
        "AffinityNet": [radius, resnet38.ResNet38.strides[resnet38.ResNet38.middle[0]]],
        "IRN": [default(models.IrnNetwork, "radius"), default(ops.boundary_walk, "radius"), irn_network.GRID],
        "DeepLab v2's pyramid": [*deeplab.RATES, pytest.approx(spread, rel=0.02)],
        "DeepLab v1's head": [fov[0].dilation[0], fov[0].out_channels, fov[6].p],
    }
    page = (DOCS / "recipes.md").read_text(encoding="utf-8")
    table = page.partition("### Numbers without a setting")[2].partition("\n| ")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    found = {
        title: [float(number) for number in re.findall(r"\d+(?:\.\d+)?", cell)] for title, cell, *_ in rows
    }
    assert found == {title: list(numbers) for title, numbers in expected.items()}
    for name in PAPER:
        assert "docs/recipes.md" in "".join(heading((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))


def test_irn_differs_from_its_base_in_the_refinement_alone() -> None:
    base, recipe = (load_recipe(name, [DATA]) for name in ("voc12-lite", "voc12-lite-irn"))
    assert recipe.train_affinity.method == "irn"
    same = {"train_affinity": base.train_affinity, "random_walk": base.random_walk}
    assert dataclasses.replace(recipe, name=base.name, about=base.about, **same) == base


@given(epochs=st.integers(1, 10**6), rate=st.floats(1e-9, 1e3), text=st.text(st.characters(codec="utf-8")))
def test_any_values_survive_the_file(
    tmp_path_factory: pytest.TempPathFactory, epochs: int, rate: float, text: str
) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    overrides = {"train_cam.epochs": epochs, "refine.mask_alpha": rate, "about": text}
    recipe = load_recipe("quickstart", overrides)
    recipe.write(path)
    assert load_recipe(path) == recipe


def test_overrides_as_strings_and_as_values_agree() -> None:
    strings = load_recipe("quickstart", ["infer_cam.scales=1,2", "predict.crf=no"])
    assert strings == load_recipe("quickstart", {"infer_cam.scales": [1, 2], "predict.crf": False})
    assert strings.infer_cam.scales == (1.0, 2.0)
    nested = load_recipe("quickstart", {"infer_cam": {"scales": [1, 2]}, "predict": {"crf": False}})
    assert nested == strings


def test_a_base_gives_what_the_file_leaves_out(recipe_file: Path) -> None:
    recipe_file.write_text("base: quickstart\ntrain_cam:\n  epochs: 99\n")
    base, recipe = load_recipe("quickstart"), load_recipe(recipe_file)
    assert (recipe.name, recipe.about) == ("mine", "")
    assert recipe.train_cam.epochs == 99
    assert recipe.train_cam.crop == base.train_cam.crop
    assert recipe.infer_cam == base.infer_cam
    (recipe_file.parent / "second.yaml").write_text("base: mine.yaml\ntrain_cam: {crop: 96}\n")
    second = load_recipe(recipe_file.parent / "second.yaml")
    assert (second.train_cam.epochs, second.train_cam.crop) == (99, 96)


def test_a_recipe_without_base_starts_from_the_defaults(recipe_file: Path) -> None:
    recipe_file.write_text("bootstrap: {epochs: 3}\n")
    recipe = load_recipe(recipe_file)
    assert recipe.bootstrap.method == "seam"
    assert recipe.train_cam == Recipe("x").train_cam


def test_the_bootstrap_s_crf_is_as_the_file_has_the_other_s(recipe_file: Path) -> None:
    recipe_file.write_text("refine: {low_alpha: 3, high_alpha: 30}\nbootstrap_refine: {high_alpha: 40}\n")
    recipe = load_recipe(recipe_file, ["refine.low_alpha=5"])
    assert recipe.bootstrap_refine == dataclasses.replace(recipe.refine, low_alpha=3, high_alpha=40)
    recipe.write(recipe_file)
    assert load_recipe(recipe_file) == recipe
    recipe_file.write_text("name: an older run\nrefine: {low_alpha: 3}\n")
    assert load_recipe(recipe_file).bootstrap_refine == load_recipe(recipe_file).refine


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("train_cam:\n  epoch: 3\n", "line 2: 'train_cam' has no setting 'epoch' (did you mean 'epochs'?)"),
        ("train_cam:\n  epochs: three\n", "line 2: train_cam.epochs is 'three'; expected a whole number"),
        ("trian_cam:\n  epochs: 3\n", "line 1: there is no setting 'trian_cam' (did you mean 'train_cam'?)"),
        ("\ntrain_cam: 3\n", "line 2: train_cam is 3; expected settings such as 'method'"),
        ("train_cam:\n  epochs: 3\n  epochs: 4\n", "line 3: 'train_cam.epochs' stands here twice; keep one"),
        ("train_cam:\n  method: sbent\n", "line 2: train_cam.method: 'sbent' is not one of cam, seam, sbnet"),
        ("runtime:\n  device: gpu\n", "line 2: runtime.device: 'gpu' is not one of auto, cpu, cuda"),
        ("model:\n\n  stride: 4\n", "line 3: model.stride is 4; expected one of 8, 16"),
        ("refine: {low_alpha: 0}\n", "line 1: refine.low_alpha is 0.0; expected more than 0"),
        ("refine: {iterations: x}\n", "line 1: refine.iterations is 'x'; expected a whole number"),
        ("bootstrap_refine: {mask_alpha: 0}\n", "line 1: bootstrap_refine.mask_alpha is 0.0; expected more"),
        (
            "bootstrap: {momentum: 1}\n",
            "line 1: bootstrap.momentum is 1.0; expected 0 or more and less than 1",
        ),
        ("train_cam: {shrink: 0}\n", "line 1: train_cam.shrink is 0.0; expected more than 0, at most 1"),
        (
            "bootstrap: {shrink: 0.004, crop: 200}\n",
            "line 1: bootstrap.shrink is 0.004; expected more than 0, at most 1, and of the crop's 200 pixels one",
        ),
        (
            "runtime: {seed: 9223372036854775808}\n",
            "line 1: runtime.seed is 9223372036854775808; expected 0 or more",
        ),
        ("data: {scenes: {seed: -1}}\n", "line 1: data.scenes.seed is -1; expected 0 or more"),
        ("train_cam: {crop: 3}\n", "line 1: train_cam.crop is 3; expected 8 or more"),
        (
            "train_segmenter: {scales: [0.5, 1]}\n",
            "line 1: train_segmenter.scales is (0.5, 1.0); expected a list of 1 to 16, each a number "
            "from 0.05 to 4, the first 1, the size that",
        ),
        (
            "train_segmenter: {scales: [1, 9]}\n",
            "train_segmenter.scales is (1.0, 9.0); expected a list of 1 to 16",
        ),
        ("predict: {scales: [1.0e+200]}\n", "line 1: predict.scales is (1e+200,); expected at most 16"),
        (f"infer_cam: {{scales: {[1] * 17}}}\n", "line 1: infer_cam.scales are 17; expected 16 at most"),
        (f"predict: {{scales: [1{'0' * 400}]}}\n", "predict.scales is [1"),
        ("refine: {iterations: 9999}\n", "line 1: refine.iterations is 9999; expected at most 1000"),
        ("refine: {gaussian: [3, 1.0e+38]}\n", "a weight of 0 or more; 1e+06 at most"),
        ("runtime: {workers: -7}\n", "line 1: runtime.workers is -7; expected a number, or -1"),
        ("train_cam: {warmup: -1}\n", "line 1: train_cam.warmup is -1.0; expected 0 to 1"),
        ("train_cam: {boundary_width: 0}\n", "line 1: train_cam.boundary_width is 0; expected more than 0"),
        ("predict: {iterations: -1}\n", "line 1: predict.iterations is -1; expected 0 or more"),
        (
            "predict: {bilateral: [9, 0.1, 1]}\n",
            "line 1: predict.bilateral is (9.0, 0.1, 1.0); expected widths",
        ),
        ("refine: {gaussian: [3, -1]}\n", "a weight of 0 or more"),
        (
            "refine: {low_alpha: 9, high_alpha: 8}\n",
            "line 1: refine.high_alpha is 8.0; expected refine.low_alpha",
        ),
        ("random_walk: {scale: 0}\n", "line 1: random_walk.scale is 0.0; expected more than 0"),
        (
            "train_cam:\n  long_side: [9, 3]\n",
            "line 2: train_cam.long_side is 9, 3; expected the smaller one first",
        ),
        ("data: {source: cocoa}\n", "line 1: data.source is 'cocoa'; expected one of scenes, voc, coco"),
        ("a: [\n", "line 2: not YAML"),
        ("- a\n", "a recipe is a list of 'key: value' lines"),
        ("base: quickstrat\n", "there is no recipe 'quickstrat' (did you mean 'quickstart'?)"),
        ("base: 3\n", "line 1: base is 3; expected a recipe's name or path"),
        ("base: mine.yaml\n", "the recipe is its own base"),
    ],
)
def test_a_wrong_file_is_refused_with_its_line(recipe_file: Path, text: str, message: str) -> None:
    recipe_file.write_text(text)
    refused = refusal(recipe_file)
    assert message in refused
    assert str(recipe_file) in refused or "quickstrat" in message


def test_an_error_in_the_base_names_the_base(recipe_file: Path) -> None:
    recipe_file.write_text("train_cam: {epochs: 0}\n")
    child = recipe_file.parent / "child.yaml"
    child.write_text("base: mine.yaml\n")
    assert refusal(child).startswith(f"{recipe_file}, line 1: ")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("epochs", "'epochs' is not a setting; write KEY=VALUE"),
        ("=3", "'=3' is not a setting; write KEY=VALUE"),
        ("/", "'/' is not a setting; a folder of photos is given as --data /"),
        (
            "train_cam.epoch=3",
            "'train_cam.epoch=3': 'train_cam' has no setting 'epoch' (did you mean 'epochs'?)",
        ),
        ("train_cam.epochs.x=3", "'train_cam.epochs.x=3': 'epochs' is one value; it holds no setting 'x'"),
        ("train_cam=3", "'train_cam=3': train_cam is '3'; expected settings"),
        ("labels=mine.txt", "no setting 'labels' (did you mean 'data.labels' or 'train_segmenter.labels'?)"),
        ("train_cam.epochs=", "train_cam.epochs is ''; expected a whole number"),
    ],
)
def test_a_wrong_override_is_refused(override: str, message: str) -> None:
    assert message in refusal("quickstart", override)


def test_unknown_recipes(tmp_path: Path) -> None:
    assert "(did you mean 'voc12-lite'?)" in refusal("voc12-light")
    assert "there is no such recipe file" in refusal(tmp_path / "none.yaml")
    assert "holds no recipe.yaml" in refusal(tmp_path)


def test_a_recipe_for_photos_asks_for_them() -> None:
    assert "--data FOLDER" in refusal("voc12-lite")
