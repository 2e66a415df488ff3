"""COCO's lists brought into VOC's layout: interrupted, resumed, made again; masks of one's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coco_folder
from sbnet.data.datasets.coco import layout
from sbnet.data.io.files import read_label, write_label
from sbnet.errors import SBNetError


@pytest.fixture
def folder(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    return tmp_path / "COCO", coco_folder.make(tmp_path / "COCO")


def make(root: Path, out: Path, **options: Any) -> layout.MadeList | None:
    instances = root / "annotations/instances_train2014.json"
    return layout.make_voc_layout(instances, root / "train2014", out, "train", **options)


def drawn(made: layout.MadeList | None) -> int:
    assert made is not None
    return made.drawn


def written(out: Path) -> dict[str, int]:
    """Name of a mask -> when it was written."""
    return {path.stem: path.stat().st_mtime_ns for path in (out / "SegmentationClass").glob("*.png")}


def test_interrupted_and_resumed(
    folder: tuple[Path, dict[str, np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, truth = folder
    out = tmp_path / "voc"
    left = iter(range(5))

    def full(path: Path, label: np.ndarray) -> None:
        if next(left, None) is None:
            raise SBNetError(f"disk full at {path}: free space")
        write_label(path, label)

    with monkeypatch.context() as patch:
        patch.setattr(layout, "write_label", full)
        with pytest.raises(SBNetError, match="disk full"):
            make(root, out)
    first = written(out)
    assert len(first) == 5
    assert not (out / "ImageSets").exists()
    assert make(root, out) == layout.MadeList(photos=20, classes=80, without=1, drawn=15)
    assert first.items() <= written(out).items()
    for path in (out / "SegmentationClass").glob("*.png"):
        np.testing.assert_array_equal(read_label(path), truth[path.stem])
    before = written(out)
    assert make(root, out) is None
    (out / "SegmentationClass/COCO_train2014_000000000003.png").unlink()
    assert drawn(make(root, out)) == 1
    path = root / "annotations/instances_train2014.json"
    path.write_text(path.read_text() + "\n")  # another file: nothing drawn from the old one stays
    left = iter(range(5))
    with monkeypatch.context() as patch:
        patch.setattr(layout, "write_label", full)
        with pytest.raises(SBNetError, match="disk full"):
            make(root, out)
    assert not (out / "ImageSets/Segmentation/train.txt").exists()
    assert drawn(make(root, out)) == 15
    assert not before.items() & written(out).items()


def test_masks_of_one_s_own_stay(folder: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    root, _ = folder
    assert drawn(make(root, tmp_path / "bare", masks=False)) == 0
    assert not (tmp_path / "bare/SegmentationClass").exists()
    mine = tmp_path / "bare/SegmentationClass/COCO_train2014_000000000003.png"
    write_label(mine, np.zeros(coco_folder.SIZE, np.uint8))
    assert drawn(make(root, tmp_path / "bare")) == 19
    assert read_label(mine).max() == 0


def test_an_instances_file_in_the_marker_s_place_stays_as_it_is(
    folder: tuple[Path, dict[str, np.ndarray]], tmp_path: Path
) -> None:
    root, _ = folder
    instances = tmp_path / "voc" / layout.MARKER
    instances.parent.mkdir()
    (root / "annotations/instances_train2014.json").rename(instances)
    before = instances.read_bytes()
    with pytest.raises(SBNetError, match=r"coco\.json is an input and would be overwritten"):
        layout.make_voc_layout(instances, root / "train2014", tmp_path / "voc", "train")
    assert instances.read_bytes() == before
    assert [path.name for path in instances.parent.iterdir()] == [layout.MARKER]
