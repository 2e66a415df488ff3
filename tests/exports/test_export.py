"""`sbnet export`: masks of a folder or of a run in other formats, whole or not at all."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sbnet.cli import execute
from sbnet.data.io.files import read_label, write_label
from sbnet.exports.base import EXPORTS, Export, NamedMask
from sbnet.exports.masks import export_masks

MASKS = {
    "a": np.array([[0, 0, 1], [2, 2, 2]], np.uint8),
    "b": np.array([[1, 255], [1, 0], [1, 1], [255, 255]], np.uint8),
}
CLASSES = ("background", "cat", "fire engine")


@pytest.fixture
def masks(tmp_path: Path) -> Path:
    for name, mask in MASKS.items():
        write_label(tmp_path / f"masks/{name}.png", mask)
    (tmp_path / "classes.txt").write_text("cat\nfire engine\n")
    return tmp_path / "masks"


def exported(*words: object) -> int:
    return execute(["export", *map(str, words)])


def rows(path: Path) -> list[list[str]]:
    return list(csv.reader(path.read_text().splitlines()))


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*words: object) -> str:
        capsys.readouterr()
        assert exported(*words) == 2
        error = capsys.readouterr().err
        assert error.startswith("sbnet: ")
        assert error.count("\n") == 1
        return error

    return run


def test_png(masks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "new/out"
    assert exported(masks, "--to", "png", "--out", out) == 0
    assert f"{out}: 2 masks of {masks}" in capsys.readouterr().out
    assert sorted(path.name for path in out.iterdir()) == ["a.png", "b.png", "legend.csv"]
    for name, mask in MASKS.items():
        np.testing.assert_array_equal(read_label(out / f"{name}.png"), mask)
        with Image.open(out / f"{name}.png") as image:
            assert image.mode == "P"
    assert rows(out / "legend.csv") == [
        ["id", "name", "color"],
        ["0", "background", "#000000"],
        ["1", "cat", "#800000"],
        ["2", "fire engine", "#008000"],
    ]


def test_areas(masks: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()  # an empty folder will do
    assert exported(masks, "--to", "areas", "--out", tmp_path / "out") == 0
    assert rows(tmp_path / "out/areas.csv") == [
        ["image", "class", "pixels", "share"],
        ["a", "background", "2", "0.333333"],
        ["a", "cat", "1", "0.166667"],
        ["a", "fire engine", "3", "0.500000"],
        ["b", "background", "1", "0.125000"],
        ["b", "cat", "4", "0.500000"],
        ["b", "ignore", "3", "0.375000"],
    ]


def test_classes_of_a_file_and_of_the_folder(masks: Path, tmp_path: Path, refused: Any) -> None:
    names = (tmp_path / "classes.txt").rename(tmp_path / "names.txt")
    error = refused(masks, "--to", "png", "--out", tmp_path / "out")
    assert f"{masks}: there is no classes.txt" in error
    assert "--classes FILE" in error
    assert exported(masks, "--to", "png", "--out", tmp_path / "out", "--classes", names) == 0
    names.rename(masks / "classes.txt")
    assert exported(masks, "--to", "png", "--out", tmp_path / "other") == 0


def test_what_is_refused(masks: Path, tmp_path: Path, refused: Any) -> None:
    out = tmp_path / "out"
    words = ("--to", "png", "--out", out)
    assert "no such folder (did you mean 'masks'?)" in refused(tmp_path / "maks", *words)
    assert "'pngs' (did you mean 'png'?)" in refused(masks, "--to", "pngs", "--out", out)
    (tmp_path / "empty").mkdir()
    assert "there are no masks (NAME.png)" in refused(tmp_path / "empty", *words)
    (tmp_path / "file").write_text("")
    assert "already exists" in refused(masks, "--to", "png", "--out", tmp_path / "file")
    assert "already exists" in refused(masks, "--to", "png", "--out", masks)
    assert "cannot be written" in refused(masks, "--to", "png", "--out", tmp_path / "file/out")
    (tmp_path / "classes.txt").write_text("cat\n")
    assert "a.png: the mask has the class id 2, but there are 2 classes" in refused(masks, *words)
    Image.new("RGB", (2, 2)).save(masks / "a.png")
    assert "a.png: a mask holds class ids" in refused(masks, *words)
    assert not out.exists()
    assert not list(tmp_path.glob(".*"))


def test_a_format_that_fails_leaves_nothing(masks: Path, tmp_path: Path) -> None:
    class Breaks(Export):
        name, title = "breaks", "fails half way"

        def write(self, masks: Any, classes: Any, out: Path) -> int:
            (out / "half").write_text(next(iter(masks)).name)
            raise OSError(28, "No space left on device")

    with pytest.raises(Exception, match="No space left"):
        export_masks(masks, Breaks(), tmp_path / "out", classes=CLASSES)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["classes.txt", "masks"]


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run on three scenes, without its steps."""
    root = tmp_path / "run"
    root.mkdir()
    (root / "recipe.yaml").write_text(
        "name: quickstart\nbase: quickstart\ndata: {source: scenes, train: 2, val: 1, size: [48, 64]}\n"
    )
    return root


def step(run: Path, masks: str, *, done: bool = True) -> None:
    """Masks of a step, whose names tell the folder."""
    write_label(run / f"{masks}/{masks.replace('/', '_')}.png", np.zeros((4, 4), np.uint8))
    if done:
        (run / masks).with_name("done.json").write_text("{}")


def test_the_most_finished_masks_of_a_run(run: Path, tmp_path: Path, refused: Any) -> None:
    assert "no finished masks" in refused(run, "--to", "png", "--out", tmp_path / "none")
    step(run, "predict/masks", done=False)
    for number, masks in enumerate(("crf/masks", "propagate/masks", "predict/masks")):
        step(run, masks)
        assert exported(run, "--to", "png", "--out", tmp_path / str(number)) == 0
        assert (tmp_path / str(number) / f"{masks.replace('/', '_')}.png").is_file()
    step(run, "predict/masks_crf")
    assert exported(run, "--to", "png", "--out", tmp_path / "crf") == 0
    assert (tmp_path / "crf/predict_masks_crf.png").is_file()
    assert [row[1] for row in rows(tmp_path / "crf/legend.csv")][1:4] == ["background", "bird", "boat"]
    (run / "predict/done.json").unlink()
    assert exported(run, "--to", "png", "--out", tmp_path / "again") == 0
    assert (tmp_path / "again/propagate_masks.png").is_file()


def test_images_of_a_run_are_known_to_the_format(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[NamedMask] = []

    def write(masks: Any, classes: Any, out: Path) -> int:
        found.extend(masks)
        return len(found)

    write_label(run / "predict/masks/scene_0000001.png", np.zeros((4, 4), np.uint8))
    (run / "predict/done.json").write_text("{}")
    monkeypatch.setattr(EXPORTS["png"], "write", write)
    assert exported(run, "--to", "png", "--out", tmp_path / "out") == 0
    assert [one.image for one in found] == [run / "data/JPEGImages/scene_0000001.jpg"]


def test_formats_are_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["export", "--help"]) == 0
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for form in EXPORTS.entries():
        assert f"{form.name} " in told
        assert form.title.split(";")[0] in told
