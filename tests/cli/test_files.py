"""Files of other implementations, as a user types it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from sbnet import models
from sbnet.cli import execute
from sbnet.interop import load_model
from sbnet.interop.reference_names import our_name


def test_convert_weights_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = models.build("deeplabv2-resnet101", weights="none")
    state = {f"base.{our_name(name)}": value for name, value in network.state_dict().items()}
    theirs, ours, back = (str(tmp_path / name) for name in ("msc.pth", "msc.safetensors", "back.pth"))
    torch.save(state, theirs)
    assert execute(["convert-weights", theirs, "--model", "deeplabv2-resnet101", "--out", ours]) == 0
    assert f"{ours}: deeplabv2-resnet101, 21 classes, 632 tensors" in capsys.readouterr().out
    assert load_model(ours)[0].scales == (1.0, 0.5, 0.75)
    assert execute(["convert-weights", ours, "--to", "reference", "--out", back]) == 0
    assert f"{back}: deeplabv2-resnet101 as deeplab's, 632 tensors" in capsys.readouterr().out
    again = torch.load(back, weights_only=True)
    assert again.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in again.items())


def test_convert_weights_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.pth", str(tmp_path / "a.safetensors")
    torch.save({"a": torch.zeros(1)}, path)
    for words, message in (
        ([str(path), "--out", out], "give either --model NAME"),
        ([str(path), "--out", out, "--model", "resnet39"], "no network 'resnet39' (did you mean"),
        ([str(path), "--out", out, "--model", "sbnet-resnet39"], "no network 'sbnet-resnet39' (did you mean"),
        ([str(path), "--out", out, "--model", "lite0"], "not the weights of this backbone"),
        ([str(path), "--out", out, "--to", "reference"], "not a model written by sbnet"),
        ([str(tmp_path / "b.pth"), "--out", out, "--model", "lite0"], "no such weights file"),
    ):
        assert execute(["convert-weights", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not Path(out).exists()
