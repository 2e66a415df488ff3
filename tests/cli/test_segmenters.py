"""Other segmenters and pseudo masks made elsewhere, as a user types it. The real steps, on small scenes."""

from __future__ import annotations

import shutil
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
from sbnet.networks.model_file import load_model
from sbnet.steps import training

SMALL = ("channels=8", "epochs=1", "batch=6", "crop=48")


@pytest.fixture
def masks(shared_data: Path, tmp_path: Path) -> Path:
    """Pseudo masks made elsewhere: the ground truth without the 255 at outlines, which could not be measured."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    for path in (shared_data / "SegmentationClass").glob("*.png"):
        mask = read_label(path)
        write_label(folder / path.name, np.where(mask == IGNORE, 0, mask).astype(np.uint8))
    return folder


def words(data: Path, out: Path, masks: Path, family: str = "deeplabv2", *more: str) -> list[str]:
    run = ["run", "voc12-lite", "--data", str(data), "--out", str(out), "refine.method=mask_files"]
    settings = [f"segmenter.{one}" for one in SMALL[0 if family != "deeplabv2" else 1 :]]
    return [
        *run,
        f"refine.folder={masks}",
        f"segmenter.method={family}",
        *settings,
        "runtime.workers=0",
        *more,
    ]


@pytest.mark.parametrize("family", ["deeplabv3plus", "upernet", "segformer"])
def test_from_masks_to_predictions(family: str, shared_data: Path, masks: Path, tmp_path: Path) -> None:
    for path in masks.iterdir():  # what is bright, which a few steps learn
        photo = read_photo(next((shared_data / "JPEGImages").glob(f"{path.stem}.*"))).mean(2)
        write_label(path, (photo > np.median(photo)).astype(np.uint8))
    out = tmp_path / "run"
    longer = ("segmenter.epochs=6", "segmenter.learning_rate=0.01")
    assert execute(words(shared_data, out, masks, family, *longer)) == 0
    model = out / "train_segmenter" / "model.safetensors"
    network, meta = load_model(model)
    assert network.name == f"{family}-lite0"
    assert meta["recipe"]["segmenter"]["method"] == family
    with safe_open(model, framework="pt") as file:
        assert {"decoder", "classifier", "backbone"} == {name.partition(".")[0] for name in file.keys()}  # noqa: SIM118
    metrics = read_json(out / "metrics.json")
    assert set(metrics) == {"propagation", "segmenter", "segmenter_crf"}
    assert "Pseudo masks" in (out / "report.html").read_text(encoding="utf-8")
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
    fit, files = training.fit, []

    def stops(model: Any, samples: Any, objective: Any, **keywords: Any) -> Any:
        calls = iter(range(6))

        def losses(*arguments: Any) -> Any:
            if next(calls) == 5:
                raise KeyboardInterrupt
            return objective(*arguments)

        return fit(model, samples, losses, **keywords)

    for name, halves in (("whole", False), ("halves", True)):
        more = ("segmenter.epochs=2", "segmenter.checkpoint_every=3", "data.val=")
        begin = words(shared_data, tmp_path / name, masks, "segformer", *more)
        if halves:
            monkeypatch.setattr(training, "fit", stops)
            assert execute(begin) == 130
            assert (tmp_path / name / "train_segmenter" / "checkpoint.pt").exists()
            monkeypatch.setattr(training, "fit", fit)
        assert execute(begin) == 0
        files.append(load_model(tmp_path / name / "train_segmenter" / "model.safetensors")[0].state_dict())
    assert files[0].keys() == files[1].keys()
    for key, value in files[0].items():
        assert torch.equal(value, files[1][key]), key


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (["method=upernet", "head=large_fov"], ("'segmenter' has no setting 'head'", "available: ")),
        (["method=upernet", "batch=1"], ("segmenter.batch is 1", "upernet", "2 images or more")),
        (["method=deeplabv2", "channels=64"], ("'segmenter' has no setting 'channels'",)),
        (["method=upernet", "channels=-1"], ("segmenter.channels is '-1'", "greater than or equal to 0")),
    ],
)
def test_settings_that_do_not_fit(
    settings: list[str], words: tuple[str, ...], refused: Any, tmp_path: Path
) -> None:
    given = [f"segmenter.{one}" for one in settings]
    error = refused("run", "quickstart", "--out", tmp_path / "run", *given)
    assert all(word in error for word in words)
    assert not (tmp_path / "run").exists()


def test_a_run_takes_pseudo_masks_made_elsewhere(
    shared_data: Path, masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Any
) -> None:
    out = tmp_path / "run"
    begin = [*words(shared_data, out, masks), "--to", "propagate"]
    assert execute(begin) == 0
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["propagate"]
    assert read_json(out / "metrics.json")["propagation"]["miou"] > 0.95
    names = (shared_data / "ImageSets/Segmentation/train.txt").read_text().split()
    assert {path.stem for path in (out / "propagate" / "masks").iterdir()} == set(names)
    for name in names:
        assert np.array_equal(
            read_label(out / "propagate/masks" / f"{name}.png"), read_label(masks / f"{name}.png")
        )
    moved = tmp_path / "moved"
    masks.rename(moved)
    again = [*words(shared_data, out, moved), "--to", "propagate"]
    assert execute(again) == 0
    assert f"the pseudo masks in {moved}: skipped (already done" in capsys.readouterr().out
    assert "made elsewhere" in refused("sweep", out, "refine.propagate.steps=2,4")

    open_pixels = read_label(moved / f"{names[0]}.png")
    open_pixels[:9] = IGNORE  # which training ignores
    write_label(moved / f"{names[0]}.png", open_pixels)
    assert execute(again) == 0
    told = capsys.readouterr().out
    assert "(the files changed)" in told
    assert f"mIoU not measured: 1 of {len(names)} masks have unknown pixels (255)" in told
    assert read_json(out / "metrics.json") == {}  # a figure is for masks that say a class everywhere
    write_label(moved / f"{names[0]}.png", open_pixels[:, 1:])
    assert "pixels, its image (upright) has" in refused(*again)
    write_label(moved / f"{names[0]}.png", np.full_like(open_pixels, 77))
    assert "class id 77" in refused(*again)
    (moved / f"{names[0]}.png").unlink()
    assert f"1 of {len(names)} labels are missing, first {names[0]}.png" in refused(*again)
    shutil.rmtree(moved)
    assert "refine.folder: there is no folder" in refused(*again)


def test_a_segmenter_is_brought_as_the_family_that_it_is(
    shared_data: Path, masks: Path, tmp_path: Path, refused: Any
) -> None:
    out = tmp_path / "run"
    assert execute([*words(shared_data, out, masks, "segformer"), "--to", "train-segmenter"]) == 0
    model = out / "train_segmenter" / "model.safetensors"
    given = [*words(shared_data, tmp_path / "again", masks), f"segmenter.network={model}"]
    error = refused(*given)  # or the recipe in the run would say deeplabv2
    assert f"{model}: " in error
    assert "one of the family 'deeplabv2'" in error
    assert "the method of 'segformer'" in error
    assert execute([*given, "segmenter.method=segformer"]) == 0
    assert load_model(tmp_path / "again" / "train_segmenter" / "model.safetensors")[0].name.startswith(
        "segformer"
    )
    wrong = ("run", "quickstart", "--data", shared_data, "--out", tmp_path / "wrong")
    assert "one of the family 'sbnet'" in refused(*wrong, f"seeds.train.network={model}")
