"""Files between stages: round trips, whole or absent, broken ones named, a full disk told as such."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from sbnet.data.io import files
from sbnet.data.io.files import (
    atomic_write,
    check_output,
    read_json,
    read_label,
    read_scores,
    write_bytes,
    write_json,
    write_label,
    write_scores,
)
from sbnet.data.io.palette import PALETTE
from sbnet.errors import SBNetError


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("out")


@given(
    scores=arrays.arrays(np.float32, st.tuples(*[st.integers(1, 4)] * 3), elements=st.floats(0, 1, width=32)),
    first=st.integers(1, 200),
)
def test_scores_round_trip(out: Path, scores: np.ndarray, first: int) -> None:
    classes = np.arange(first, first + len(scores))
    write_scores(out / "a.npz", scores, classes)
    again = read_scores(out / "a.npz")
    assert again.scores.dtype == np.float32
    np.testing.assert_allclose(again.scores, scores, atol=2.0**-12)
    np.testing.assert_array_equal(again.classes, classes)


@given(label=arrays.arrays(np.uint8, st.tuples(*[st.integers(1, 6)] * 2)))
def test_label_round_trip_in_voc_colours(out: Path, label: np.ndarray) -> None:
    write_label(out / "a.png", label)
    np.testing.assert_array_equal(read_label(out / "a.png"), label)
    with Image.open(out / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image.convert("RGB")), PALETTE[label])


def test_same_content_same_bytes(tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_scores(tmp_path / name, np.full((1, 3, 3), 0.5), np.array([4]))
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_photo_without_classes(tmp_path: Path) -> None:
    write_scores(tmp_path / "a.npz", np.zeros((0, 4, 5), np.float32), np.zeros(0, np.int64))
    assert read_scores(tmp_path / "a.npz").scores.shape == (0, 4, 5)


def test_json_round_trip(tmp_path: Path) -> None:
    data = {"miou": 0.5, "per_class": {"cat": None}, "name": "café"}
    write_json(tmp_path / "deep/er/a.json", data)
    assert read_json(tmp_path / "deep/er/a.json") == data
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "nan.json", {"miou": float("nan")})
    assert not (tmp_path / "nan.json").exists()


def test_programming_mistakes_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"are not \(K, H, W\)"):
        write_scores(tmp_path / "a.npz", np.zeros((2, 3, 3)), np.array([1]))
    with pytest.raises(ValueError, match="uint8"):
        write_label(tmp_path / "a.png", np.zeros((2, 3), np.int64))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["scores.npz", "data.json", "label.png"])
@pytest.mark.parametrize("damage", ["cut", "foreign", "empty"])
def test_broken_files_name_the_remedy(tmp_path: Path, kind: str, damage: str) -> None:
    path = tmp_path / kind
    write_scores(tmp_path / "scores.npz", np.random.default_rng(0).random((2, 30, 30)), np.array([1, 2]))
    write_json(tmp_path / "data.json", {"a": list(range(50))})
    write_label(tmp_path / "label.png", np.random.default_rng(0).integers(0, 20, (40, 40), dtype=np.uint8))
    whole = path.read_bytes()
    path.write_bytes({"cut": whole[: len(whole) // 2], "foreign": b"\x80Dear reader", "empty": b""}[damage])
    read = {"scores.npz": read_scores, "data.json": read_json, "label.png": read_label}[kind]
    with pytest.raises(SBNetError, match=rf"{kind}.* delete it and run again"):
        read(path)


def test_missing_files(tmp_path: Path) -> None:
    for read in (read_scores, read_json):
        with pytest.raises(SBNetError, match="run the step that writes it"):
            read(tmp_path / "none")


def test_pickles_and_other_arrays_are_not_scores(tmp_path: Path) -> None:
    np.save(tmp_path / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    np.savez(tmp_path / "object.npz", scores=np.array([print], dtype=object), classes=np.array([1]))
    np.savez(tmp_path / "other.npz", values=np.zeros(3))
    np.savez(tmp_path / "shape.npz", scores=np.zeros((3, 3), np.float16), classes=np.zeros(3))
    for name in ("object.npy", "object.npz", "other.npz", "shape.npz"):
        with pytest.raises(SBNetError, match=rf"{name}: not a complete scores file"):
            read_scores(tmp_path / name)


def test_failed_write_keeps_the_old_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    with atomic_write(tmp_path / "a", durable=True) as temporary:
        temporary.write_bytes(b"old")
    with pytest.raises(TypeError), atomic_write(tmp_path / "a") as temporary:
        temporary.write_bytes("not bytes")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    message = r"disk full at .*b: free space or choose another folder; finished work is kept"

    def write(error: Exception) -> None:
        with atomic_write(tmp_path / "b") as temporary:
            temporary.write_bytes(b"half")
            raise error

    wrapped = RuntimeError("writer failed")
    wrapped.__cause__ = OSError(errno.EDQUOT, "quota")
    for error in (
        OSError(errno.ENOSPC, "full"),
        wrapped,
        ValueError(f"I/O error: {os.strerror(errno.ENOSPC)}"),
    ):
        with pytest.raises(SBNetError, match=message):
            write(error)
    with pytest.raises(RuntimeError):
        write(RuntimeError("writer failed"))
    monkeypatch.setattr(files.shutil, "disk_usage", lambda path: SimpleNamespace(free=0))
    with pytest.raises(SBNetError, match=message):
        write(RuntimeError("writer failed"))
    assert not list(tmp_path.iterdir())


def test_folder_that_takes_no_files(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a file")
    with pytest.raises(SBNetError, match=r"b cannot be written .*choose another folder"):
        write_bytes(tmp_path / "a" / "b", b"")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SBNetError, match="folder cannot be written"):
        write_bytes(tmp_path / "folder", b"")
    assert {path.name for path in tmp_path.iterdir()} == {"a", "folder"}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_not_finite_are_not_written(tmp_path: Path, value: float) -> None:
    scores = np.zeros((3, 4, 5), np.float32)
    scores[1, 2, 3] = value
    with pytest.raises(SBNetError, match=r"a\.npz: not written: scores of class 7 are not finite"):
        write_scores(tmp_path / "a.npz", scores, np.array([2, 7, 9]))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ids", [[0, 1], [1, 255], [1, 300], [-1, 1]])
def test_class_ids_are_those_of_classes(ids: list[int], tmp_path: Path) -> None:
    write_scores(tmp_path / "a.npz", np.zeros((2, 3, 4), np.float32), np.array(ids))
    with pytest.raises(SBNetError, match=r"a.npz: not a complete scores file \(class ids .*must be 1 to 254"):
        read_scores(tmp_path / "a.npz")


def test_an_output_that_is_an_input(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    check_output(first, [first, second, None])  # neither is there
    first.write_text("a")
    check_output(second, [first])
    check_output(first, [None, tmp_path / "none"])
    second.symlink_to(first)
    roundabout = tmp_path / ".." / tmp_path.name / "first"
    for out, read in ((first, first), (second, first), (first, second), (roundabout, first)):
        with pytest.raises(SBNetError, match="is an input and would be overwritten: choose another"):
            check_output(out, [None, read])
