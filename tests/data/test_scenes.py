"""The built-in scenes: the same for the same seed, true to their masks, readable as a VOC folder."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.synthetic.scene_objects import OBJECTS
from sbnet.data.synthetic.scene_pen import Pen
from sbnet.data.synthetic.scenes import CLASSES, make_scenes, scene
from sbnet.errors import SBNetError

SMALL = (72, 96)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_scenes(tmp_path_factory.mktemp("scenes") / "data", train=6, val=2, size=SMALL, seed=3)


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_seed_same_bytes_other_seed_or_index_other_picture() -> None:
    photo, mask, classes = scene(5, 7)
    again = scene(5, 7)
    assert photo.tobytes() == again[0].tobytes()
    assert mask.tobytes() == again[1].tobytes()
    assert classes == again[2]
    for seed, index in ((6, 7), (5, 8)):
        assert photo.tobytes() != scene(seed, index)[0].tobytes()


@pytest.mark.parametrize("size", [(144, 192), (96, 96), (128, 80)])
def test_shapes_and_labels_agree_with_the_mask(size: tuple[int, int]) -> None:
    for index in range(8):
        photo, mask, classes = scene(0, index, size=size)
        assert photo.shape == (*size, 3)
        assert mask.shape == size
        assert photo.dtype == mask.dtype == np.uint8
        counts = np.bincount(mask.ravel(), minlength=len(CLASSES))
        assert len(counts) == len(CLASSES)
        assert classes == tuple(CLASSES[i] for i in np.flatnonzero(counts) if i)
        assert 1 <= len(classes) <= 3
        assert all(count == 0 or count >= 0.04 * mask.size for count in counts[1:])
        assert photo.std() > 10


def test_every_class_occurs_often() -> None:
    seen = Counter(name for index in range(120) for name in scene(0, index, size=(48, 64))[2])
    assert set(seen) == set(CLASSES[1:])
    assert len(CLASSES) - 1 >= 6
    assert min(seen.values()) >= 15


@pytest.mark.parametrize("name", OBJECTS)
def test_the_plain_part_is_the_larger_one_in_a_colour_of_no_class(name: str) -> None:
    """Drawn with the same paint, each object has at least half of its area in (shades of) that paint."""
    paint = np.array([0.2, 0.9, 0.4], np.float32)
    pen = Pen((90, 100), np.eye(2) * 35, np.array([50.0, 85.0]))
    OBJECTS[name](pen, np.random.default_rng(0), paint)
    colour, cover = pen.finish()
    hue = colour / (colour.sum(2, keepdims=True) + 1e-6)
    plain = (np.abs(hue - paint / paint.sum()).sum(2) < 0.1) & (cover > 0.9)
    assert 0.5 < plain.sum() / cover.sum() < 0.9


def test_a_mask_ends_where_the_object_does() -> None:
    """Images differ along a mask's edge more than elsewhere: across it, and not beside it."""
    across, beside = [], []
    for index in range(10):
        photo, mask, _ = scene(1, index)
        grey = photo.astype(float).mean(2)
        step = np.abs(np.diff(grey, axis=1))
        edge = (mask[:, 1:] != mask[:, :-1])[:, 5:]
        across.append(step[:, 5:][edge].mean())
        beside.append(step[:, :-5][edge].mean())
    assert np.mean(across) > 2 * np.mean(beside)


def test_folder_is_read_as_voc(folder: Path) -> None:
    train, val = read_voc(folder, "train"), read_voc(folder, "val")
    assert train.classes == CLASSES
    assert (len(train), len(val)) == (6, 2)
    assert not {photo.name for photo in train.photos} & {photo.name for photo in val.photos}
    for index, photo in enumerate(train.photos):
        _, mask, names = scene(3, index, size=SMALL)
        assert photo.mask is not None
        np.testing.assert_array_equal(np.asarray(Image.open(photo.mask)), mask)
        assert tuple(CLASSES[i] for i in photo.classes) == names


def test_a_whole_folder_is_left_as_it_is(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    make_scenes(folder, train=6, val=2, size=SMALL, seed=3)
    assert before == {path: path.stat().st_mtime_ns for path in folder.rglob("*")}


def test_a_cut_off_folder_is_gone_on_with(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[int] = []

    def cut_off_at_4(seed: int, index: int, **size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, tuple]:
        drawn.append(index)
        if len(drawn) == 4:
            raise KeyboardInterrupt
        return scene(seed, index, **size)

    monkeypatch.setattr("sbnet.data.synthetic.scenes.scene", cut_off_at_4)
    with pytest.raises(KeyboardInterrupt):
        make_scenes(tmp_path / "data", train=6, val=2, size=SMALL, seed=3)
    assert json.loads((tmp_path / "data/scenes.json").read_text())["whole"] is False
    make_scenes(tmp_path / "data", train=6, val=2, size=SMALL, seed=3)
    assert drawn[4:] == [3, 4, 5, 1_000_000, 1_000_001]
    assert _bytes(tmp_path / "data") == _bytes(folder)


def test_other_arguments_make_the_folder_anew(tmp_path: Path) -> None:
    make_scenes(tmp_path / "a", train=3, val=1, size=SMALL, seed=0)
    make_scenes(tmp_path / "a", train=2, val=1, size=SMALL, seed=1)
    make_scenes(tmp_path / "b", train=2, val=1, size=SMALL, seed=1)
    assert _bytes(tmp_path / "a") == _bytes(tmp_path / "b")


def test_a_folder_of_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(SBNetError, match="not built-in scenes"):
        make_scenes(tmp_path, train=1, val=0)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("size", [(32, 64), (60, 200)])
def test_a_size_without_room_is_refused(size: tuple[int, int]) -> None:
    with pytest.raises(SBNetError, match="cannot be drawn"):
        scene(0, 0, size=size)
