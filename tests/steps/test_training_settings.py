"""What the trainings make of the recipe's settings of backbone and colors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import nn

from sbnet.backbones.network import Network
from sbnet.backbones.settings import BackboneSettings
from sbnet.config.recipe import load_recipe
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import JITTER, TrainTransform
from sbnet.errors import SBNetError
from sbnet.registry import METHODS
from sbnet.steps import training
from step_context import first_images, make_context, masks_as

IRN = "voc12-resnet50-irn"
SMALL = "timm:resnet18"
TRAININGS = {  # method -> role
    **dict.fromkeys(("cam", "seam", "sbnet"), "seeds"),
    **dict.fromkeys(("affinitynet", "irn"), "refine"),
    "deeplabv2": "segmenter",
}


def prepared(
    method: str,
    backbone: BackboneSettings,
    data: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *words: str,
) -> tuple[Network, TrainingSet]:
    """What the last training of a method, in IRN's recipe, would train, and on what."""
    seen: list[Any] = []

    def fit(network: Network, samples: TrainingSet, *_: Any, **__: Any) -> dict[str, Any]:
        seen.extend((network, samples))
        return {}

    monkeypatch.setattr(training, "fit", fit)
    monkeypatch.setattr(training, "save_model", lambda *_args, **_keywords: None)
    images = first_images(data, 2)
    role = TRAININGS[method]
    recipe = load_recipe(IRN, [f"{role}.method={method}", *words])
    steps = METHODS[method].steps(getattr(recipe, role).settings)
    (spec,) = [spec for spec in steps if spec.trains and not spec.name.startswith("bootstrap")]
    labels = masks_as(folder / "labels", images)
    inputs = dict.fromkeys(("labels", "seeds"), labels)
    used = METHODS[method].backbone(getattr(recipe, role).settings, backbone)
    context = make_context(folder, images, inputs, backbone=used, family=spec.trains, workers=0)
    spec.load()(spec.settings, context)
    return seen[0], seen[1]


def dilations(network: Network) -> set[tuple[int, ...]]:
    return {one.dilation for one in network.backbone.modules() if isinstance(one, nn.Conv2d)}


@pytest.mark.parametrize("method", TRAININGS)
@pytest.mark.parametrize("dilate", [True, False])
def test_the_run_s_backbone_is_as_the_recipe_says(
    method: str, dilate: bool, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = BackboneSettings(name=SMALL, weights="none", stride=16, freeze=3, dilate=dilate)
    own = ("segmenter.backbone=", "segmenter.weights=none", "segmenter.freeze=-1")
    network, _ = prepared(method, backbone, shared_data, tmp_path, monkeypatch, *own)
    assert network.name.partition("-")[2] == SMALL
    assert network.name.partition("-")[0] == method
    assert (network.options["dilate"], network.options["freeze"]) == (dilate, 3)
    assert dilations(network) == ({(1, 1), (2, 2)} if dilate else {(1, 1)})


def test_a_segmenter_s_own_backbone_is_dilated(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = BackboneSettings(name="lite0", weights="none", stride=16, dilate=False)
    own = (f"segmenter.backbone={SMALL}", "segmenter.weights=none", "segmenter.freeze=1")
    network, _ = prepared("deeplabv2", backbone, shared_data, tmp_path, monkeypatch, *own)
    assert dilations(network) == {(1, 1), (2, 2)}
    assert (network.name, network.options["freeze"]) == (f"deeplabv2-{SMALL}", 1)


def test_resnet38_is_dilated(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    backbone = BackboneSettings(name="resnet38", weights="none", stride=8, freeze=1, dilate=False)
    with pytest.raises(SBNetError, match="resnet38 is dilated; leave out `dilate`"):
        prepared("cam", backbone, shared_data, tmp_path, monkeypatch)


def test_irn_s_backbone_is_frozen_through_layer2(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = load_recipe(IRN).backbone.model_copy(update={"weights": "none"})
    network, _ = prepared("cam", backbone, shared_data, tmp_path, monkeypatch)
    learned = {name.split(".")[1] for name, one in network.backbone.named_parameters() if one.requires_grad}
    assert learned == {"layer3", "layer4"}
    assert dilations(network) == {(1, 1)}


@pytest.mark.parametrize("method", [name for name, role in TRAININGS.items() if role != "segmenter"])
@pytest.mark.parametrize("jitter", [True, False])
def test_colors_change_where_the_recipe_says(
    method: str, jitter: bool, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone, role = BackboneSettings(name=SMALL, weights="none"), TRAININGS[method]
    words = (f"{role}.train.jitter={jitter}", f"{role}.train.crop=96")
    _, samples = prepared(method, backbone, shared_data, tmp_path, monkeypatch, *words)
    assert samples.transform.jitter == (JITTER if jitter else None)
    usual = TrainTransform(crop=96, long_side=samples.transform.long_side)
    plan, same = (one.plan((60, 80), np.random.default_rng(3)) for one in (samples.transform, usual))
    assert (plan.jitter is not None) is jitter
    assert plan._replace(jitter=None) == same._replace(jitter=None)
