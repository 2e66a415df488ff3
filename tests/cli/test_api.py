from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import processes
import sbnet
from fake_steps import STEPS, FakeSteps
from sbnet import models
from sbnet.config.recipe import load_recipe
from sbnet.data.io.files import read_label
from sbnet.engine.runtime import Runtime
from sbnet.networks.model_file import save_model
from sbnet.segmenter import Result
from sbnet.segmenters.segmenter import SegmenterOutput
from sbnet.steps.settings import PredictSettings


@pytest.fixture(scope="module")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> sbnet.Segmenter:
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    model = models.build("deeplabv2-lite0", classes=3, weights="none")
    save_model(model, path, meta={"classes": ["background", "cat", "dog"]})
    return sbnet.load(path)


def image(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


def test_the_names_a_user_needs() -> None:
    assert {"run", "load", "SBNetError", "__version__"} <= set(dir(sbnet))
    with pytest.raises(AttributeError):
        sbnet.nothing  # noqa: B018


def test_parts_come_with_the_package() -> None:
    names = [
        "ops.DenseCRF",
        "losses.structure_aware",
        "models.build",
        "compat.load_reference",
        "metrics.iou",
    ]
    loaded = "import sys, sbnet; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", loaded], check=True)
    ended = processes.python("import sbnet; " + "; ".join(f"sbnet.{name}" for name in names))
    assert ended.returncode == 0, ended.stderr


def test_run(steps: FakeSteps, shared_data: Path, tmp_path: Path) -> None:
    settings = {"data.source": "voc", "data.root": str(shared_data), "predict.crf": False}
    result = sbnet.run("quickstart", tmp_path / "out", settings)
    assert result.metrics["segmenter"]["miou"] == 1
    assert "segmenter_crf" not in result.metrics
    assert result.report.exists()
    assert sbnet.run(result.folder).metrics == result.metrics
    assert steps.ran == STEPS


def test_a_run_brings_its_prediction_settings(tmp_path: Path) -> None:
    model = models.build("deeplabv2-lite0", classes=2, weights="none")
    save_model(
        model, tmp_path / "train_segmenter" / "model.safetensors", meta={"classes": ["background", "cat"]}
    )
    load_recipe("quickstart", ["predict.mirror=yes"]).write(tmp_path / "recipe.yaml")
    loaded = sbnet.load(tmp_path)
    assert loaded.settings.mirror
    assert loaded.classes == ("background", "cat")


def test_a_model_file_brings_the_settings_it_was_trained_with(tmp_path: Path) -> None:
    model = models.build("deeplabv2-lite0", classes=2, weights="none")
    meta = {"classes": ["background", "cat"], "predict": {"scales": [0.5, 1], "mirror": True}}
    save_model(model, tmp_path / "a.safetensors", meta=meta)
    assert sbnet.load(tmp_path / "a.safetensors").settings == PredictSettings(scales=(0.5, 1.0), mirror=True)
    save_model(model, tmp_path / "b.safetensors", meta=meta | {"predict": {"zoom": 2}})
    with pytest.raises(sbnet.SBNetError, match=r"b\.safetensors: .*zoom"):
        sbnet.load(tmp_path / "b.safetensors")


def test_predict_arrays(segmenter: sbnet.Segmenter, tmp_path: Path) -> None:
    result = segmenter.predict([image(33, 40), image(1, 1)])
    assert len(result) == 2
    assert result.names == ["image_0001", "image_0002"]
    assert [mask.shape for mask in result.masks] == [(33, 40), (1, 1)]
    assert all(mask.dtype == np.uint8 for mask in result.masks)
    folder = result.save(tmp_path / "masks")
    assert sorted(path.name for path in folder.iterdir()) == ["image_0001.png", "image_0002.png", "overlays"]
    np.testing.assert_array_equal(segmenter.predict(image(33, 40)).masks[0], result.masks[0])


class Shades(torch.nn.Module):
    """The brighter of the first two channels as the class, so that a mask shows which image it is of."""

    normalization = staticmethod(lambda images: images.float() / 255)

    def forward(self, images: torch.Tensor) -> SegmenterOutput:
        logits = images[:, :2] * 8
        return SegmenterOutput(logits, (logits,))


def shades(folder: Path, sizes: list[tuple[int, int]]) -> dict[str, np.ndarray]:
    """Images NAME.png of these sizes (H, W), and the mask of each."""
    rng, masks = np.random.default_rng(0), {}
    folder.mkdir()
    for number, (height, width) in enumerate(sizes):
        mask = rng.integers(0, 2, (height, width), np.uint8)
        pixels = np.stack([(1 - mask) * 200, mask * 200, mask], 2)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        masks[str(number)] = mask
    return masks


@pytest.mark.parametrize("crf", [False, True])
@pytest.mark.parametrize("most", [1, 3])
def test_images_of_mixed_sizes_come_back_as_they_were_given(most: int, crf: bool, tmp_path: Path) -> None:
    runtime = Runtime(device="cpu", precision="32", workers=2, inference_batch=most)
    weak = PredictSettings(gaussian=(1.0, 0.0), bilateral=(67.0, 3.0, 0.0))  # a CRF that changes nothing
    segmenter = sbnet.Segmenter(Shades(), ["background", "cat"], settings=weak, runtime=runtime)
    sizes = [(20, 24), (9, 7), (20, 24), (12, 12), (20, 24), (20, 24), (9, 7)]
    masks = shades(tmp_path / "images", sizes)
    of_files = segmenter.predict(tmp_path / "images", crf=crf)
    of_arrays = segmenter.predict([np.asarray(Image.open(path)) for path in of_files.images], crf=crf)
    assert of_files.names == list(masks)
    assert of_arrays.names[0] == "image_0001"
    for found in (of_files, of_arrays):
        for mask, expected in zip(found.masks, masks.values(), strict=True):
            np.testing.assert_array_equal(mask, expected)
    (tmp_path / "images" / "broken.png").write_bytes((tmp_path / "images" / "0.png").read_bytes()[:-25])
    (tmp_path / "images" / "text.png").write_text("no image")
    told: list[Path] = []
    written = segmenter.predict_folder(
        tmp_path / "images", tmp_path / "out", crf=crf, failed=lambda path, error: told.append(path)
    )
    order = list(masks) if most == 1 else ["0", "2", "4", "5", "1", "6", "3"]
    assert [path.stem for path in written] == order
    assert sorted(path.name for path in told) == ["broken.png", "text.png"]
    for name, expected in masks.items():
        np.testing.assert_array_equal(read_label(tmp_path / "out" / f"{name}.png"), expected)


def test_images_too_large_for_the_crf_are_told_but_a_full_disk_ends_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    segmenter = sbnet.Segmenter(Shades(), ["background", "cat"], runtime=Runtime(device="cpu", workers=1))
    shades(tmp_path / "images", [(8, 9), (80, 90), (8, 9)])
    monkeypatch.setattr("sbnet.engine.crf.available_memory", lambda: 2_000_000)
    told: list[str] = []

    def predict(*, crf: bool) -> list[str]:
        written = segmenter.predict_folder(
            tmp_path / "images", tmp_path / "out", crf=crf, failed=lambda path, error: told.append(str(error))
        )
        return [path.name for path in written]

    assert predict(crf=True) == ["0.png", "2.png"]
    (error,) = told
    assert "1.png: the CRF of 7200 pixels" in error
    told.clear()

    def full(*_: object) -> None:
        raise sbnet.SBNetError("disk full at 0.png")

    monkeypatch.setattr("sbnet.segmenter.write_label", full)
    with pytest.raises(sbnet.SBNetError, match="disk full"):
        predict(crf=False)
    assert not told


def test_masks_do_not_replace_their_images(segmenter: sbnet.Segmenter, tmp_path: Path) -> None:
    for place in ("a.png", "overlays/a.jpg"):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(image(8, 9)).save(path)
        before = path.read_bytes()
        with pytest.raises(sbnet.SBNetError, match=f"{place} is in the folder .*choose another folder"):
            segmenter.predict(path).save(tmp_path)
        assert path.read_bytes() == before
    assert segmenter.predict(tmp_path / "overlays/a.jpg").save(tmp_path, overlays=False)


def test_masks_do_not_replace_links_to_images(segmenter: sbnet.Segmenter, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "masks").mkdir()
    Image.fromarray(image(8, 9)).save(tmp_path / "images" / "a.png")
    link = tmp_path / "masks" / "a.png"
    link.symlink_to(tmp_path / "images" / "a.png")
    with pytest.raises(sbnet.SBNetError, match=r"is in the folder .*choose another folder"):
        segmenter.predict(link).save(tmp_path / "masks")
    assert link.is_symlink()


def test_plot(segmenter: sbnet.Segmenter) -> None:
    figure = segmenter.predict([image(33, 40)] * 5).plot()
    titles = [axis.get_title() for axis in figure.axes]
    assert titles[0].startswith("image_0001: ")
    assert len(titles) == 8


def test_plot_tells_the_colors_of_the_classes_that_are_there(segmenter: sbnet.Segmenter) -> None:
    masks = [np.zeros((8, 9), np.uint8), np.full((8, 9), 2, np.uint8), np.full((8, 9), 255, np.uint8)]
    result = Result(["a", "b", "c"], [image(8, 9)] * 3, masks, segmenter.classes)
    (legend,) = result.plot().legends
    assert [text.get_text() for text in legend.get_texts()] == ["dog"]
    (patch,) = legend.get_patches()
    assert patch.get_facecolor() == pytest.approx((0, 128 / 255, 0, 1))  # VOC's color of class 2
    assert not Result(["a"], [image(8, 9)], masks[:1], segmenter.classes).plot().legends


def test_predict_refuses_what_is_no_image(segmenter: sbnet.Segmenter, tmp_path: Path) -> None:
    with pytest.raises(sbnet.SBNetError, match="uint8 RGB"):
        segmenter.predict(np.zeros((4, 4)))
    with pytest.raises(sbnet.SBNetError, match=r"uint8 RGB, not \(0, 4, 3\)"):
        segmenter.mask(image(0, 4))
    with pytest.raises(sbnet.SBNetError, match="not both at once"):
        segmenter.predict([image(4, 4), tmp_path])
    with pytest.raises(sbnet.SBNetError, match=r"no such image.*a relative path starts at"):
        segmenter.predict(tmp_path / "none.jpg")


def test_images_beyond_the_memory_bound_of_the_scales(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sbnet.data.io.image.MAX_PIXELS", 4000)
    model = models.build("deeplabv2-lite0", classes=2, weights="none")
    settings = PredictSettings(scales=(0.5, 2), mirror=True)
    segmenter = sbnet.Segmenter(model, ["background", "cat"], settings=settings)
    Image.fromarray(image(25, 21)).save(tmp_path / "large.png")
    for large in (image(25, 21), tmp_path / "large.png"):
        with pytest.raises(sbnet.SBNetError, match="21 x 25 pixels exceed the limit of 500"):
            segmenter.predict(large)
    assert segmenter.predict(image(25, 20)).masks[0].shape == (25, 20)


def test_a_single_folder_and_what_is_no_array(segmenter: sbnet.Segmenter, tmp_path: Path) -> None:
    Image.fromarray(image(20, 24)).save(tmp_path / "a.png")
    written = list(
        segmenter.predict_folder(str(tmp_path), tmp_path / "masks", failed=lambda path, error: None)
    )
    assert written == [tmp_path / "masks" / "a.png"]
    with pytest.raises(sbnet.SBNetError, match=r"an array, not 'a\.png'; `predict` takes files"):
        segmenter.mask("a.png")  # type: ignore[arg-type]
