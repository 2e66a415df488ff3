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
        ("{}.png: too many pixels, the limit is ", "save it smaller"),
    ),
    "mask of another size": (
        lambda data, name: write_label(data / MASK.format(name), np.ones((7, 9), np.uint8)),
        ("{}.png: the mask has 9 x 7 pixels, its image (upright) has 64 x 48", "make them equal"),
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


LISTS = "ImageSets/Segmentation"


def _labels(data: Path, change: Callable[[list[str]], list[str]], file: str = "labels.txt") -> str:
    """A label file of all training images; gives the setting that names it."""
    names = (data / LISTS / "train.txt").read_text().split()
    lines = change([f"{name} car" for name in names])
    (data / file).write_text("".join(f"{line}\n" for line in lines))
    return f"data.labels={data / file}"


def _write(path: Path, text: str) -> str:
    path.write_text(text)
    return ""


# Name -> what spoils a copy of the images (it may give a setting), and what is told, `|` between the parts.
TABLE: dict[str, tuple[Callable[[Path], str], str]] = {
    "two images of one name": (
        lambda data: _write(data / f"JPEGImages/{_first(data)}.png", "x"),
        "JPEGImages: both {}.jpg and {}.png|remove or rename one",
    ),
    "no such list": (lambda data: "data.train=trian", "trian.txt: |(did you mean 'train'?)"),
    "no such val list": (lambda data: "data.val=vla", "vla.txt: |(did you mean 'val'?)|(data.val=)"),
    "empty list": (
        lambda data: _write(data / LISTS / "train.txt", ""),
        "train.txt: |one image name per line",
    ),
    "a name with suffix": (
        lambda data: _write(data / LISTS / "train.txt", f"{_first(data)}.jpg"),
        "train.txt, line 1: |'{}.jpg'|write '{}'",
    ),
    "no such folder of masks": (
        lambda data: "data.masks=SegmentationClas",
        "data.masks: |'SegmentationClas'|(did you mean 'SegmentationClass'?)",
    ),
    "masks of other images": (
        lambda data: f"data.masks={data / 'JPEGImages'}",
        "train.txt|Annotations",
    ),
    "no such label file": (lambda data: "data.labels=none.txt", "data.labels: 'none.txt'|masks"),
    "image not in the label file": (
        lambda data: _labels(data, lambda lines: lines[1:]),
        "train.txt, line 1: |'{}'|labels.txt|add",
    ),
    "image twice in the label file": (
        lambda data: _labels(data, lambda lines: [*lines, lines[0]]),
        "labels.txt, line 25: |'{}' is on line 1 already|remove one",
    ),
    "unknown class": (
        lambda data: _labels(data, lambda lines: [f"{lines[0]} lighthouse", *lines[1:]]),
        "labels.txt, line 1: class 'lighthouse'|(did you mean 'house'?)|add the class",
    ),
    "classes separated by commas": (
        lambda data: _labels(data, lambda lines: [f"{lines[0]},cat", *lines[1:]]),
        "labels.txt, line 1: class 'car,cat'|separate class names with spaces: car cat",
    ),
    "another form of CSV": (
        lambda data: _labels(data, lambda lines: ["a,car;cat,x", *lines[1:]], "labels.csv"),
        "labels.csv, line 1: 'a,car;cat,x'|name,class;class",
    ),
    "no image of a class": (
        lambda data: _labels(data, lambda lines: lines),
        "'house' and 1 more|without any image|every class needs images",
    ),
    "images without any class": (
        lambda data: _labels(data, lambda lines: [line.split()[0] for line in lines]),
        "train.txt, line 1: |labels.txt, line 1|23 more|label it",
    ),
    "a class twice": (
        lambda data: _write(data / "classes.txt", "cat\ncar\ncat\n"),
        "classes.txt, line 3: 'cat' is on line 1 already|remove one",
    ),
    "background not first": (
        lambda data: _write(data / "classes.txt", "cat\nbackground\n"),
        "classes.txt, line 2: 'background' has id 0|put it first or remove it",
    ),
    "too many classes": (
        lambda data: _write(data / "classes.txt", "".join(f"class{number}\n" for number in range(300))),
        "classes.txt: 301 classes|255",
    ),
    "not VOC's layout": (
        lambda data: f"data.root={data.parent}",
        "there is no JPEGImages in it (did you mean '|VOC's layout",
    ),
    "weights that are no such file": (
        lambda data: f"backbone.weights=file:{data / 'none.pth'}",
        "none.pth|no file|check the path",
    ),
}


def _first(data: Path) -> str:
    return (data / LISTS / "train.txt").read_text().split()[0]


@pytest.mark.parametrize("case", TABLE)
def test_what_is_refused_before_anything_is_made(
    case: str, shared_data: Path, tmp_path: Path, refused: Any
) -> None:
    data, out, name = tmp_path / "data", tmp_path / "out", _first(shared_data)
    shutil.copytree(shared_data, data)
    spoil, words = TABLE[case]
    settings = [one for one in (spoil(data),) if one]
    error = refused("run", "voc12-lite", "--data", data, "--out", out, *settings)
    for word in words.format(*[name] * words.count("{}")).split("|"):
        assert word in error
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
