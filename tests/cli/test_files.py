"""Files of other implementations, as a user types it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sbnet.cli import execute
from sbnet.compat import cams as cam_files
from sbnet.compat.names import our_name
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import read_json, read_label, read_scores, write_scores
from sbnet.data.io.image import read_photo
from sbnet.networks.build import build
from sbnet.networks.model_file import load_model
from sbnet.ops import DenseCRF, confident_labels, with_background_score


def test_convert_weights_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    network = build("deeplabv2-resnet101", weights="none")
    state = {f"base.{our_name(name)}": value for name, value in network.state_dict().items()}
    theirs, ours, back = (str(tmp_path / name) for name in ("msc.pth", "msc.safetensors", "back.pth"))
    torch.save(state, theirs)
    assert execute(["convert-weights", theirs, "--model", "deeplabv2-resnet101", "--out", ours]) == 0
    assert f"{ours}: deeplabv2-resnet101, 21 classes, 632 tensors" in capsys.readouterr().out
    assert load_model(ours)[0].scales == (1.0, 0.5, 0.75)
    assert execute(["convert-weights", ours, "--to", "reference", "--out", back]) == 0
    assert f"{back}: deeplabv2-resnet101 as DeepLab v2, 632 tensors" in capsys.readouterr().out
    again = torch.load(back, weights_only=True)
    assert again.keys() == state.keys()
    assert all(torch.equal(value, state[name]) for name, value in again.items())


def test_convert_weights_tells_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = tmp_path / "a.pth", str(tmp_path / "a.safetensors")
    torch.save({"a": torch.zeros(1)}, path)
    for words, message in (
        ([str(path), "--out", out], "its names do not tell the network"),
        ([str(path), "--out", out, "--model", "lite0", "--to", "reference"], "cannot be combined"),
        ([str(path), "--out", out, "--model", "resnet39"], "no network 'resnet39' (did you mean"),
        ([str(path), "--out", out, "--model", "sbnet-resnet39"], "no network 'sbnet-resnet39' (did you mean"),
        ([str(path), "--out", out, "--model", "lite0"], "not the weights of this backbone"),
        ([str(path), "--out", out, "--to", "reference"], "writes a .pth file"),
        ([str(path), "--out", str(tmp_path / "b.pth"), "--to", "reference"], "not a model file of sbnet"),
        ([str(path), "--out", str(path), "--to", "reference"], "is an input and would be overwritten"),
        ([str(path), "--out", str(tmp_path / "b.pth"), "--model", "lite0"], "name it b.safetensors"),
        ([str(tmp_path / "b.pth"), "--out", out, "--model", "lite0"], "no such weights file"),
    ):
        assert execute(["convert-weights", *words]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert [one.name for one in tmp_path.iterdir()] == ["a.pth"]


@pytest.fixture
def scored(shared_data: Path, tmp_path: Path) -> Path:
    """CAMs of every training image, made from the ground truth, as a run has them."""
    folder = tmp_path / "scores"
    for photo in read_voc(shared_data, "train"):
        truth = read_label(photo.mask)
        scores = np.stack([(truth == index) * 0.75 for index in photo.classes])
        write_scores(folder / f"{photo.name}.npz", scores, np.array(photo.classes))
    return folder


def run(*words: object) -> int:
    return execute([str(word) for word in words])


def test_convert_cams_there_and_back(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(list(scored.iterdir()))
    assert run("convert-cams", scored, "--to", "reference", "--out", tmp_path / "out_cam") == 0
    assert f"{count} files written to {tmp_path / 'out_cam'}" in capsys.readouterr().out
    assert run("convert-cams", tmp_path / "out_cam", "--out", tmp_path / "again") == 0
    for path in scored.iterdir():
        before, after = read_scores(path), read_scores(tmp_path / "again" / path.name)
        assert np.array_equal(before.scores, after.scores)
        assert np.array_equal(before.classes, after.classes)
        theirs = np.load(tmp_path / "out_cam" / f"{path.stem}.npy", allow_pickle=True).item()
        assert [key + 1 for key in theirs] == before.classes.tolist()


def test_someones_affinitynet_gets_crf_marginals(scored: Path, shared_data: Path, tmp_path: Path) -> None:
    for path in sorted(scored.iterdir())[2:]:
        path.unlink()
    images = ["--images", shared_data / "JPEGImages", "--alphas", "4,24"]
    assert run("convert-cams", scored, "--to", "marginals", "--out", tmp_path / "crf", *images) == 0
    low, high = tmp_path / "crf_4.0", tmp_path / "crf_24.0"
    assert run("convert-cams", low, "--high", high, "--to", "seeds", "--out", tmp_path / "seeds") == 0
    for path in scored.iterdir():
        scores, classes = read_scores(path)
        crf = DenseCRF(read_photo(shared_data / "JPEGImages" / f"{path.stem}.jpg"))
        expected = {}
        for folder, alpha in ((low, 4), (high, 24)):
            theirs = np.load(folder / f"{path.stem}.npy", allow_pickle=True).item()
            assert list(theirs) == [0, *classes.tolist()]
            probabilities = with_background_score(torch.from_numpy(scores), alpha=alpha).numpy()
            expected[alpha] = crf.marginals(probabilities, iterations=10)
            assert np.array_equal(np.stack(list(theirs.values())), expected[alpha])
        label = read_label(tmp_path / "seeds" / f"{path.stem}.png")
        assert np.array_equal(label, confident_labels(expected[4], expected[24], classes))


def test_someones_marginals_share_a_lattice_and_no_folder(
    scored: Path, shared_data: Path, tmp_path: Path, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in sorted(scored.iterdir())[2:]:
        path.unlink()
    words = ("convert-cams", scored, "--to", "marginals", "--out", tmp_path / "crf")
    images = ("--images", shared_data / "JPEGImages", "--alphas")
    error = refused(*words, *images, "4,4.21,24,4.24")
    assert "crf_4.2: the folder of both 4.21 and 4.24" in error
    assert not list(tmp_path.glob("crf*"))
    built: list[object] = []
    build = DenseCRF.__init__

    def counted(self: DenseCRF, *arguments: Any, **keywords: Any) -> None:
        built.append(self)
        build(self, *arguments, **keywords)

    monkeypatch.setattr(DenseCRF, "__init__", counted)
    assert run(*words, *images, "4,16,24") == 0
    assert len(built) == 2
    assert sorted(path.name for path in tmp_path.glob("crf_*")) == ["crf_16.0", "crf_24.0", "crf_4.0"]
    monkeypatch.setattr("sbnet.engine.crf.available_memory", lambda: 1000)
    assert "smaller" in refused(*words, *images, "4,24")


def test_convert_cams_tells_what_is_wrong(
    scored: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", tmp_path / "out"]
    hostile = tmp_path / "hostile"
    hostile.mkdir()
    (hostile / "a.npy").write_bytes(b"\x93NUMPY\x01\x00cos\nsystem\n.")
    for words, message in (
        ([scored, *out], "contains no NAME.npy"),
        ([tmp_path / "none", *out], "no such folder"),
        ([hostile, *out], "a.npy: refused"),
        ([scored, "--to", "seeds", *out], "requires two folders"),
        ([scored, "--to", "marginals", "--alphas", "4", *out], "requires --images FOLDER"),
        ([scored, "--to", "marginals", "--images", scored, "--alphas", "4,x", *out], "not a list of numbers"),
        ([scored, "--alphas", "4", *out], "require --to marginals"),
    ):
        assert run("convert-cams", *words) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_run_starts_from_someones_cams(
    scored: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The real stages, up to the labels that AffinityNet learns from."""
    cams, out = tmp_path / "out_cam", tmp_path / "run"
    assert run("convert-cams", scored, "--to", "reference", "--out", cams) == 0
    words = (
        f"run voc12-lite --data {shared_data} --out {out} --to crf crf.iterations=1 seeds.method=cam_files"
    )
    begin = [*words.split(), "refine.train.start=imagenet"]
    assert run(*begin, f"seeds.folder={cams}") == 0
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["crf", "infer_cam"]
    for path in scored.iterdir():
        assert (out / "infer_cam" / "scores" / path.name).read_bytes() == path.read_bytes()
        assert (out / "crf" / "seeds" / f"{path.stem}.png").exists()
    assert read_json(out / "metrics.json")["cam"]["miou"] == 1
    assert f"use the CAMs in {cams}: starting" in capsys.readouterr().out
    moved = cams.rename(tmp_path / "moved")
    assert run(*begin, f"seeds.folder={moved}") == 0
    assert f"{moved}: skipped" in capsys.readouterr().out
    cam_files.write_cam(
        moved / f"{path.stem}.npy", *(read_scores(path).scores / 2, read_scores(path).classes)
    )
    assert run(*begin, f"seeds.folder={moved}") == 0
    assert "(the files changed)" in capsys.readouterr().out
    (moved / f"{path.stem}.npy").unlink()
    assert run(*begin, f"seeds.folder={moved}") == 2
    assert f"no CAMs of image '{path.stem}'" in capsys.readouterr().err
    assert run(*begin, f"seeds.folder={tmp_path / 'nowhere'}") == 2
    assert "seeds.folder: there is no folder" in capsys.readouterr().err
    assert run(*begin, f"seeds.folder={moved}", "refine.train.start=seeds") == 2
    error = capsys.readouterr().err
    assert "train_affinity" in error
    assert "train_segmenter" in error


def test_a_run_takes_networks_made_elsewhere(
    scored: Path, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From weights under the reference's names to pseudo masks, the real stages, without any training."""
    classes, names = 8, read_voc(shared_data, "train").classes
    weights = {}
    for family in ("sbnet", "affinitynet", "deeplabv2"):
        state = build(f"{family}-lite0", classes, weights="none").state_dict()
        weights[family] = tmp_path / f"{family}.pth"
        state = {our_name(name): value for name, value in state.items()}
        torch.save({"state_dict": state, "epoch": 3} if family == "sbnet" else state, weights[family])
    out = tmp_path / "run"
    begin = ["run", "voc12-lite", "--data", shared_data, "--out", out, "predict.crf=no"]
    settings = [
        f"seeds.train.network={weights['sbnet']}",
        f"refine.train.network={weights['affinitynet']}",
        "seeds.infer.scales=0.5",
    ]
    segmenter = f"segmenter.network={weights['deeplabv2']}"
    assert run(*begin, *settings, "--to", "propagate") == 0, capsys.readouterr().err
    printed = capsys.readouterr().out
    assert run(*begin, *settings, segmenter) == 0, capsys.readouterr().err  # which needs no step before it
    printed += capsys.readouterr().out
    for path in weights.values():
        assert f" {path}: starting" in printed
    note = "ignored, next to 'state_dict' in the file: epoch"
    assert f"      {note}\n" in printed
    assert read_json(out / "train_cam" / "done.json")["facts"]["notes"] == [note]
    folders = ["infer_cam", "predict", "propagate", "train_affinity", "train_cam", "train_segmenter"]
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == folders
    _, meta = load_model(out / "train_cam" / "model.safetensors")
    assert tuple(meta["classes"]) == names
    digest = hashlib.sha256(weights["sbnet"].read_bytes()).hexdigest()
    assert (meta["converted_from"], meta["sha256"]) == ("sbnet.pth", digest)
    assert meta["recipe"]["seeds"]["train"]["network"] == str(weights["sbnet"])
    assert len(list((out / "propagate" / "masks").iterdir())) == len(list(scored.iterdir()))
    assert run(*begin, *settings, "--to", "propagate") == 0
    assert capsys.readouterr().out.count(": skipped") == 4
    wrong = [f"seeds.train.network={weights['affinitynet']}", *settings[1:]]
    assert run(*begin, *wrong) == 2
    error = capsys.readouterr().err
    assert str(weights["affinitynet"]) in error
    assert "a network of the family 'affinitynet', not sbnet-lite0" in error
