"""`sbnet data ...` as a user types it."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from fake_steps import FakeSteps
from sbnet.cli import execute
from sbnet.data.io.files import write_label


@pytest.fixture
def root(shared_data: Path, tmp_path: Path) -> Path:
    """Links to the images that no test changes, lists and masks of its own."""
    root = tmp_path / "VOC2012"
    (root / "ImageSets/Segmentation").mkdir(parents=True)
    for entry in ("JPEGImages", "SegmentationClass", "classes.txt"):
        (root / entry).symlink_to(shared_data / entry)
    for path in (shared_data / "ImageSets/Segmentation").glob("*.txt"):
        (root / "ImageSets/Segmentation" / path.name).write_bytes(path.read_bytes())
    return root


def test_a_folder_without_any_list_is_a_problem(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for path in (root / "ImageSets/Segmentation").iterdir():
        path.unlink()
    assert execute(["data", "check", str(root)]) == 2
    assert "train.txt: there is no such list, nor any other; write it" in capsys.readouterr().out


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
    assert f"train_aug.txt: {len(names)} images, written" in told
    assert lists.joinpath("train_aug.txt").read_text().split() == sorted(names)
    (root / "Annotations").mkdir()
    (root / f"Annotations/{names[1]}.xml").write_text("<annotation></annotation>")
    lists.joinpath("val.txt").write_text(f"{names[1]}\n")
    status, told = _told(capsys, "check", root)
    assert status == 2
    line = f"1 images have both annotation and mask in SegmentationClass; 1 differ\n  {names[1]}: only in its mask: "
    assert line in told
    assert "0 images have both annotation and mask in SegmentationClassAug; 0 differ" in told
    without = (
        f"none without a mask in SegmentationClass, {len(names) - 1} without a mask in SegmentationClassAug"
    )
    assert f"{len(names)} images, {without}\n" in told
    assert f"SegmentationClassAug/{names[0]}.png: the mask has 3 x 3 pixels" in told
    assert "problems               3\n" in told
    assert "1 image also in val.txt" in told


def test_check_of_a_label_file(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everything that a run would refuse in it, with line and remedy, in one go; and what a user may not have meant."""
    own = tmp_path / "classes.txt"
    own.write_text("cat\nfish\nfire engine\nmoon\n")
    (root / "SegmentationClass").unlink()
    first, second, third, *rest = root.joinpath("ImageSets/Segmentation/train.txt").read_text().split()
    labels = tmp_path / "labels.txt"
    lines = [f"{first} cat", f"{second} catt", f"{third}.jpg fish", f"{first} fish", "nowhere fish"]
    labels.write_text(
        "\n".join([*lines, *(f"{name} cat fish" for name in rest[2:]), f"{rest[0]} fire engine"])
    )
    words = ["check", root, "--labels", labels, "--classes", own]
    status, told = _told(capsys, *words)
    assert status == 2
    assert f"{labels}, line 2: class 'catt' is not in the class list (did you mean 'cat'?): fix it" in told
    assert f"{labels}, line 4: image '{first}' is on line 1 already: remove one" in told
    assert (
        f"names with spaces need the CSV form: save the file as labels.csv, with 'name,classes' as the first "
        f"line and here '{rest[0]},fire engine'" in told
    )
    assert f"  line 3: there is no image '{third}.jpg' (write '{third}')\n" in told
    assert "  line 5: there is no image 'nowhere'\n" in told
    assert f"2 of {3 + len(rest)} images of list train are not in {labels} ('{third}' is the first)" in told
    count = len(list((root / "JPEGImages").iterdir()))
    assert f"2 names without an image, {count - len(rest[2:]) - 3} images not in it" in told
    # A file that is right but for classes too seldom.
    labels.write_text("".join(f"{name} cat fish\n" for name in (first, second, third, *rest)))
    status, told = _told(capsys, *words)
    assert status == 2
    assert "problems               1\n" in told
    assert "list train: 'fire engine', 'moon' without any image: every class" in told
    assert "2 of 4 classes are in fewer than 20 images of list train\n  fire engine: 0\n  moon: 0\n" in told
    assert f"\n  cat: {3 + len(rest)}\n" in _told(capsys, *words, "--all")[1]
    own.write_text("cat\nfish\n")
    status, told = _told(capsys, *words)
    assert status == 0
    assert "problems               none" in told
    labels.write_text(f"{first}\n" + "".join(f"{name} cat fish\n" for name in (second, third, *rest)))
    status, told = _told(capsys, *words)
    assert status == 2
    assert f"list train: image '{first}' has no class in {labels}, line 1: every training image" in told


def test_check_of_images_without_any_label(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "SegmentationClass").unlink()
    status, told = _told(capsys, "check", root)
    assert status == 2
    assert "images of list train have neither a mask nor an annotation" in told
    assert "or give a label file (--labels FILE; for a run: data.labels=FILE)" in told


def test_package(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Any) -> None:
    masks, out = tmp_path / "masks", tmp_path / "results.tar.gz"
    names = root / "ImageSets/Segmentation/val.txt"
    words = ["package", masks, "--out", out, "--list", names, "--images", root / "JPEGImages"]
    for path in (root / "SegmentationClass").glob("*.png"):
        masks.mkdir(exist_ok=True)
        (masks / path.name).write_bytes(path.read_bytes())
    count = len(names.read_text().split())
    status, told = _told(capsys, *words)
    assert status == 0
    assert f"{out}: {count} masks; " in told
    assert "VOC 2012's test list has 1456 images" in told
    with tarfile.open(out) as archive:
        assert len(archive.getnames()) == count
    (masks / f"{names.read_text().split()[0]}.png").unlink()
    assert f"1 of {count} masks" in refused("data", *words)
    mine = tmp_path / "list.tar"
    mine.write_text(f"{names.read_text().split()[1]}\n")
    assert "is an input and would be overwritten" in refused(
        "data", "package", masks, "--out", mine, "--list", mine
    )
    assert mine.read_text() == f"{names.read_text().split()[1]}\n"


def test_mistakes(root: Path, refused: Any) -> None:
    assert "did you mean" in refused("data", "check", root / "JPEGImages")
    assert "nor SegmentationClassAug" in refused("data", "make-lists", root)
    assert "--from imports one list" in refused("data", "make-lists", root, "--masks", "--from", "a.txt")


def test_train_aug_with_its_own_masks(root: Path, tmp_path: Path, steps: FakeSteps, refused: Any) -> None:
    """Masks that SegmentationClass has not, measured and trained on: data.masks=SegmentationClassAug."""
    masks = root / "SegmentationClass"
    masks.rename(root / "SegmentationClassAug")
    masks.mkdir()
    words = ["run", "voc12-lite", "--data", root, "--out", tmp_path / "run", "segmenter.labels=truth"]
    assert "has neither a mask nor an annotation" in refused(*words)
    seen = []
    steps.before["train_segmenter"] = lambda context: seen.extend(image.mask for image in context.train)
    assert execute([*map(str, words), "data.masks=SegmentationClassAug"]) == 0
    assert {path.parent.name for path in seen} == {"SegmentationClassAug"}
    assert steps.take() == ["train_segmenter", "predict"]
