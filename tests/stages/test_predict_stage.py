"""Masks of the val photos and of the report's training photos, or of those alone."""

from collections import Counter
from pathlib import Path

import pytest
import torch

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


@pytest.mark.parametrize("mirror", [False, True])
def test_photos_of_one_size_pass_together(mirror: bool, shared_data: Path, tmp_path: Path) -> None:
    """Their masks are those of each alone, but for pixels whose classes are as good as equal."""
    train, val = read_voc(shared_data, "train"), read_voc(shared_data, "val")
    torch.manual_seed(0)
    network = models.build("deeplabv2-lite0", classes=len(train.classes), weights="none")
    save_model(network, tmp_path / "network" / "model.safetensors", meta={"classes": list(train.classes)})
    masks = {}
    for batch in (1, 3):
        workspace = Workspace(
            folder=tmp_path / f"predict{batch}",
            inputs={"network": tmp_path / "network"},
            train=train,
            val=val,
            model=ModelSettings(),
            runtime=Runtime(device="cpu", precision="32", workers=2, inference_batch=batch),
        )
        run(Settings(mirror=mirror, scales=(0.5, 1.5)), workspace)
        files = sorted(workspace.folder.rglob("*.png"))
        masks[batch] = {path.relative_to(workspace.folder): read_label(path) for path in files}
    assert masks[1].keys() == masks[3].keys()
    assert len({mask.tobytes() for mask in masks[1].values()}) > 3
    for path, mask in masks[1].items():
        assert (masks[3][path] == mask).mean() > 0.995, path
