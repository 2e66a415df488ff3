"""Images that are not 8-bit grey or colour, from `sbnet data check` over a run to `sbnet predict`."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import sbnet
from fake_steps import FakeSteps
from sbnet import models
from sbnet.cli import execute
from sbnet.data.io.image import read_photo
from sbnet.networks.model_file import save_model
from tiff_file import write_tiff


@pytest.fixture
def root(shared_data: Path, tmp_path: Path) -> Path:
    """Images of the tests' own, lists and masks of the others."""
    root = tmp_path / "field"
    (root / "JPEGImages").mkdir(parents=True)
    for entry in ("SegmentationClass", "ImageSets", "classes.txt"):
        (root / entry).symlink_to(shared_data / entry)
    for path in (shared_data / "JPEGImages").iterdir():
        (root / "JPEGImages" / path.name).symlink_to(path)
    return root


def rewrite(root: Path, names: list[str], *, extra: list[int] | None = None, scale: float = 1) -> None:
    """These images as TIFFs: with a fourth band, or as 16 bits, values times `scale`."""
    for name in names:
        (old,) = (root / "JPEGImages").glob(f"{name}.*")
        pixels = read_photo(old)
        old.unlink()
        if extra is not None:
            pixels = np.concatenate([pixels, pixels[..., :1]], 2)
        values = pixels if scale == 1 else np.rint(pixels * scale).astype(np.uint16)
        write_tiff(root / f"JPEGImages/{name}.tif", values, photometric=2, extra=extra)


def names_of(root: Path, split: str = "train") -> list[str]:
    return (root / f"ImageSets/Segmentation/{split}.txt").read_text().split()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_run_asks_what_is_white_in_12_bits_and_then_sees_the_images(
    root: Path, tmp_path: Path, steps: FakeSteps, refused: Any
) -> None:
    names = names_of(root)
    before = {name: read_photo(next((root / "JPEGImages").glob(f"{name}.*"))) for name in names}
    rewrite(root, names, scale=4095 / 255)
    words = ["run", "voc12-lite", "--data", str(root), "--out", str(tmp_path / "run")]
    message = refused(*words)
    assert (
        f"field/train: {len(names)} of {len(names)} images ({names[0]}.tif is the first) have 16 bits"
        in message
    )
    assert "data.white_level=4095 if they were taken with 12 bits, or data.white_level=65535" in message
    assert steps.take() == []
    seen = {}
    steps.before["train_cam"] = lambda context: seen.update(
        {image.name: image.pixels() for image in context.train}
    )
    assert execute([*words, "data.white_level=4095"]) == 0
    for name in names:
        np.testing.assert_array_equal(seen[name], before[name])
    steps.take()
    assert execute([*words, "data.white_level=65535"]) == 0  # other pixels: everything again
    assert "train_cam" in steps.take()
    assert max(pixels.max() for pixels in seen.values()) <= 16


def test_a_run_tells_once_of_bands_that_are_not_read(
    root: Path, tmp_path: Path, steps: FakeSteps, caplog: pytest.LogCaptureFixture
) -> None:
    first, second, third, fourth, *_ = names_of(root)
    count = len(names_of(root))
    before = read_photo(next((root / "JPEGImages").glob(f"{first}.*")))
    rewrite(root, [first, second], extra=[0])
    rewrite(root, [third, fourth], extra=[2])
    words = ["run", "voc12-lite", "--data", str(root), "--out", str(tmp_path / "run")]
    assert execute(words) == 0
    left_out, alpha = told(caplog)
    assert f"field/train: 2 of {count} images ({first}.tif is the first) have 1 band beside" in left_out
    assert "ignored" in left_out
    assert f"2 of {count} images ({third}.tif is the first) have a band that the file calls alpha" in alpha
    assert "near infrared" in alpha
    np.testing.assert_array_equal(read_photo(root / f"JPEGImages/{first}.tif"), before)


def test_check_counts_and_names_them(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["data", "check", str(root)]) == 0
    assert "images    " not in capsys.readouterr().out  # plain ones are not worth a line
    first, second, third, fourth, *_ = names_of(root)
    rewrite(root, [first], extra=[0])
    rewrite(root, [second], extra=[1])
    rewrite(root, [third, fourth], scale=4095 / 255)
    count = len(list((root / "JPEGImages").iterdir()))
    assert execute(["data", "check", str(root)]) == 2
    out = capsys.readouterr().out
    assert f"more than 8 bits: 2 of {count} images, such as {min(third, fourth)}.tif" in out
    assert f"alpha or transparent colors: 1 of {count} images, such as {second}.tif" in out
    assert f"1 of {count} images ({first}.tif is the first) has 1 band beside" in out
    assert "problems               1\n" in out
    assert "--white-level 4095 (for a run: data.white_level=4095) if they were taken with 12 bits" in out
    assert execute(["data", "check", str(root), "--white-level", "4095"]) == 0
    write_tiff(root / f"JPEGImages/{first}.tif", np.zeros((5, 6, 4), np.uint8), photometric=1, extra=[0] * 3)
    assert execute(["data", "check", str(root), "--white-level", "4095"]) == 2
    assert f"{first}.tif: the image cannot be read (a TIFF of 4 bands of 8 bits" in capsys.readouterr().out


def test_check_takes_the_white_level_for_images_with_masks(root: Path) -> None:
    for photo in (root / "JPEGImages").iterdir():
        values = (read_photo(photo)[..., 0] / 255).astype(np.float32)
        photo.unlink()
        write_tiff(photo.with_suffix(".tif"), values, photometric=1)
    assert execute(["data", "check", str(root)]) == 2
    assert execute(["data", "check", str(root), "--white-level", "1"]) == 0


def overlay(folder: Path) -> bytes:
    return (folder / "overlays/a.jpg").read_bytes()


def test_predict_reads_images_as_the_training_did(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    """A 12-bit image looks as its 8-bit original where model or user say that 4095 is white."""
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    for folder, scale in (("plain", 1.0), ("deep", 4095 / 255)):
        (tmp_path / folder).mkdir()
        values = pixels if scale == 1 else np.rint(pixels * scale).astype(np.uint16)
        write_tiff(tmp_path / folder / "a.tif", values, photometric=2)
    model = models.build("deeplabv2-lite0", classes=3, weights="none")
    for name, white in (("of_8", 0.0), ("of_12", 4095.0)):
        meta = {"classes": ["background", "cat", "dog"], "recipe": {"data": {"white_level": white}}}
        save_model(model, tmp_path / name / "model.safetensors", meta=meta)

    def predict(photos: str, name: str, *words: str) -> bytes:
        out = tmp_path / f"{photos}_{name}{len(words)}"
        call = ["predict", tmp_path / photos, "--model", tmp_path / name, "--out", out, *words]
        assert execute([str(word) for word in call]) == 0
        return overlay(out)

    plain = predict("plain", "of_8")
    assert told(caplog) == []
    assert predict("deep", "of_12") == plain
    assert predict("deep", "of_8", "--white-level", "4095") == plain
    assert told(caplog) == []
    assert predict("deep", "of_8") != plain
    (note,) = told(caplog)
    assert "a.tif has 16 bits" in note
    assert "--white-level 4095" in note
    result = sbnet.load(tmp_path / "of_12").predict(tmp_path / "deep")
    result.save(tmp_path / "saved")
    assert overlay(tmp_path / "saved") == plain


def test_predict_tells_once_of_a_fourth_band(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    model = models.build("deeplabv2-lite0", classes=2, weights="none")
    segmenter = sbnet.Segmenter(model, ["background", "cat"])
    values = np.random.default_rng(0).integers(0, 256, (20, 24, 4), np.uint8)
    for name in "abc":
        write_tiff(tmp_path / f"{name}.tif", values, photometric=2, extra=None)
    Image.fromarray(values).save(tmp_path / "d.png")
    segmenter.predict(tmp_path)
    (note,) = told(caplog)
    assert note.startswith(
        "3 of 4 images (a.tif is the first) have 1 band beside grey or red, green and blue"
    )
    assert note.endswith("ignored")
    with pytest.raises(sbnet.SBNetError, match=r"white is -1; expected a number above 0"):
        sbnet.Segmenter(model, ["background", "cat"], white=-1)
