"""Every kind of bad input through the command line: status 2, one line with file and remedy, finished work kept."""

from __future__ import annotations

import shutil
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fake_steps import FakeSteps
from sbnet.cli import execute
from sbnet.data.io.files import write_label

PHOTO, MASK = "JPEGImages/{}.jpg", "SegmentationClass/{}.png"


def _rewrite(data: Path, name: str, write: Callable[[Path], object], pattern: str = PHOTO) -> None:
    path = data / pattern.format(name)
    path.unlink()
    write(path)


def _huge(path: Path) -> None:
    """A PNG whose header promises 1.6 gigapixels."""
    chunks = [b"IHDR" + struct.pack(">IIBBBBB", 40000, 40000, 8, 2, 0, 0, 0), b"IDAT" + zlib.compress(b"")]
    framed = [struct.pack(">I", len(one) - 4) + one + struct.pack(">I", zlib.crc32(one)) for one in chunks]
    path.with_suffix(".png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(framed))


def _append(data: Path, line: str) -> None:
    with (data / "ImageSets/Segmentation/train.txt").open("a") as file:
        file.write(line + "\n")


BROKEN: dict[str, tuple[Callable[[Path, str], Any], tuple[str, ...]]] = {
    "missing image": (
        lambda data, name: (data / PHOTO.format(name)).unlink(),
        ("train.txt, line 1: ", "'{}'", "JPEGImages"),
    ),
    "non-image": (
        lambda data, name: _rewrite(data, name, lambda path: path.write_text("no image")),
        ("{}.jpg: the image cannot be read (not an image)", "replace it"),
    ),
    "beyond the memory bound": (
        lambda data, name: _rewrite(data, name, _huge),
        ("{}.png: more than ", " pixels, and the bound is ", "save it smaller"),
    ),
    "mask of another size": (
        lambda data, name: write_label(data / MASK.format(name), np.ones((7, 9), np.uint8)),
        ("{}.png: the mask has 9 x 7 pixels, its image (upright) has 64 x 48"),
    ),
    "mask of another mode": (
        lambda data, name: _rewrite(data, name, Image.new("RGB", (64, 48)).save, MASK),
        ("{}.png: a mask holds class ids", "this one is RGB", "save it as an 8-bit palette PNG"),
    ),
    "mask with classes beyond the list": (
        lambda data, name: write_label(data / MASK.format(name), np.full((48, 64), 77, np.uint8)),
        ("{}.png: the mask has the class id 77", "fix the mask or the class list"),
    ),
    "listed twice": (lambda data, name: _append(data, name), ("train.txt, line 25: ", "'{}'", "line 1")),
    "listed and not there": (
        lambda data, name: _append(data, "nobody"),
        ("train.txt, line 25: ", "'nobody'"),
    ),
    "image without any class": (
        lambda data, name: write_label(data / MASK.format(name), np.zeros((48, 64), np.uint8)),
        ("train.txt, line 1: image '{}' has no class in ", "{}.png: ", "remove it from the list"),
    ),
}


def _finished(out: Path) -> dict[str, bytes]:
    return {
        str(path): path.read_bytes() for path in out.rglob("*") if path.is_file() and path.name != ".lock"
    }


@pytest.mark.parametrize("case", BROKEN)
def test_a_finished_run_is_left_alone(
    case: str, steps: FakeSteps, shared_data: Path, tmp_path: Path, refused: Any
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(shared_data, data)
    assert execute(["run", "voc12-lite", "--data", str(data), "--out", str(out)]) == 0
    before = _finished(out)
    name = (data / "ImageSets/Segmentation/train.txt").read_text().split()[0]
    spoil, words = BROKEN[case]
    spoil(data, name)
    error = refused("run", out)
    for word in words:
        assert word.format(name) in error
    assert _finished(out) == before


@pytest.mark.parametrize(
    ("word", "message"),
    [
        (
            "lighthouse car",
            "labels.txt, line 1: class 'lighthouse' is not in the class list (did you mean 'house'?)",
        ),
        ("car", "'house' and 1 more without any photo: a class is learnt from its photos; add some"),
        ("", "labels.txt, line 1 (nor have 23 others): training needs what each photo shows; label it"),
    ],
    ids=["unknown class", "no image of a class", "image without any class"],
)
def test_label_files(
    word: str, message: str, steps: FakeSteps, shared_data: Path, tmp_path: Path, refused: Any
) -> None:
    names = (shared_data / "ImageSets/Segmentation/train.txt").read_text().split()
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{name} {word}\n" for name in names))
    out = tmp_path / "out"
    error = refused("run", "voc12-lite", "--data", shared_data, f"data.labels={labels}", "--out", out)
    assert message in error
    assert not out.exists()


def test_a_truncated_image_ends_the_step_that_meets_it(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    shutil.copytree(shared_data, data)
    name = (data / "ImageSets/Segmentation/val.txt").read_text().split()[0]
    photo = data / PHOTO.format(name)
    photo.write_bytes(photo.read_bytes()[:-700])
    quick = [
        "backbone.weights=none",
        "segmenter.weights=none",
        "segmenter.epochs=1",
        "runtime.workers=1",
    ]
    quick += ["segmenter.labels=truth", "segmenter.batch=8", "segmenter.crop=32"]
    assert execute(["run", "voc12-lite", "--data", str(data), "--out", str(out), *quick]) == 2
    error = capsys.readouterr().err
    assert f"sbnet: {photo}: the image cannot be read (broken or unknown" in error
    assert "replace it or remove it from the list" in error
    assert (out / "train_segmenter" / "done.json").exists()
    shutil.copy(shared_data / PHOTO.format(name), photo)
    assert execute(["run", str(out)]) == 0
    assert "skipped (already done" in capsys.readouterr().out


class _Evil:
    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.marker,))


def test_a_pickle_with_code_in_it_is_never_run(shared_data: Path, tmp_path: Path, refused: Any) -> None:
    weights, marker = tmp_path / "weights.pth", tmp_path / "it-ran"
    torch.save({"conv.weight": _Evil(marker)}, weights)
    out = tmp_path / "out"
    run = ("run", "voc12-lite", "--data", shared_data, "--out", out, f"backbone.weights=file:{weights}")
    for command in (
        run,
        ("predict", shared_data / "JPEGImages", "--model", weights, "--out", tmp_path / "masks"),
    ):
        assert str(weights) in refused(*command)
    assert not marker.exists()
    assert not (tmp_path / "masks").exists()
