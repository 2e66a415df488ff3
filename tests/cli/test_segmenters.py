"""Other segmenters and pseudo masks made elsewhere, as a user types it. The real stages, on small scenes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open

from sbnet.cli import execute
from sbnet.data import IGNORE
from sbnet.data.io.files import read_json, read_label, write_label
from sbnet.data.io.image import read_photo
from sbnet.engine.model_file import load_model
from sbnet.steps import train_segmenter

SMALL = ("channels=8", "epochs=1", "batch=6", "crop=48")


@pytest.fixture
def masks(shared_data: Path, tmp_path: Path) -> Path:
    """Pseudo masks made elsewhere: the true ones, which 255 at outlines would spoil as a figure."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for path in (shared_data / "SegmentationClass").glob("*.png"):
        mask = read_label(path)
        write_label(folder / path.name, np.where(mask == IGNORE, 0, mask).astype(np.uint8))
    return folder


def words(data: Path, out: Path, masks: Path, family: str = "deeplabv2", *more: str) -> list[str]:
    run = ["run", "voc12-lite", "--data", str(data), "--out", str(out), f"random_walk.masks={masks}"]
    settings = [f"train_segmenter.{one}" for one in SMALL[0 if family != "deeplabv2" else 1 :]]
    return [*run, f"train_segmenter.family={family}", *settings, "runtime.workers=0", *more]


@pytest.mark.parametrize("family", ["deeplabv3plus", "upernet", "segformer"])
def test_from_masks_to_predictions(family: str, shared_data: Path, masks: Path, tmp_path: Path) -> None:
    for path in masks.iterdir():  # what is bright, which a few steps learn
        photo = read_photo(next((shared_data / "JPEGImages").glob(f"{path.stem}.*"))).mean(2)
        write_label(path, (photo > np.median(photo)).astype(np.uint8))
    out = tmp_path / "run"
    longer = ("train_segmenter.epochs=6", "train_segmenter.learning_rate=0.01")
    assert execute(words(shared_data, out, masks, family, *longer)) == 0
    model = out / "train_segmenter" / "model.safetensors"
    network, meta = load_model(model)
    assert network.name == f"{family}-lite0"
    assert meta["recipe"]["train_segmenter"]["family"] == family
    with safe_open(model, framework="pt") as file:
        assert {"decoder", "classifier", "backbone"} == {name.partition(".")[0] for name in file.keys()}  # noqa: SIM118
    metrics = read_json(out / "metrics.json")
    assert set(metrics) == {"random_walk", "segmenter", "segmenter_crf"}
    assert "pseudo mask" in (out / "report.html").read_text(encoding="utf-8")
    val = (shared_data / "ImageSets/Segmentation/val.txt").read_text().split()
    shown = [str(next((shared_data / "JPEGImages").glob(f"{name}.*"))) for name in val]
    for source, folder in ((model, tmp_path / "by file"), (out, tmp_path / "by run")):
        assert execute(["predict", *shown, "--model", str(source), "--out", str(folder), "--no-overlay"]) == 0
        for name in val:
            found = read_label(folder / f"{name}.png")
            assert np.array_equal(found, read_label(out / "predict" / "masks" / f"{name}.png"))
            assert 0.1 < (found == 1).mean() < 0.9


def test_an_interrupted_training_ends_with_the_same_weights(
    shared_data: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Running statistics of the decoder's batch norms and all."""
    fit, files = train_segmenter.fit, []

    def stops(*given: Any, **keywords: Any) -> Any:
        keywords["checkpoint_every"] = 3
        objective, calls = given[2], iter(range(6))

        def losses(*arguments: Any) -> Any:
            if halves and next(calls) == 5:
                raise KeyboardInterrupt
            return objective(*arguments)

        return fit(*given[:2], losses, **keywords)

    for name, halves in (("whole", False), ("halves", True)):
        monkeypatch.setattr(train_segmenter, "fit", stops)
        begin = words(
            shared_data, tmp_path / name, masks, "segformer", "train_segmenter.epochs=2", "data.val="
        )
        if halves:
            with pytest.raises(KeyboardInterrupt):
                execute_uncaught(begin)
            assert (tmp_path / name / "train_segmenter" / "checkpoint.pt").exists()
            monkeypatch.setattr(train_segmenter, "fit", fit)
        assert execute(begin) == 0
        files.append(load_model(tmp_path / name / "train_segmenter" / "model.safetensors")[0].state_dict())
    assert files[0].keys() == files[1].keys()
    for key, value in files[0].items():
        assert torch.equal(value, files[1][key]), key


def execute_uncaught(arguments: list[str]) -> None:
    """As `execute`, an interrupt passed on."""
    if execute(arguments) == 130:
        raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["family=upernt"], "family: 'upernt' is not one of deeplabv2, .* (did you mean 'upernet'?)"),
        (["family=upernet", "head=large_fov"], "head: 'large_fov' is one of deeplabv2's, not of upernet's"),
        (["family=upernet", "batch=1"], "batch: upernet needs batches of 2 photos or more"),
        (["channels=64"], "channels: deeplabv2 has no decoder"),
        (["family=upernet", "channels=-1"], "train_segmenter.channels is -1; expected 0 or more"),
    ],
)
def test_settings_that_do_not_fit(settings: list[str], message: str, refused: Any, tmp_path: Path) -> None:
    given = [f"train_segmenter.{one}" for one in settings]
    error = refused("run", "quickstart", "--out", tmp_path / "run", *given)
    beginning, _, end = message.partition(".*")
    assert beginning in error
    assert end.strip() in error
    assert not (tmp_path / "run").exists()


def test_without_the_library(
    refused: Any, shared_data: Path, masks: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("segmentation_models_pytorch")]:
        monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setitem(sys.modules, "segmentation_models_pytorch", None)
    begin = words(shared_data, tmp_path / "run", masks, "upernet")
    assert "pip install 'sbnet[smp]'" in refused(*begin)
    assert not (tmp_path / "run").exists()  # before the first of the steps
    assert execute([*begin, "--to", "random-walk"]) == 0  # which does not need it


def test_a_run_takes_pseudo_masks_made_elsewhere(
    shared_data: Path, masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Any
) -> None:
    out = tmp_path / "run"
    begin = [*words(shared_data, out, masks), "--to", "random-walk"]
    assert execute(begin) == 0
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["random_walk"]
    assert read_json(out / "metrics.json")["random_walk"]["miou"] > 0.95
    names = (shared_data / "ImageSets/Segmentation/train.txt").read_text().split()
    assert {path.stem for path in (out / "random_walk" / "masks").iterdir()} == set(names)
    for name in names:
        assert np.array_equal(
            read_label(out / "random_walk/masks" / f"{name}.png"), read_label(masks / f"{name}.png")
        )
    moved = tmp_path / "moved"
    masks.rename(moved)
    again = [*words(shared_data, out, moved), "--to", "random-walk"]
    assert execute(again) == 0
    assert "random_walk         pseudo masks made elsewhere: done before" in capsys.readouterr().out
    error = refused("sweep", out, "random_walk.steps=2,4")
    assert "its masks were made elsewhere" in error

    open_pixels = read_label(moved / f"{names[0]}.png")
    open_pixels[:9] = IGNORE  # which training leaves out
    write_label(moved / f"{names[0]}.png", open_pixels)
    assert execute(again) == 0
    told = capsys.readouterr().out
    assert "is redone (the files changed)" in told
    assert f"mIoU not measured: 1 of {len(names)} masks have pixels of no class (255)" in told
    assert read_json(out / "metrics.json") == {}  # a figure is for masks that say a class everywhere
    write_label(moved / f"{names[0]}.png", open_pixels[:, 1:])
    assert "pixels, its photo (upright) has" in refused(*again)
    write_label(moved / f"{names[0]}.png", np.full_like(open_pixels, 77))
    assert "class id 77" in refused(*again)
    (moved / f"{names[0]}.png").unlink()
    assert f"1 of {len(names)} labels are missing, first {names[0]}.png" in refused(*again)
    shutil.rmtree(moved)
    assert "random_walk.masks: there is no folder" in refused(*again)


def test_a_segmenter_is_brought_as_the_family_that_it_is(
    shared_data: Path, masks: Path, tmp_path: Path, refused: Any
) -> None:
    out = tmp_path / "run"
    assert execute([*words(shared_data, out, masks, "segformer"), "--to", "train-segmenter"]) == 0
    model = out / "train_segmenter" / "model.safetensors"
    given = [*words(shared_data, tmp_path / "again", masks), f"train_segmenter.network={model}"]
    error = refused(*given)  # or the recipe in the run would say deeplabv2
    assert "the kind deeplabv2 is needed: set train_segmenter.family=segformer" in error
    assert execute([*given, "train_segmenter.family=segformer"]) == 0
    assert load_model(tmp_path / "again" / "train_segmenter" / "model.safetensors")[0].name.startswith(
        "segformer"
    )
    wrong = [
        *words(shared_data, tmp_path / "wrong", masks),
        "random_walk.masks=",
        f"train_cam.network={model}",
    ]
    assert "the network segformer-lite0, where one of the kind sbnet is needed" in refused(*wrong)
