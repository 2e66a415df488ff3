"""What the trainings make of the recipe's settings of backbone and colours."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from sbnet.steps.workspace import ModelSettings, Workspace
from torch import nn

from sbnet.backbones.network import Network
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import JITTER, TrainTransform
from sbnet.engine.model_file import load_model
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.methods.affinitynet import train as train_affinity
from sbnet.methods.cam import train as train_cam
from sbnet.steps import train_segmenter

IRN = "voc12-resnet50-irn"
TRAININGS = [train_cam, train_affinity, train_segmenter]
SMALL = "timm:resnet18"


def prepared(
    stage: ModuleType,
    model: ModelSettings,
    data: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    **changes: Any,
) -> tuple[Network, TrainingSet]:
    """What the stage of IRN's recipe would train, as its file gives it back, and on what."""
    seen: list[TrainingSet] = []

    def fit(network: Network, photos: TrainingSet, *_: Any, **__: Any) -> dict[str, Any]:
        seen.append(photos)
        return {}

    monkeypatch.setattr(stage, "fit", fit)
    photos = read_voc(data, "train")
    for photo in photos:
        for kind in ("labels", "masks"):
            (folder / kind).mkdir(exist_ok=True)
            (folder / kind / f"{photo.name}.png").write_bytes(photo.mask.read_bytes() if photo.mask else b"")
    workspace = Workspace(
        folder, {"labels": folder}, photos, None, model, Runtime(device="cpu", precision="32", workers=0)
    )
    settings = getattr(load_recipe(IRN, ["data.root=none"]), stage.__name__.rpartition(".")[2])
    stage.run(dataclasses.replace(settings, **changes), workspace)
    network, _ = load_model(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    return network, seen[0]


def dilations(network: Network) -> set[tuple[int, ...]]:
    return {one.dilation for one in network.backbone.modules() if isinstance(one, nn.Conv2d)}


@pytest.mark.parametrize("stage", TRAININGS)
@pytest.mark.parametrize("dilate", [True, False])
def test_the_run_s_backbone_is_dilated_as_the_recipe_says(
    stage: ModuleType, dilate: bool, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelSettings(SMALL, weights="none", stride=16, freeze=3, dilate=dilate)
    own: dict[str, Any] = {"backbone": "", "weights": "none"} if stage is train_segmenter else {}
    network, _ = prepared(stage, model, shared_data, tmp_path, monkeypatch, **own)
    assert network.options["dilate"] is dilate
    assert dilations(network) == ({(1, 1), (2, 2)} if dilate else {(1, 1)})


def test_a_segmenter_s_own_backbone_is_dilated(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelSettings("lite0", weights="none", stride=16, dilate=False)
    own: dict[str, Any] = {"backbone": SMALL, "weights": "none"}
    network, _ = prepared(train_segmenter, model, shared_data, tmp_path, monkeypatch, **own)
    assert dilations(network) == {(1, 1), (2, 2)}


def test_resnet38_is_dilated(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = ModelSettings("resnet38", weights="none", stride=8, freeze=1, dilate=False)
    with pytest.raises(SBNetError, match="resnet38 is dilated; leave out `dilate`"):
        prepared(train_cam, model, shared_data, tmp_path, monkeypatch)


def test_irn_s_backbone_is_frozen_through_layer2(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = dataclasses.replace(load_recipe(IRN, ["data.root=none"]).model, weights="none")
    network, _ = prepared(train_cam, model, shared_data, tmp_path, monkeypatch)
    trained = {name.split(".")[1] for name, one in network.backbone.named_parameters() if one.requires_grad}
    assert trained == {"layer3", "layer4"}
    assert dilations(network) == {(1, 1)}


@pytest.mark.parametrize("stage", [train_cam, train_affinity])
@pytest.mark.parametrize("jitter", [True, False])
def test_colours_change_where_the_recipe_says(
    stage: ModuleType, jitter: bool, shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = ModelSettings(SMALL, weights="none")
    _, photos = prepared(stage, model, shared_data, tmp_path, monkeypatch, jitter=jitter, crop=96)
    assert photos.transform.jitter == (JITTER if jitter else None)
    usual = TrainTransform(crop=96, long_side=photos.transform.long_side)
    plan, same = (one.plan((60, 80), np.random.default_rng(3)) for one in (photos.transform, usual))
    assert (plan.jitter is not None) is jitter
    assert plan._replace(jitter=None) == same._replace(jitter=None)
