"""Our model files: the same network comes back, and nothing else is taken for one."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from sbnet.backbones import weights as backbone_weights
from sbnet.backbones.normalization import Normalization
from sbnet.errors import SBNetError
from sbnet.methods.cam.network import CamNetwork
from sbnet.networks import build as networks
from sbnet.networks.build import build, same_backbone
from sbnet.networks.model_file import load_model, network_name, save_model

OPTIONS = {
    "sbnet-lite0": {"freeze": 2, "dropout": 0.1},
    "deeplabv2-lite0": {"scales": (1.0, 0.5), "stride": 8},
}


@pytest.mark.parametrize("name", list(OPTIONS))
def test_round_trip(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "run" / "model.safetensors"
    model = build(name, 4, weights="none", **OPTIONS[name]).to(memory_format=torch.channels_last)
    meta = {"classes": ["background", "cat", "dog", "owl"], "recipe": {"seed": 0}}
    save_model(model, path, meta=meta)
    assert os.listdir(path.parent) == ["model.safetensors"]
    monkeypatch.setattr(backbone_weights, "lite_path", lambda name: pytest.fail("needs the pip package"))
    loaded, found = load_model(path)
    assert found == meta
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


class Computing(CamNetwork):
    """Heads as a plug-in may have them: they compute with their first weights, and so need memory."""

    def initialize(self) -> None:
        super().initialize()
        self.fc8.weight.sum().item()


def test_heads_that_cannot_be_made_without_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their files are compared all the same."""
    monkeypatch.setattr(networks, "network_class", lambda family: Computing)
    path, model = tmp_path / "model.safetensors", build("cam-lite0", 3, weights="none")
    assert isinstance(model, Computing)
    save_model(model, path, meta={})
    assert torch.equal(load_model(path)[0].fc8.weight, model.fc8.weight)
    model.extra = torch.nn.Linear(1, 1)
    with pytest.raises(SBNetError, match=r"not written, .*its tensors are not those of the network"):
        save_model(model, path, meta={})


def test_what_is_no_model(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    with pytest.raises(SBNetError, match="no such model file"):
        load_model(path)
    path.write_bytes(b"x" * 100)
    with pytest.raises(SBNetError, match="not a model file of sbnet"):
        load_model(path)
    save_file({"a": torch.zeros(1)}, path)
    with pytest.raises(SBNetError, match="not a model file of sbnet"):
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
        ("classes", float("inf")),
        ("meta", {"classes": [1, 2]}),
    ],
)
def test_hostile_headers(tmp_path: Path, key: str, value: object) -> None:
    path = tmp_path / "model.safetensors"
    save_model(build("sbnet-lite0", 3, weights="none"), path, meta={})
    rewrite(path, **{key: value})
    with pytest.raises(SBNetError):
        load_model(path)


def rewrite(path: Path, **changes: object) -> None:
    """The file with one tensor of no network's, and another header."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["sbnet"])
    save_file({"a": torch.zeros(1)}, path, metadata={"sbnet": json.dumps(header | changes)})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"project": 4}, "does not describe a network .ZeroDivisionError"),  # a group norm of no groups
        ({"project": 2**16}, "its tensors are not those"),  # 335 MB, if it were made
        (
            {"project": 10**9},
            r"model.safetensors: deeplabv2-lite0: project=1000000000; expected less than or equal to 65536",
        ),
        ({"stride": [8]}, r"stride=\[8\]; expected a valid integer"),
        ({"rates": [1] * 100_000}, "rates=.*at most 64 items"),
    ],
)
def test_hostile_options_take_no_memory(tmp_path: Path, options: dict[str, object], message: str) -> None:
    path = tmp_path / "model.safetensors"
    save_model(build("deeplabv2-lite0", 3, weights="none"), path, meta={})
    rewrite(path, options=options)
    with pytest.raises(SBNetError, match=message):
        load_model(path)


def test_headers_nested_too_deep(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_file({"a": torch.zeros(1)}, path, metadata={"sbnet": "[" * 200_000})
    with pytest.raises(SBNetError, match="not a model file of sbnet"):
        load_model(path)
    assert not network_name(path)


@pytest.mark.parametrize("name", ["sbnet-lite0", "irn-timm:resnet18"])
def test_loading_draws_as_building_does(tmp_path: Path, name: str) -> None:
    """What a training draws after it has loaded a network is not moved by the look at its shapes."""
    save_model(build(name, 3, weights="none"), tmp_path / "model.safetensors", meta={})
    torch.manual_seed(0)
    build(name, 3, weights="none")
    expected = torch.rand(4)
    torch.manual_seed(0)
    model, _ = load_model(tmp_path / "model.safetensors")
    assert torch.equal(torch.rand(4), expected)
    assert {value.device.type for value in model.state_dict().values()} == {"cpu"}


def test_saving_draws_nothing(tmp_path: Path) -> None:
    model = build("sbnet-lite0", 3, weights="none")
    before = torch.get_rng_state()
    save_model(model, tmp_path / "model.safetensors", meta={})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"name": ""}, "no network ''"),
        ({"options": {"no such": 1}}, "no option 'no such'"),
        ({"options": {"project": 10**9}}, "project=1000000000; expected"),
        ({"options": {"project": torch.zeros(1)}}, "not JSON serializable"),
        ({"options": {}, "extra": torch.nn.Linear(1, 1)}, "tensors are not those of the network"),
        ({"classes": 4}, "tensors are not those of the network"),
    ],
)
def test_what_could_not_be_loaded_is_not_saved(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    model = build("deeplabv2-lite0", 3, weights="none")
    for key, value in change.items():
        setattr(model, key, value)
    with pytest.raises(SBNetError, match=f"model.safetensors: not written.*{message}"):
        save_model(model, tmp_path / "model.safetensors", meta={})
    assert not list(tmp_path.iterdir())


def test_names_of_networks(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    assert network_name(path) == ""
    save_model(build("affinitynet-lite0", 3, weights="none"), path, meta={})
    assert network_name(path) == "affinitynet-lite0"
    assert same_backbone("lite0", "timm:tf_efficientnet_lite0.in1k")
    assert same_backbone("timm:resnet50.a1_in1k", "timm:resnet50")
    assert not same_backbone("resnet101", "timm:resnet101")
