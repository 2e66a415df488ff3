"""Packaged recipes: they load, come back from their file, and hold the papers' numbers. Overrides."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import timm
from hypothesis import given, settings
from hypothesis import strategies as st

from sbnet.compat.origins import ORIGINS
from sbnet.config import names
from sbnet.config.recipe import Recipe, load_recipe
from sbnet.registry import METHODS
from sbnet.steps.settings import equal_score

DOCS = Path(__file__).parents[2] / "docs"
TEXT = st.text(st.characters(codec="utf-8"))
NAMES = TEXT.filter(lambda name: name.strip(". ") and "/" not in name and "\\" not in name)


@pytest.mark.parametrize("name", names())
def test_packaged_recipes_load_and_come_back_from_their_file(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name, ["seeds.train.learning_rate=0.0123"])
    assert recipe.name == name
    assert recipe.about
    recipe.write(tmp_path / "recipe.yaml")
    assert load_recipe(tmp_path / "recipe.yaml") == recipe
    assert load_recipe(tmp_path) == recipe


VOC_CRF = {
    **{"low_alpha": 4, "high_alpha": 32, "score_power": 1},
    **{"iterations": 10, "gaussian": (3, 3), "bilateral": (80, 13, 10)},
}
SEAM_TRAINING = {
    **{
        "epochs": 8,
        "batch": 8,
        "accumulate": 1,
        "learning_rate": 0.01,
        "momentum": 0.9,
        "weight_decay": 5e-4,
    },
    **{"optimizer": "sgd", "schedule": "poly", "warmup": 0, "clip": 0, "ema": 0, "layer_decay": 1},
    **{"crop": 448, "long_side": (448, 768), "jitter": True, "shrink": 0.3, "loss_warmup": 0},
}
# Every number that the papers and their code give; a recipe may add to them, and a base may not change them unseen.
PAPER: dict[str, dict[str, dict[str, object]]] = {
    "voc12-resnet38": {
        "data": {"source": "voc", "train": "train", "val": "val"},
        "backbone": {"name": "resnet38", "stride": 8, "freeze": 1},
        "seeds": {"method": "sbnet"},
        "seeds.bootstrap.train": {"consistency": True, **SEAM_TRAINING},
        "seeds.bootstrap.crf": VOC_CRF,
        "seeds.train": {
            **SEAM_TRAINING,
            **{"boundary_weight": 0.01, "smoothness_weight": 1, "boundaries": "", "canny": "image"},
        },
        "seeds.infer": {"scales": (0.5, 1, 1.5, 2), "mirror": True, "map": "refined"},
        "crf": VOC_CRF,
        "refine": {"method": "affinitynet"},
        "refine.train": {
            **{"start": "imagenet", "epochs": 8, "batch": 8, "learning_rate": 0.01},
            **{"momentum": 0.9, "weight_decay": 5e-4, "crop": 448, "long_side": (500, 500)},
        },
        "refine.propagate": {
            **{"background_alpha": 16, "score_power": 1, "beta": 8, "steps": 2**6},
            **{"scale": 1, "crf": False},
        },
        "segmenter": {
            **{"method": "deeplabv2", "backbone": "resnet101", "head": "pyramid", "freeze": 0},
            **{"labels": "pseudo", "scales": (1, 0.75, 0.5), "batch": 5, "accumulate": 2},
            **{"learning_rate": 2.5e-4, "momentum": 0.9, "weight_decay": 5e-4, "head_rate": 10},
            **{"crop": 321, "scale": (0.5, 1.5)},
        },
        "predict": {
            **{"crf": True, "scales": (1,), "mirror": False},
            **{"iterations": 10, "gaussian": (1, 3), "bilateral": (67, 3, 4)},
        },
    },
    "voc12-resnet38-seam": {
        "backbone": {"name": "resnet38", "stride": 8, "freeze": 1},
        "seeds": {"method": "seam"},
        "seeds.train": SEAM_TRAINING,
        "seeds.infer": {"scales": (0.5, 1, 1.5, 2), "mirror": True, "map": "refined"},
        "crf": {**VOC_CRF, "high_alpha": 24},
        "refine": {"method": "affinitynet"},
        "refine.train": {
            "epochs": 8,
            "batch": 8,
            "learning_rate": 0.01,
            "crop": 448,
            "long_side": (500, 500),
        },
        "refine.propagate": {"background_alpha": 6, "beta": 8, "steps": 2**6},
        "segmenter": {
            **{"method": "deeplabv2", "backbone": "resnet38", "head": "large_fov", "freeze": 0},
            **{"scales": (1,), "batch": 10, "accumulate": 1},
            **{"learning_rate": 1e-3, "weight_decay": 5e-4, "crop": 448, "scale": (0.5, 1.5)},
        },
        "predict": {
            **{"crf": True, "scales": (0.5, 0.75, 1, 1.25, 1.5, 1.75), "mirror": True},
            **{"iterations": 1, "gaussian": (3, 3), "bilateral": (80, 13, 10)},
        },
    },
    "voc12-resnet38-psa": {
        "backbone": {"name": "resnet38", "stride": 8, "freeze": 1},
        "seeds": {"method": "cam"},
        "seeds.train": {
            **{"epochs": 15, "batch": 16, "learning_rate": 0.1, "momentum": 0},
            **{"weight_decay": 5e-4, "crop": 448, "long_side": (256, 512)},
        },
        "seeds.infer": {"scales": (0.5, 1, 1.5, 2), "mirror": True},
        "crf": VOC_CRF,
        "refine": {"method": "affinitynet"},
        "refine.train": {
            **{"epochs": 8, "batch": 8, "learning_rate": 0.1, "momentum": 0},
            **{"weight_decay": 5e-4, "crop": 256, "long_side": (500, 500)},
        },
        "refine.propagate": {"background_alpha": 16, "beta": 8, "steps": 2**8},
    },
    "voc12-resnet50-irn": {
        "data": {"source": "voc", "train": "train", "val": "val"},
        "backbone": {"name": "timm:resnet50.tv_in1k", "stride": 16, "freeze": 3, "dilate": False},
        "seeds": {"method": "cam"},
        "seeds.train": {
            **{"epochs": 5, "batch": 16, "accumulate": 1, "learning_rate": 0.1, "momentum": 0},
            **{"weight_decay": 1e-4, "crop": 512, "long_side": (320, 640), "jitter": False},
        },
        "seeds.infer": {"scales": (0.5, 1, 1.5, 2), "mirror": True},
        "crf": {"score_power": 1, "iterations": 10, "gaussian": (3, 3), "bilateral": (50, 5, 10)},
        "refine": {"method": "irn"},
        "refine.train": {
            **{"start": "imagenet", "epochs": 3, "batch": 32, "accumulate": 1},
            **{"learning_rate": 0.1, "momentum": 0, "weight_decay": 1e-4},
            **{"crop": 512, "long_side": (250, 750), "jitter": False},
        },
        "refine.propagate": {
            **{"background_score": 0.25, "score_power": 1, "beta": 10, "steps": 2**8},
            **{"scale": 1, "crf": False},
        },
        "segmenter": {
            **{"method": "deeplabv2", "backbone": "timm:resnet50.tv_in1k", "head": "pyramid", "freeze": 0},
            **{"labels": "pseudo", "scales": (1, 0.75, 0.5), "batch": 10, "accumulate": 1},
            **{"learning_rate": 2.5e-4, "momentum": 0.9, "weight_decay": 5e-4},
            **{"crop": 321, "scale": (0.5, 1.5)},
        },
        "predict": {
            **{"crf": True, "scales": (1,), "mirror": False},
            **{"iterations": 10, "gaussian": (1, 3), "bilateral": (67, 3, 4)},
        },
    },
}


@pytest.mark.parametrize("name", PAPER)
def test_the_papers_numbers(name: str) -> None:
    recipe = load_recipe(name).plain()
    for key, expected in PAPER[name].items():
        section: Any = recipe
        for part in key.split("."):
            section = section[part]
        as_lists = {
            one: list(value) if isinstance(value, tuple) else value for one, value in expected.items()
        }
        assert {one: section[one] for one in expected} == as_lists, key


@pytest.mark.parametrize("name", ["voc12-resnet38", "voc12-resnet38-seam", "voc12-resnet50-irn"])
def test_the_segmenter_takes_20_000_steps_of_10_images_on_train_aug(name: str) -> None:
    settings = load_recipe(name).segmenter.settings
    steps = settings.epochs * (10_582 // settings.batch) // settings.accumulate
    assert settings.batch * settings.accumulate == 10
    assert steps == pytest.approx(20_000, rel=0.01)


@pytest.mark.parametrize("name", PAPER)
def test_reference_is_off_and_changes_momentum_and_canny_alone(name: str) -> None:
    plainly, recipe = load_recipe(name), load_recipe(name, ["reference=true"])
    assert plainly.reference is False
    assert plainly.with_quirks() is plainly
    quirky = recipe.with_quirks()
    expected = recipe.plain()
    sections = [expected["seeds"]["train"], expected["refine"]["train"]]
    if "bootstrap" in expected["seeds"]:
        sections.append(expected["seeds"]["bootstrap"]["train"])
        expected["seeds"]["train"]["canny"] = "normalized"
    for section in sections:
        assert section["weight_decay"] == (1e-4 if "irn" in name else 5e-4)
        section["momentum"] = section["weight_decay"]
    assert quirky.plain() == expected


def test_irn_s_labels_and_backbone() -> None:
    recipe = load_recipe("voc12-resnet50-irn")
    assert equal_score(recipe.crf.low_alpha) == pytest.approx(0.30, abs=0.005)
    assert equal_score(recipe.crf.high_alpha) == pytest.approx(0.05, abs=0.005)
    assert timm.is_model(recipe.backbone.name.removeprefix("timm:"))


@pytest.mark.parametrize("alpha", [0.5, 1.0, 4.0, 16.0, 32.0])
def test_where_background_and_score_are_equal(alpha: float) -> None:
    score = equal_score(alpha)
    assert (1 - score) ** alpha == pytest.approx(score)


def test_the_commands_that_reproduce_the_papers_are_such_recipes() -> None:
    page = (DOCS / "reproducing.md").read_text(encoding="utf-8").replace("\\\n", "")
    commands = [line.split()[2:] for line in page.splitlines() if line.startswith("sbnet run ")]
    assert {name for name, *_ in commands} == {*PAPER}
    for name, *words in commands:
        recipe = load_recipe(name, [word for word in words if "=" in word])
        assert (recipe.data.settings.labels, recipe.reference) == ("xml", False)
        assert recipe.data.settings.train in ("train_aug", "val")


def test_origins_of_foreign_files_are_recipes_of_such_networks() -> None:
    """The recipe that a foreign network is said to be of trains one of this family over this backbone."""
    told = [origin for origin in ORIGINS.values() if origin.recipe]
    assert {origin.recipe for origin in told} == {*PAPER}
    for origin in told:
        recipe = load_recipe(origin.recipe)
        roles = (recipe.seeds, recipe.refine, recipe.segmenter)
        trained = {
            f"{family}-{getattr(choice.settings, 'backbone', '') or recipe.backbone.name}".partition(".")[0]
            for choice in roles
            for family in METHODS[choice.name].networks
        }
        assert origin.network in trained, origin.title
        if origin.options.get("dilate") is False:
            assert (recipe.backbone.stride, recipe.backbone.dilate) == (origin.options["stride"], False)


def test_irn_differs_from_its_base_in_the_refinement_alone() -> None:
    base, recipe = (load_recipe(name) for name in ("voc12-lite", "voc12-lite-irn"))
    assert recipe.refine.name == "irn"
    assert dataclasses.replace(recipe, name=base.name, about=base.about, refine=base.refine) == base
    same = {"start", "epochs", "batch", "crop", "long_side", "augmentation"}
    assert all(
        getattr(recipe.refine.settings.train, key) == getattr(base.refine.settings.train, key) for key in same
    )


@settings(max_examples=30)
@given(
    epochs=st.integers(1, 10**6),
    rate=st.floats(1e-9, 1e3),
    scales=st.lists(st.floats(0.1, 16), min_size=1, max_size=16),
    text=TEXT,
    name=NAMES,
)
def test_any_values_survive_the_file(
    tmp_path_factory: pytest.TempPathFactory,
    epochs: int,
    rate: float,
    scales: list[float],
    text: str,
    name: str,
) -> None:
    path = tmp_path_factory.mktemp("recipe") / "recipe.yaml"
    overrides = {
        **{"seeds.train.epochs": epochs, "crf.mask_alpha": rate},
        **{"seeds.infer.scales": scales, "about": text, "name": name},
    }
    recipe = load_recipe("quickstart", overrides)
    assert (recipe.about, recipe.name) == (text, name)
    assert recipe.seeds.settings.infer.scales == tuple(scales)
    recipe.write(path)
    assert load_recipe(path) == recipe


def test_overrides_as_strings_and_as_values_agree() -> None:
    strings = load_recipe("quickstart", ["seeds.infer.scales=1,2", "predict.crf=no", "reference=on"])
    values = {"seeds.infer.scales": [1, 2], "predict.crf": False, "reference": True}
    assert strings == load_recipe("quickstart", values)
    assert strings.seeds.settings.infer.scales == (1.0, 2.0)
    nested = {"seeds": {"infer": {"scales": [1, 2]}}, "predict": {"crf": False}, "reference": True}
    assert load_recipe("quickstart", nested) == strings


def test_sections_by_key() -> None:
    recipe = load_recipe("quickstart")
    assert isinstance(recipe, Recipe)
    assert recipe.section("seeds.bootstrap.crf") == recipe.seeds.settings.bootstrap.crf
    assert recipe.section("segmenter") == recipe.segmenter.settings
    assert recipe.section("runtime") == recipe.runtime
