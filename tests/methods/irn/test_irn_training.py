"""Training of IRN: what is trained, and that it resumes where it was stopped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sbnet import losses
from sbnet.backbones.settings import BackboneSettings
from sbnet.methods.irn.train import run
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.steps.affinity import AffinityTrainSettings
from step_context import first_images, make_context, masks_as, trained


def weights(data: Path, folder: Path, name: str, **changes: Any) -> dict[str, torch.Tensor]:
    """After a training on one image in the folder of that name."""
    images = first_images(data, 1)
    settings = {
        **{"epochs": 1, "batch": 1, "crop": 64, "long_side": (64, 64), "learning_rate": 1e-9},
        **changes,
    }
    inputs = {"seeds": masks_as(folder / "seeds", images), "cam": folder / "cam.safetensors"}
    backbone = BackboneSettings(weights="none")
    context = make_context(folder / name, images, inputs, backbone=backbone, family="irn", workers=0)
    return trained(run, AffinityTrainSettings.model_validate(settings), context)


def test_its_heads_alone_are_trained(shared_data: Path, tmp_path: Path) -> None:
    network = build("sbnet-lite0", 8, weights="none", stride=16, freeze=2)
    save_model(network, tmp_path / "cam.safetensors", meta={})
    cam = {f"backbone.{name}": value for name, value in network.backbone.state_dict().items()}
    little = weights(shared_data, tmp_path, "little", start="seeds")
    much = weights(shared_data, tmp_path, "much", start="seeds", epochs=3, learning_rate=0.1)
    for name, value in much.items():
        if name in cam:
            assert torch.equal(value, cam[name])
        else:
            assert not torch.equal(value, little[name]), name
    log = (tmp_path / "much" / "log.csv").read_text().splitlines()[0]
    assert log.endswith("loss,affinity,displacement")


def test_it_resumes_after_an_interruption(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"epochs": 5, "learning_rate": 0.05, "checkpoint_every": 2}
    whole = weights(shared_data, tmp_path, "whole", **settings)
    right, calls = losses.displacement, []

    def interrupted(*fields: Any, **radius: Any) -> torch.Tensor:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return right(*fields, **radius)

    monkeypatch.setattr(losses, "displacement", interrupted)
    with pytest.raises(KeyboardInterrupt):
        weights(shared_data, tmp_path, "stopped", **settings)
    assert (tmp_path / "stopped" / "checkpoint.pt").exists()
    again = weights(shared_data, tmp_path, "stopped", **settings)
    assert len(calls) == 4 + 3, "it resumed after step 2 of 5"
    assert all(torch.equal(again[name], value) for name, value in whole.items())
