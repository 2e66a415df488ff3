"""COCO's instances as image labels; through VOC's layout back to the same collection."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from sbnet.cli import execute
from sbnet.data.coco import read_coco, write_voc_layout
from sbnet.data.voc import read_voc
from sbnet.errors import SBNetError

# Ids with gaps and out of order, as COCO's end with 90.
CATEGORIES = [
    {"id": 90, "name": "toothbrush"},
    {"id": 1, "name": "person"},
    {"id": 10, "name": "traffic light"},
]
PAIRS = [(42, 10), (42, 1), (42, 10), (7, 90)]  # (image, category); image 8 has none


@pytest.fixture
def coco(tmp_path: Path) -> Path:
    (tmp_path / "train2014").mkdir()
    images = [{"id": number, "file_name": f"COCO_train2014_{number:012}.jpg"} for number in (42, 7, 8)]
    for one in images:
        Image.new("RGB", (4, 3)).save(tmp_path / "train2014" / one["file_name"])
    annotations = [
        {"id": index, "image_id": image, "category_id": category, "iscrowd": index % 2}
        for index, (image, category) in enumerate(PAIRS)
    ]
    _write(tmp_path, categories=CATEGORIES, images=images, annotations=annotations)
    return tmp_path


def _write(root: Path, **tables: object) -> None:
    (root / "instances_train2014.json").write_text(json.dumps(tables))


def test_contiguous_classes_of_photos_with_instances(coco: Path) -> None:
    found = read_coco(coco / "instances_train2014.json", coco / "train2014")
    assert found.classes == ("background", "person", "traffic light", "toothbrush")
    assert [(photo.name, photo.classes) for photo in found] == [
        ("COCO_train2014_000000000007", (3,)),
        ("COCO_train2014_000000000042", (1, 2)),
    ]
    found.check_trainable()


def test_through_voc_s_layout(coco: Path) -> None:
    found = read_coco(coco / "instances_train2014.json", coco / "train2014")
    for _ in range(2):  # twice gives the same
        labels = write_voc_layout(found, coco / "voc", "train")
    again = read_voc(coco / "voc", "train", labels=labels)
    assert again.classes == found.classes
    assert [(one.name, one.classes) for one in again] == [(one.name, one.classes) for one in found]
    assert [one.path.resolve() for one in again] == [one.path.resolve() for one in found]
    (coco / "voc/classes.txt").write_text("cat\n")
    with pytest.raises(SBNetError, match="names other classes"):
        write_voc_layout(found, coco / "voc", "train")
    (coco / "voc/classes.txt").unlink()
    link = coco / "voc/JPEGImages/COCO_train2014_000000000007.jpg"
    link.unlink()
    link.symlink_to(coco / "instances_train2014.json")
    with pytest.raises(SBNetError, match="is another photo"):
        write_voc_layout(found, coco / "voc", "train")


def test_mistakes(coco: Path) -> None:
    path, photos = coco / "instances_train2014.json", coco / "train2014"
    (photos / "COCO_train2014_000000000007.jpg").unlink()
    with pytest.raises(SBNetError, match=r"1 of 2 photos of instances_train2014\.json are not there"):
        read_coco(path, photos)
    with pytest.raises(SBNetError, match="2 of 2 photos"):
        read_coco(path, coco / "nowhere")
    one = {"id": 1, "file_name": "a.jpg"}
    for pair in ((2, 1), (1, 3)):
        annotation = {"image_id": pair[0], "category_id": pair[1]}
        _write(coco, categories=CATEGORIES, images=[one], annotations=[annotation])
        with pytest.raises(SBNetError, match=f"image {pair[0]}, category {pair[1]}: one is not defined"):
            read_coco(path, photos)
    _write(coco, categories=CATEGORIES, images=[one], annotations=[])
    with pytest.raises(SBNetError, match="no photo has an instance"):
        read_coco(path, photos)
    for text in ("[]", "{", '{"categories": 1}', '{"images": []}'):
        path.write_text(text)
        with pytest.raises(SBNetError, match="no instances file of COCO"):
            read_coco(path, photos)


def test_as_a_user_types_it(coco: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [
        str(coco / "instances_train2014.json"),
        "--photos",
        str(coco / "train2014"),
        "--out",
        str(coco / "voc"),
    ]
    assert execute(["data", "from-coco", *words]) == 0
    told = capsys.readouterr().out
    assert "2 photos of 3 classes" in told
    assert f"data.labels={coco / 'voc/labels_train.csv'}" in told
    assert execute(["data", "check", str(coco / "voc")]) == 0
