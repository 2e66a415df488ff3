"""What `data.source` can be: each reader recognizes its folder, opens its lists, and says what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import coco_folder
from sbnet.data.datasets.base import DATASETS, DataSettings, Lists
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import read_label
from sbnet.errors import SBNetError


def opened(source: str, work: Path, **settings: Any) -> Lists:
    reader = DATASETS[source]
    return reader.open(reader.Settings(**settings), work=work)


@pytest.fixture
def coco(tmp_path: Path) -> tuple[Path, dict[str, np.ndarray]]:
    return tmp_path / "COCO", coco_folder.make(tmp_path / "COCO")


def test_the_registry_needs_neither_torch_nor_numpy() -> None:
    code = (
        "import sys; from sbnet.registry import DATASETS; names = DATASETS.names(); "
        "assert {'voc', 'coco', 'scenes'} <= set(names), names; "
        "assert not DATASETS.broken, DATASETS.broken; "
        "assert not {'torch', 'numpy', 'PIL'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_each_recognizes_its_own_folder(folder: Path, coco: Any, tmp_path: Path) -> None:
    (tmp_path / "lists/ImageSets").mkdir(parents=True)
    known = {
        path: [reader.name for reader in DATASETS.entries() if reader.recognizes(path)]
        for path in (folder, coco[0], tmp_path / "lists", tmp_path, tmp_path / "nowhere")
    }
    assert list(known.values()) == [["voc"], ["coco"], ["voc"], [], []]


@pytest.mark.parametrize("source", ["voc", "coco"])
def test_a_folder_is_needed(source: str, tmp_path: Path) -> None:
    with pytest.raises(SBNetError, match=r"data\.root is empty: .*--data FOLDER"):
        opened(source, tmp_path / "work")


@pytest.mark.parametrize("reader", DATASETS.entries(), ids=DATASETS.names())
def test_words_for_people_and_settings_with_docs(reader: Any) -> None:
    assert reader.title
    assert reader.about
    assert issubclass(reader.Settings, DataSettings)
    assert all(field.description for field in reader.Settings.model_fields.values())


def test_voc(folder: Path, tmp_path: Path) -> None:
    (folder / "labels.txt").write_text("a cat\nb dog\nc dog\n")
    settings: dict[str, Any] = {
        "root": str(folder),
        "labels": str(folder / "labels.txt"),
        "white_level": 4095,
    }
    lists = opened("voc", tmp_path / "work", val="all", **settings)
    assert [image.classes for image in lists.train] == [(1,), (2,), (2,)]
    assert lists.val is not None
    assert [image.classes for image in lists.val] == [(1,), (2,), (1, 2), ()]  # by their masks
    assert {image.white for image in (*lists.train, *lists.val)} == {4095}
    assert opened("voc", tmp_path / "work", val="", **settings).val is None
    assert not (tmp_path / "work").exists()


def test_voc_in_words() -> None:
    reader = DATASETS["voc"]
    assert reader.lists(reader.Settings(val="")) == "voc, train list 'train', val list ''"


def test_coco(coco: tuple[Path, dict[str, np.ndarray]], tmp_path: Path) -> None:
    root, truth = coco
    lists = opened("coco", tmp_path / "work", root=str(root))
    assert len(lists.train.classes) == 81
    assert lists.val is not None
    for image in (*lists.train, *lists.val):
        assert image.mask is not None
        np.testing.assert_array_equal(read_label(image.mask), truth[image.name])
        assert image.labelled.startswith(str(tmp_path / "work"))
    assert len(lists.train) == 20


def test_coco_with_masks_of_one_s_own(coco: Any, tmp_path: Path) -> None:
    root, _ = coco
    first = opened("coco", tmp_path / "first", root=str(root), val="")
    (tmp_path / "first/SegmentationClass").rename(root / "mine")
    lists = opened("coco", tmp_path / "work", root=str(root), val="", masks="mine", labels="masks")
    assert not (tmp_path / "work/SegmentationClass").exists()
    assert {image.mask and image.mask.parent for image in lists.train} == {root / "mine"}
    assert [image.classes for image in lists.train] == [image.classes for image in first.train]


def test_scenes(tmp_path: Path) -> None:
    size = {"size": (48, 64), "seed": 3}
    lists = opened("scenes", tmp_path / "work", train=3, val=1, **size)
    assert lists.val is not None
    assert (len(lists.train), len(lists.val)) == (3, 1)
    assert lists.train == read_voc(tmp_path / "work", "train")
    assert opened("scenes", tmp_path / "other", train=1, val=0, **size).val is None
    (tmp_path / "full").mkdir()
    (tmp_path / "full/mine.txt").write_text("")
    with pytest.raises(SBNetError, match="files that are not built-in scenes"):
        opened("scenes", tmp_path / "full")
