"""Masks of the val photos and of the report's training photos, or of those alone."""

from collections import Counter
from pathlib import Path

import pytest

from sbnet import models
from sbnet.data.files import read_label
from sbnet.data.voc import read_voc
from sbnet.engine.runtime import Runtime
from sbnet.interop.checkpoint import save_model
from sbnet.stages.predict import Settings, run
from sbnet.stages.workspace import ModelSettings, Workspace


@pytest.mark.parametrize("with_val", [True, False])
def test_what_is_predicted(with_val: bool, shared_data: Path, tmp_path: Path) -> None:
    train, val = read_voc(shared_data, "train"), read_voc(shared_data, "val")
    network = models.build("deeplabv2-lite0", classes=len(train.classes), weights="none")
    save_model(network, tmp_path / "network" / "model.safetensors", meta={"classes": list(train.classes)})
    workspace = Workspace(
        folder=tmp_path / "predict",
        inputs={"network": tmp_path / "network"},
        train=train,
        val=val if with_val else None,
        model=ModelSettings(),
        runtime=Runtime(device="cpu", workers=1),
    )
    assert run(Settings(), workspace) == {"photos": 3 if with_val else 0}
    masks = list(workspace.folder.rglob("*.png"))
    assert all(read_label(path).shape == (48, 64) for path in masks)
    assert Counter(path.parent.name for path in masks) == {"train_masks": 12} | (
        {"masks": 3, "masks_crf": 3} if with_val else {}
    )
