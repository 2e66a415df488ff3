"""AffinityNet's stage: where its backbone starts from."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from sbnet.data.collection import Collection
from sbnet.data.voc import read_voc
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.interop.checkpoint import load_model, save_model
from sbnet.models import build
from sbnet.pipeline.steps import recipe_steps
from sbnet.recipes.recipe import load_recipe
from sbnet.stages import train_affinity
from sbnet.stages.workspace import ModelSettings, Workspace

TINY = train_affinity.Settings(epochs=1, batch=1, crop=64, long_side=(64, 64), learning_rate=1e-9)


@pytest.fixture
def photos(shared_data: Path) -> Collection:
    return read_voc(shared_data, "train")


def trained(start: str, photos: Collection, folder: Path) -> dict[str, torch.Tensor]:
    workspace = Workspace(
        folder=folder / f"from_{start}",
        inputs={"labels": folder / "refine", "cam": folder / "cam"},
        train=dataclasses.replace(photos, photos=photos.photos[:1]),
        val=None,
        model=ModelSettings(weights="none"),
        runtime=Runtime(workers=0),
    )
    workspace.folder.mkdir()
    train_affinity.run(dataclasses.replace(TINY, start=start), workspace)
    return load_model(workspace.folder / "model.safetensors")[0].backbone.state_dict()


def test_the_backbone_starts_where_it_is_told(photos: Collection, tmp_path: Path) -> None:
    cam = build("sbnet-lite0", len(photos.classes), weights="none", stride=16, freeze=2)
    save_model(cam, tmp_path / "cam" / "model.safetensors", meta={})
    labels = tmp_path / "refine" / "labels"
    labels.mkdir(parents=True)
    mask = photos.photos[0].mask
    assert mask is not None
    (labels / f"{photos.photos[0].name}.png").write_bytes(mask.read_bytes())
    expected = cam.backbone.state_dict()
    for start, same in (("cam", True), ("imagenet", False)):
        got = trained(start, photos, tmp_path)
        near = [torch.allclose(got[name], value, atol=1e-5) for name, value in expected.items()]
        assert all(near) is same


@pytest.mark.parametrize(("start", "reads"), [("imagenet", {"labels"}), ("cam", {"labels", "cam"})])
def test_the_cam_network_is_an_input_only_where_it_is_the_start(start: str, reads: set[str]) -> None:
    steps = recipe_steps(load_recipe("quickstart", [f"train_affinity.start={start}"]))
    (step,) = [step for step in steps if step.name == "train_affinity"]
    assert set(step.inputs) == reads


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(SBNetError, match=r"train_affinity.start: 'can' .*did you mean 'cam'"):
        load_recipe("quickstart", ["train_affinity.start=can"])


def test_a_crop_without_pairs_is_refused(photos: Collection, tmp_path: Path) -> None:
    workspace = Workspace(
        tmp_path, {"labels": tmp_path}, photos, None, ModelSettings(weights="none"), Runtime(workers=0)
    )
    with pytest.raises(SBNetError, match=r"train_affinity\.crop: 39 pixels .* 40 or more"):
        train_affinity.run(dataclasses.replace(TINY, crop=39), workspace)
