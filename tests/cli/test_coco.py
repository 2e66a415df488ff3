"""COCO through the command line: `sbnet data from-coco`, and runs on COCO's own folder."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import coco_folder
from fake_steps import STEPS, FakeSteps
from sbnet.cli import execute

TINY = [
    *("backbone.weights=none", "segmenter.weights=none", "runtime.workers=0", "runtime.device=cpu"),
    *("seeds.infer.scales=1", "seeds.infer.mirror=false", "refine.propagate.scale=1", "predict.crf=false"),
    *(
        f"{section}.{setting}"
        for section in ("seeds.bootstrap.train", "seeds.train", "refine.train", "segmenter")
        for setting in ("epochs=1", "batch=4", "crop=48")
    ),
    *(f"{section}.long_side=48,64" for section in ("seeds.bootstrap.train", "seeds.train", "refine.train")),
]


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    return tmp_path / "COCO", coco_folder.make(tmp_path / "COCO")


def written(out: Path) -> dict[str, int]:
    """Name of a mask -> when it was written."""
    return {path.stem: path.stat().st_mtime_ns for path in (out / "SegmentationClass").glob("*.png")}


def test_refused_before_anything_is_written(
    folder: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, refused: Any
) -> None:
    root, _ = folder
    out = tmp_path / "voc"
    words = [
        "data",
        "from-coco",
        root / "annotations/instances_train2014.json",
        "--images",
        root / "train2014",
    ]
    assert "'/'" in refused(*words, "--out", out, "--list", "a/b")
    assert "cannot be read" in refused(*words[:2], root / "x.json", *words[3:], "--out", out)
    assert "images of instances_train2014.json are not there" in refused(
        *words[:4], root / "val2014", "--out", out
    )
    assert not out.exists()
    (out / "JPEGImages").mkdir(parents=True)
    shutil.copy(next((root / "val2014").iterdir()), out / "JPEGImages/COCO_train2014_000000000003.jpg")
    assert "is another image" in refused(*words, "--out", out)
    assert [path.name for path in out.iterdir()] == ["JPEGImages"]
    Image.new("RGB", (9, 7)).save(root / "train2014/COCO_train2014_000000000004.jpg")
    error = refused(*words, "--out", tmp_path / "other")
    assert f"000004.jpg: 9 x 7 pixels (upright), but {words[2]} has 64 x 48 for image 4" in error
    assert not (tmp_path / "other/ImageSets").exists()


def test_as_a_user_types_it(
    folder: tuple[Path, dict[str, np.ndarray]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    steps: FakeSteps,
) -> None:
    """Two lists in one folder, `check`, and a run on it as the printed line says."""
    root, _ = folder
    out = tmp_path / "voc"
    for split in ("train", "val"):
        words = [
            str(root / f"annotations/instances_{split}2014.json"),
            "--images",
            str(root / f"{split}2014"),
        ]
        assert execute(["data", "from-coco", *words, "--out", str(out), "--list", split]) == 0
    told = capsys.readouterr().out
    assert "list train, 20 images of 80 classes, 20 masks drawn; 1 images without instances skipped" in told
    assert execute(["data", "check", str(out)]) == 0
    assert "list train             20 images, none without a mask" in capsys.readouterr().out
    line = next(line for line in told.splitlines() if line.startswith("next: sbnet run coco14-lite"))
    assert execute([*line.removeprefix("next: sbnet ").split(), "--out", str(tmp_path / "run")]) == 0
    assert steps.take() == STEPS


def test_a_run_on_coco_s_own_folder(
    folder: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, steps: FakeSteps, refused: Any
) -> None:
    root, _ = folder
    out = tmp_path / "run"
    words = ["run", "coco14-lite", "--data", str(root), "--out", str(out)]
    assert execute(words) == 0
    assert steps.take() == STEPS
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["propagation"]["miou"] == 1
    assert (metrics["propagation"]["images"], metrics["segmenter"]["images"]) == (20, 4)
    assert len(metrics["propagation"]["per_class"]) == 81
    before = written(out / "data")
    assert execute(words) == 0
    assert steps.take() == []
    assert written(out / "data") == before
    moved = root.rename(tmp_path / "moved")
    error = refused("run", out)
    assert "annotations/instances_train.json: there is no such file; it has none" in error
    assert execute(["run", str(out), "--data", str(moved)]) == 0  # where the data lies does not count
    assert steps.take() == []
    words = ["run", "coco14-lite", "--data", str(moved), "--out", str(tmp_path / "own")]
    assert "instances_trian.json: there is no such file" in refused(*words, "data.train=trian")
    assert not (tmp_path / "own").exists()
    masks = tmp_path / "mine"
    shutil.copytree(out / "data/SegmentationClass", masks)
    assert execute([*words, f"data.masks={masks}"]) == 0
    assert not (tmp_path / "own/data/SegmentationClass").exists()
    assert json.loads((tmp_path / "own/metrics.json").read_text())["propagation"]["miou"] == 1


def test_a_real_run_to_its_end_and_eval_of_81_classes(
    folder: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    root, _ = folder
    out, figures = tmp_path / "run", tmp_path / "figures.json"
    assert execute(["run", "quickstart", "--data", str(root), "--out", str(out), *TINY]) == 0
    metrics = json.loads((out / "metrics.json").read_text())
    assert {"bootstrap_cam", "cam", "crf", "propagation", "segmenter"} <= set(metrics)
    assert (out / "report.html").is_file()
    masks = out / "propagate/masks"
    truth = out / "data/SegmentationClass"
    assert execute(["eval", str(masks), "--ground-truth", str(truth), "--json", str(figures)]) == 0
    facts = json.loads(figures.read_text())
    assert len(facts["per_class"]) == 81
    assert facts["images"] == 20
    assert facts["miou"] == pytest.approx(metrics["propagation"]["miou"])


def test_check(folder: tuple[Path, dict[str, np.ndarray]], capsys: pytest.CaptureFixture[str]) -> None:
    root, _ = folder

    def told(status: int, *words: str) -> str:
        capsys.readouterr()
        assert execute(["data", "check", str(root), *words]) == status
        return capsys.readouterr().out

    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    fine = told(0)
    assert "list train2014         20 images with an instance (COCO 2014 has 82081), 1 without; " in fine
    assert "instances of 80 classes\n" in fine
    assert "list val2014           4 images with an instance (COCO 2014 has 40137), 1 without; " in fine
    assert fine.endswith("problems               none\n")
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    photos = sorted((root / "train2014").glob("*.jpg"))
    photos[2].unlink()
    Image.new("RGB", (9, 7)).save(photos[5])
    path = root / "annotations/instances_train2014.json"
    tables = json.loads(path.read_text())
    tables["annotations"][0]["segmentation"] = {"size": [1, 2], "counts": [2]}
    path.write_text(json.dumps(tables))
    (root / "annotations/instances_val2014.json").write_text("[]")
    bad = told(2)
    assert "list val2014           missing (COCO 2014 has 40137)" in bad
    assert "problems               4\n" in bad
    assert f"  {photos[2]}: there is no such image" in bad
    assert "annotation 1 (image 0, " in bad
    assert "its run lengths are of 2 x 1 pixels" in bad
    assert f"  {photos[5]}: 9 x 7 pixels (upright), but {path} has 64 x 48 for image 5" in bad
    assert "instances_val2014.json: not a COCO instances file" in bad
    assert bad.endswith("COCO: https://cocodataset.org/#download\n")
