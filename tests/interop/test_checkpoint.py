"""Our model files: the same network comes back, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sbnet.errors import SBNetError
from sbnet.interop import backbone_weights, load_model, save_model
from sbnet.models import Normalization, build

OPTIONS = {
    "sbnet-lite0": {"freeze": 2, "dropout": 0.1},
    "deeplabv2-lite0": {"scales": (1.0, 0.5), "stride": 8},
}


@pytest.mark.parametrize("name", list(OPTIONS))
def test_round_trip(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "model.safetensors"
    model = build(name, 4, weights="none", **OPTIONS[name]).to(memory_format=torch.channels_last)
    save_model(model, path, meta={"classes": ["background", "cat"], "recipe": {"seed": 0}})
    assert os.listdir(path.parent) == ["model.safetensors"]
    monkeypatch.setattr(backbone_weights, "lite_path", lambda name: pytest.fail("needs the pip package"))
    loaded, meta = load_model(path)
    assert meta == {"classes": ["background", "cat"], "recipe": {"seed": 0}}
    assert (loaded.name, loaded.classes, loaded.normalization) == (name, 4, model.normalization)
    assert not loaded.training
    assert [[n for n, _ in group] for group in loaded.parameter_groups()] == [
        [n for n, _ in group] for group in model.parameter_groups()
    ]
    for key, value in model.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key])
    save_model(loaded, path, meta=meta)
    assert load_model(path)[1] == meta


def test_normalization_is_that_of_the_file(tmp_path: Path) -> None:
    model = build("deeplabv2-lite0", 3, weights="none")
    model.normalization = Normalization(mean=(0.1, 0.2, 0.3), std=(0.4, 0.5, 0.6), bgr=True)
    save_model(model, tmp_path / "model.safetensors", meta={})
    assert load_model(tmp_path / "model.safetensors")[0].normalization == model.normalization


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(SBNetError, match="no such model file"):
        load_model(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(SBNetError, match="not a model written by sbnet"):
        load_model(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(SBNetError, match="not a model written by sbnet"):
        load_model(path)


def test_damaged_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(build("deeplabv2-lite0", 3, weights="none"), path, meta={})
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SBNetError, match=path.name):
        load_model(path)


def test_unwritable_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SBNetError, match="cannot be written"):
        save_model(
            build("deeplabv2-lite0", 3, weights="none"), tmp_path / "file" / "model.safetensors", meta={}
        )


def test_others_may_read_the_file_as_they_may_any(tmp_path: Path) -> None:
    (tmp_path / "any").touch()
    path = tmp_path / "model.safetensors"
    save_model(build("affinitynet-lite0", 3, weights="none"), path, meta={})
    assert path.stat().st_mode == (tmp_path / "any").stat().st_mode


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("classes", 10**12),
        ("classes", -1),
        ("options", {"boundary_channels": "many"}),
        ("options", {"no such": 1}),
        ("name", "sbnet-nothing"),
    ],
)
def test_hostile_headers(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "model.safetensors"
    save_model(build("sbnet-lite0", 3, weights="none"), path, meta={})
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["sbnet"])
    save_file({"a": torch.zeros(1)}, path, metadata={"sbnet": json.dumps(header | {key: value})})
    with pytest.raises(SBNetError):
        load_model(path)
