"""A whole run, parts of it, and what is refused before anything runs."""

from __future__ import annotations

import importlib
import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fake_steps import STEPS, FakeSteps, make_data, refusal, small_recipe
from sbnet.config.recipe import load_recipe
from sbnet.data.io.files import read_json, write_label
from sbnet.errors import SBNetError
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.pipeline import run
from sbnet.pipeline.folder import open_folder


def test_a_whole_run(tmp_path: Path, shared_data: Path, steps: FakeSteps) -> None:
    out, text = tmp_path / "[red]a", io.StringIO()  # a folder that looks like markup
    recipe = small_recipe(shared_data)
    metrics = run(recipe, out, console=Console(file=text, width=300))
    assert steps.ran == STEPS
    for name in STEPS:
        finished = read_json(out / name / "done.json")
        assert finished["facts"] == {"images": 24}
        assert finished["device"] == "cpu"
        assert finished["seconds"] >= 0
    assert load_recipe(out) == recipe
    assert metrics == read_json(out / "metrics.json")
    assert list(metrics) == [
        *("bootstrap_cam", "bootstrap_crf", "cam", "crf", "propagation", "segmenter", "segmenter_crf")
    ]
    assert metrics["segmenter"]["list"] == "val"
    assert (metrics["cam"]["list"], metrics["cam"]["images"]) == ("train", 24)
    assert (metrics["propagation"]["miou"], metrics["propagation"]["absent"]) == (1.0, "ignored")
    assert (out / "report.html").exists()
    lines = text.getvalue().splitlines()
    assert lines[0].startswith(f"quickstart in {out}: 24 train images, 3 val images, 7 classes")
    assert " 1/10 bootstrap_train_cam train the bootstrap network: starting" in lines
    assert lines[-1].startswith("10/10 predict             masks of the val images: done, ")
    assert "mIoU 100.0 %, " in lines[-1]


def test_from_to_and_only(out: Path, shared_data: Path, steps: FakeSteps) -> None:
    recipe = small_recipe(shared_data)
    assert "no step 'crff'" in refusal(recipe, out, start="crff")
    seam = small_recipe(shared_data, "seeds.method=seam")
    assert "no step 'bootstrap_crf'" in refusal(seam, out, only="bootstrap_crf")
    assert not out.exists()
    run(recipe, out, stop="bootstrap_infer_cam")
    assert steps.take() == STEPS[:2]
    message = refusal(recipe, out, start="train_cam")
    assert "'bootstrap_crf' is required first, and it is not done" in message
    assert "--from bootstrap_crf" in message
    run(recipe, out, only="infer_cam")
    assert steps.take() == STEPS[2:5]
    run(recipe, out, start="crf", stop="propagate")
    assert steps.take() == STEPS[5:8]
    run(recipe, out, start="evaluate")
    assert steps.take() == []


def test_the_ceiling_needs_no_pseudo_masks(tmp_path: Path, out: Path, steps: FakeSteps) -> None:
    data = make_data(tmp_path / "images")
    recipe = small_recipe(data, "segmenter.labels=truth")
    assert list(run(recipe, out)) == ["segmenter", "segmenter_crf"]
    assert steps.take() == ["train_segmenter", "predict"]
    names = (data / "ImageSets/Segmentation/train.txt").read_text().split()
    mask = data / "SegmentationClass" / f"{names[0]}.png"
    truth = np.zeros((48, 64), np.uint8)
    truth[:9] = 1
    write_label(mask, truth)
    run(recipe, out)
    assert steps.take() == ["train_segmenter", "predict"]
    mask.unlink()
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{name} car\n" for name in names))
    bare = small_recipe(data, "segmenter.labels=truth", f"data.labels={labels}")
    message = refusal(bare, out)
    for part in ("1 images have no mask", f"'{names[0]}'", "choose other segmenter.labels"):
        assert part in message


def test_without_a_val_list_no_segmenter_is_measured(out: Path, shared_data: Path, steps: FakeSteps) -> None:
    metrics = run(small_recipe(shared_data, "data.val=", "seeds.method=seam"), out)
    assert steps.take() == STEPS[3:]
    assert "propagation" in metrics
    assert "segmenter" not in metrics


def test_a_run_without_any_ground_truth_says_so_first(tmp_path: Path, out: Path, steps: FakeSteps) -> None:
    data, labels, text = make_data(tmp_path / "images"), tmp_path / "labels.txt", io.StringIO()
    shutil.rmtree(data / "SegmentationClass")
    classes = (data / "classes.txt").read_text().split()
    names = (data / "ImageSets/Segmentation/train.txt").read_text().split()
    labels.write_text("".join(f"{name} {' '.join(classes)}\n" for name in names))
    recipe = small_recipe(data, f"data.labels={labels}", "data.val=")
    assert run(recipe, out, only="report", console=Console(file=text, width=300)) == {}
    assert "no ground truth, so nothing is measured" in text.getvalue().splitlines()[1]


def test_scenes_are_made_in_the_run(out: Path, steps: FakeSteps) -> None:
    settings = ["data.train=24", "data.val=3", "data.size=48,64", "seeds.method=seam"]
    run(load_recipe("quickstart", settings), out)
    assert (out / "data" / "JPEGImages").is_dir()
    run(load_recipe("quickstart", settings), out)
    assert steps.take() == STEPS[3:]
    run(load_recipe("quickstart", [*settings, "data.seed=3"]), out)
    assert steps.take() == STEPS[3:]


def test_another_recipe_or_other_images_are_refused(done: Path, shared_data: Path) -> None:
    before = (done / "recipe.yaml").read_text()
    refused = refusal(small_recipe(shared_data, name="voc12-lite"), done)
    assert "is a run of recipe 'quickstart', not of 'voc12-lite'; choose another --out" in refused
    assert "is a run on other images" in refusal(small_recipe(shared_data, "data.train=val"), done)
    assert (done / "recipe.yaml").read_text() == before


def test_other_folders_are_refused(tmp_path: Path, shared_data: Path, steps: FakeSteps) -> None:
    recipe = small_recipe(shared_data)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    assert "holds files but no run" in refusal(recipe, tmp_path / "mine")
    assert "is a file; a run needs a folder" in refusal(recipe, tmp_path / "mine" / "thesis.txt")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.yaml").write_text("[")
    assert "is not a run's recipe" in refusal(recipe, tmp_path / "broken")
    missing = tmp_path / "nowhere"
    assert f"there is no folder {missing}" in refusal(
        small_recipe(shared_data, f"seeds.train.boundaries={missing}"), tmp_path / "other"
    )
    assert steps.ran == []


def test_two_runs_at_once_are_refused(done: Path, shared_data: Path) -> None:
    recipe = small_recipe(shared_data)
    with open_folder(done, recipe):
        message = refusal(recipe, done)
    assert f"another run (process {os.getpid()}) is using this folder" in message
    run(recipe, done)


def test_images_that_cannot_be_learned_from_are_refused_before_anything_runs(
    tmp_path: Path, out: Path, shared_data: Path, steps: FakeSteps
) -> None:
    names = (shared_data / "ImageSets/Segmentation/train.txt").read_text().split()
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{name} car\n" for name in names))
    recipe = small_recipe(shared_data, f"data.labels={labels}")
    assert "'house'" in refusal(recipe, out)
    assert steps.ran == []
    assert not out.exists()
    refusal(recipe, tmp_path / "x" / "y")
    assert not (tmp_path / "x").exists()
    (tmp_path / "mine").mkdir()
    refusal(recipe, tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()


def test_a_bad_mask_of_the_ground_truth_ends_no_run_before_its_time(
    tmp_path: Path, out: Path, steps: FakeSteps
) -> None:
    data, text = make_data(tmp_path / "images"), io.StringIO()
    name = (data / "ImageSets/Segmentation/val.txt").read_text().split()[0]

    def spoil(context: Any) -> None:
        write_label(data / "SegmentationClass" / f"{name}.png", np.ones((9, 9), np.uint8))

    def background(context: Any) -> dict[str, Any]:
        for image in context.val:
            for folder in ("masks", "masks_crf"):
                write_label(context.folder / folder / f"{image.name}.png", np.zeros((48, 64), np.uint8))
        return {}

    steps.before["train_segmenter"] = spoil
    steps.instead["predict"] = background
    recipe = small_recipe(data, "refine.method=none", "seeds.method=seam")
    with pytest.raises(SBNetError, match="9 x 9"):
        run(recipe, out, console=Console(file=text, width=300))
    assert "masks of the val images: done" in text.getvalue()
    assert "not measured" in text.getvalue()
    assert (out / "predict" / "done.json").exists()
    assert "crf" in read_json(out / "metrics.json")


def test_a_failing_report_ends_no_run_before_its_time(
    done: Path, shared_data: Path, steps: FakeSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Path:
        raise ValueError("a bug in the page")

    monkeypatch.setattr(importlib.import_module("sbnet.pipeline.run"), "write_report", fail)
    with pytest.raises(ValueError, match="a bug in the page"):
        run(small_recipe(shared_data, "refine.train.epochs=777"), done)
    assert steps.take() == STEPS[6:]
    assert (done / "predict" / "done.json").exists()


def test_a_backbone_without_weights_is_not_trained_by_oversight(
    steps: FakeSteps, shared_data: Path, out: Path
) -> None:
    recipe = small_recipe(shared_data, name="voc12-resnet38")
    message = refusal(recipe, out)
    assert "backbone.weights: resnet38 comes without weights; give backbone.weights=file:PATH" in message
    recipe = small_recipe(shared_data, "backbone.weights=none", name="voc12-resnet38")
    assert "segmenter.weights: resnet101 comes without weights" in refusal(recipe, out)
    assert not out.exists()
    run(recipe, out, stop="bootstrap_infer_cam")  # trains no segmenter
    assert steps.take() == STEPS[:2]


def test_a_network_that_affinitynet_cannot_start_from_is_refused_before_the_run(
    steps: FakeSteps, shared_data: Path, tmp_path: Path, out: Path
) -> None:
    path = tmp_path / "cam.safetensors"
    save_model(build("sbnet-timm:resnet18", 8, weights="none"), path, meta={})
    settings = ("refine.train.start=seeds", f"seeds.train.network={path}")
    message = refusal(small_recipe(shared_data, *settings), out)
    for part in (
        "lite0 cannot start",
        "sbnet-timm:resnet18",
        "start=imagenet",
        "backbone.name=timm:resnet18",
    ):
        assert part in message
    assert not out.exists()
    run(small_recipe(shared_data, *settings), out, stop="crf")  # which does not start from it
    for remedy in ("refine.train.start=imagenet", "backbone.name=timm:resnet18"):
        run(small_recipe(shared_data, *settings, remedy), out, stop="train_affinity")
        assert steps.take()[-1] == "train_affinity"


@pytest.mark.parametrize("linked", [False, True])
@pytest.mark.parametrize(
    ("settings", "step", "kept"),
    [
        ("seeds.method=cam_files refine.train.start=imagenet seeds.folder={}", "infer_cam", "scores"),
        ("refine.method=mask_files refine.folder={}", "propagate", "masks"),
        ("segmenter.network={}", "train_segmenter", "model.safetensors"),
        ("segmenter.weights=file:{}", "train_segmenter", "model.safetensors"),
    ],
)
def test_what_a_step_takes_over_is_not_deleted_by_it(
    settings: str, step: str, kept: str, linked: bool, done: Path, shared_data: Path, tmp_path: Path
) -> None:
    """A step's own output as what it is to take: its folder is emptied before it starts."""
    own = done / step / kept
    before = {path: path.read_bytes() for path in (own.iterdir() if own.is_dir() else [own])}
    named = own
    if linked:
        named = tmp_path / "elsewhere"
        named.symlink_to(own)
    message = refusal(small_recipe(shared_data, *settings.format(named).split()), done)
    for part in (str(named), f"the folder of the step that would take it, {step}", "copy or move it"):
        assert part in message
    assert {path: path.read_bytes() for path in before} == before


def test_images_too_large_for_the_scales_are_refused(
    shared_data: Path, done: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sbnet.data.io.image.MAX_PIXELS", 48 * 64 * 9)
    scales = ("seeds.infer.scales=1,2", "seeds.infer.mirror=yes", "refine.propagate.scale=2.5")
    run(small_recipe(shared_data, *scales), done, stop="crf")
    for more in (["seeds.infer.scales=1,2.5"], ["refine.method=irn"]):  # IRN sees the mirror image, too
        message = refusal(small_recipe(shared_data, *scales, *more), done)
        assert "64 x 48 pixels" in message
        assert "2211" in message
        assert "scales" in message


def test_a_folder_that_no_step_reads_is_not_looked_for(done: Path, shared_data: Path, tmp_path: Path) -> None:
    boundaries = f"seeds.train.boundaries={tmp_path / 'none'}"
    run(small_recipe(shared_data, "segmenter.labels=truth", boundaries), done)
