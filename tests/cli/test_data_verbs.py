"""`sbnet data ...` as a user types it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_stages import FakeStages
from sbnet.cli import execute
from sbnet.data.files import write_label


@pytest.fixture
def root(shared_data: Path, tmp_path: Path) -> Path:
    """Links to the photos that no test changes, lists and masks of its own."""
    root = tmp_path / "VOC2012"
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for entry in ("JPEGImages", "SegmentationClass", "classes.txt"):
        (root / entry).symlink_to(shared_data / entry)
    for path in (shared_data / "ImageSets/Segmentation").glob("*.txt"):
        (root / "ImageSets/Segmentation" / path.name).write_bytes(path.read_bytes())
    return root


def _told(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str]:
    capsys.readouterr()
    status = execute(["data", *map(str, words)])
    return status, capsys.readouterr().out


def test_check_make_lists_check(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, told = _told(capsys, "check", root)
    assert status == 0
    assert "train_aug: made of VOC's lists and SBD: sbnet data make-lists" in told
    assert "problems               none" in told
    lists = root / "ImageSets/Segmentation"
    names = lists.joinpath("train.txt").read_text().split()
    lists.joinpath("train.txt").write_text("\n".join(names[1:]))
    write_label(root / f"SegmentationClassAug/{names[0]}.png", np.zeros((3, 3), np.uint8))
    status, told = _told(capsys, "make-lists", root)
    assert status == 0
    assert f"train_aug.txt: {len(names)} photos, written" in told
    assert lists.joinpath("train_aug.txt").read_text().split() == sorted(names)
    (root / "Annotations").mkdir()
    (root / f"Annotations/{names[1]}.xml").write_text("<annotation></annotation>")
    lists.joinpath("val.txt").write_text(f"{names[1]}\n")
    status, told = _told(capsys, "check", root)
    assert status == 2
    assert f"1 photos have both annotation and mask; 1 differ\n  {names[1]}: in its mask alone " in told
    assert "problems               2\n" in told
    assert "1 photos stand in val.txt, too" in told


def test_package(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Any) -> None:
    masks, out = tmp_path / "masks", tmp_path / "results.tar.gz"
    names = root / "ImageSets/Segmentation/val.txt"
    words = ["package", masks, "--out", out, "--list", names, "--photos", root / "JPEGImages"]
    for path in (root / "SegmentationClass").glob("*.png"):
        masks.mkdir(exist_ok=True)
        (masks / path.name).write_bytes(path.read_bytes())
    count = len(names.read_text().split())
    status, told = _told(capsys, *words)
    assert status == 0
    assert f"{out}: {count} masks; " in told
    assert "VOC 2012's test list has 1456 photos" in told
    with tarfile.open(out) as archive:
        assert len(archive.getnames()) == count
    (masks / f"{names.read_text().split()[0]}.png").unlink()
    assert f"1 of {count} masks" in refused("data", *words)


def test_mistakes(root: Path, refused: Any) -> None:
    assert "did you mean" in refused("data", "check", root / "JPEGImages")
    assert "nor SegmentationClassAug" in refused("data", "make-lists", root)
    assert "--from takes over one list" in refused("data", "make-lists", root, "--masks", "--from", "a.txt")


def test_train_aug_with_its_true_masks(root: Path, tmp_path: Path, stages: FakeStages, refused: Any) -> None:
    """Masks that SegmentationClass has not, measured and trained on: data.masks=SegmentationClassAug."""
    masks = root / "SegmentationClass"
    masks.rename(root / "SegmentationClassAug")
    masks.mkdir()
    words = ["run", "voc12-lite", "--data", root, "--out", tmp_path / "run", "train_segmenter.labels=truth"]
    assert "has neither a mask nor an annotation" in refused(*words)
    seen = []
    stages.before["train_segmenter"] = lambda workspace: seen.extend(photo.mask for photo in workspace.train)
    assert execute([*map(str, words), "data.masks=SegmentationClassAug"]) == 0
    assert {path.parent.name for path in seen} == {"SegmentationClassAug"}
    assert stages.take() == ["train_segmenter", "predict"]
