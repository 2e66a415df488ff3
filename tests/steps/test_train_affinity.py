"""The stage of AffinityNet and IRN: where the backbone starts from, what is trained, what goes on."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from sbnet.pipeline.steps import recipe_steps
from sbnet.steps.workspace import ModelSettings, Workspace

from sbnet import losses
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.collection import Collection
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.engine.model_file import load_model, save_model
from sbnet.engine.networks import build
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.methods.affinitynet import train as train_affinity

TINY = train_affinity.Settings(epochs=1, batch=1, crop=64, long_side=(64, 64), learning_rate=1e-9)


@pytest.fixture
def photos(shared_data: Path) -> Collection:
    return read_voc(shared_data, "train")


def trained(photos: Collection, folder: Path, **changes: Any) -> dict[str, torch.Tensor]:
    """The weights after the stage ran on one photo, in a folder named by what was changed."""
    workspace = Workspace(
        folder=folder / "_".join(map(str, changes.values())),
        inputs={"labels": folder / "refine", "cam": folder / "cam"},
        train=dataclasses.replace(photos, photos=photos.photos[:1]),
        val=None,
        model=ModelSettings(weights="none"),
        runtime=Runtime(workers=0),
    )
    workspace.folder.mkdir(exist_ok=True)
    train_affinity.run(dataclasses.replace(TINY, **changes), workspace)
    return load_model(workspace.folder / "model.safetensors")[0].state_dict()


@pytest.fixture
def cam(photos: Collection, tmp_path: Path) -> dict[str, torch.Tensor]:
    """A CAM network's backbone, its file, and the label of the first photo, where the stage reads them."""
    network = build("sbnet-lite0", len(photos.classes), weights="none", stride=16, freeze=2)
    save_model(network, tmp_path / "cam" / "model.safetensors", meta={})
    labels = tmp_path / "refine" / "labels"
    labels.mkdir(parents=True)
    mask = photos.photos[0].mask
    assert mask is not None
    (labels / f"{photos.photos[0].name}.png").write_bytes(mask.read_bytes())
    return {f"backbone.{name}": value for name, value in network.backbone.state_dict().items()}


def test_the_backbone_starts_where_it_is_told(
    photos: Collection, tmp_path: Path, cam: dict[str, torch.Tensor]
) -> None:
    for start, same in (("cam", True), ("imagenet", False)):
        got = trained(photos, tmp_path, start=start)
        near = [torch.allclose(got[name], value, atol=1e-5) for name, value in cam.items()]
        assert all(near) is same


def test_another_backbone_is_no_start(
    photos: Collection, tmp_path: Path, cam: dict[str, torch.Tensor]
) -> None:
    other = build("sbnet-timm:resnet18", len(photos.classes), weights="none")
    save_model(other, tmp_path / "cam" / "model.safetensors", meta={})
    with pytest.raises(
        SBNetError, match="lite0 cannot start from the CAM network, which is sbnet-timm:resnet18"
    ):
        trained(photos, tmp_path, start="cam")


def test_irn_trains_its_heads_alone(photos: Collection, tmp_path: Path, cam: dict[str, torch.Tensor]) -> None:
    little = trained(photos, tmp_path, method="irn", start="cam")
    much = trained(photos, tmp_path, method="irn", start="cam", epochs=3, learning_rate=0.1)
    for name, value in much.items():
        if name in cam:
            assert torch.equal(value, cam[name])
        else:
            assert not torch.equal(value, little[name]), name
    log = (tmp_path / "irn_cam_3_0.1" / "log.csv").read_text().splitlines()[0]
    assert log.endswith("loss,affinity,displacement")


def test_irn_goes_on_after_an_interruption(
    photos: Collection, tmp_path: Path, cam: dict[str, torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"method": "irn", "epochs": 5, "learning_rate": 0.05, "checkpoint_every": 2}
    whole = trained(photos, tmp_path, **settings)
    folder = tmp_path / "irn_5_0.05_2"
    folder.rename(tmp_path / "whole")
    right, calls = losses.displacement, []

    def interrupted(*fields: Any, **radius: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return right(*fields, **radius)

    monkeypatch.setattr(losses, "displacement", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(photos, tmp_path, **settings)
    assert (folder / "checkpoint.pt").exists()
    again = trained(photos, tmp_path, **settings)
    assert len(calls) == 4 + 3, "it went on after step 2 of 5"
    assert all(torch.equal(again[name], value) for name, value in whole.items())


@pytest.mark.parametrize(("start", "reads"), [("imagenet", {"labels"}), ("cam", {"labels", "cam"})])
def test_the_cam_network_is_an_input_only_where_it_is_the_start(start: str, reads: set[str]) -> None:
    steps = recipe_steps(load_recipe("quickstart", [f"train_affinity.start={start}"]))
    (step,) = [step for step in steps if step.name == "train_affinity"]
    assert set(step.inputs) == reads


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(SBNetError, match=r"train_affinity.method: 'irm' .*did you mean 'irn'"):
        load_recipe("quickstart", ["train_affinity.method=irm"])


def test_an_unknown_start_is_refused() -> None:
    with pytest.raises(SBNetError, match=r"train_affinity.start: 'can' .*did you mean 'cam'"):
        load_recipe("quickstart", ["train_affinity.start=can"])


def test_a_crop_without_pairs_is_refused(photos: Collection, tmp_path: Path) -> None:
    workspace = Workspace(
        tmp_path, {"labels": tmp_path}, photos, None, ModelSettings(weights="none"), Runtime(workers=0)
    )
    with pytest.raises(SBNetError, match=r"train_affinity\.crop: 39 pixels .* 40 or more"):
        train_affinity.run(dataclasses.replace(TINY, crop=39), workspace)
