"""The CRF step: its files, one image after another or side by side, and its bound on memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

import ways
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import read_label, write_scores
from sbnet.data.synthetic.scenes import scene
from sbnet.engine import crf as engine_crf
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF, confident_labels, with_background_score
from sbnet.steps.context import Context
from sbnet.steps.crf import run, variants
from sbnet.steps.settings import CrfSettings
from step_context import make_context, with_runtime

NAMES = ("background", "cat", "dog", "hen")


def prepared(tmp_path: Path, workers: int, images: int = 3) -> Context:
    listed = []
    for number in range(images):
        path = tmp_path / f"image{number}.png"
        Image.fromarray(scene(number, 2, size=(48, 64))[0]).save(path)
        scores = np.random.default_rng(number).random((2, 48, 64), np.float32) ** 3
        write_scores(tmp_path / "scores" / f"{path.stem}.npz", scores, np.array([1, 3]))
        listed.append(Photo(path.stem, path, (1, 3)))
    collection = Collection(NAMES, tuple(listed), "test")
    inputs = {"scores": tmp_path / "scores"}
    return make_context(tmp_path / f"out{workers}", collection, inputs, workers=workers)


@pytest.mark.parametrize("workers", [1, 3])
def test_files_are_the_formula_step_by_step(tmp_path: Path, workers: int) -> None:
    at, threads = prepared(tmp_path, workers), torch.get_num_threads()
    assert run(CrfSettings(score_power=2), at) == {"images": 3}
    assert torch.get_num_threads() == threads
    for image in at.train:
        with np.load(tmp_path / "scores" / f"{image.name}.npz") as stored:
            scores = torch.from_numpy(stored["scores"].astype(np.float32))
        crf = DenseCRF(np.asarray(Image.open(image.path)))
        low, high, middle = (
            crf.marginals(with_background_score(scores, alpha=alpha, power=2).numpy()) for alpha in (4, 24, 8)
        )
        mask = np.array([0, 1, 3])[middle.argmax(0)]
        assert (read_label(at.folder / "masks" / f"{image.name}.png") == mask).mean() > 0.999
        seeds = confident_labels(low, high, np.array([1, 3]))
        assert (read_label(at.folder / "seeds" / f"{image.name}.png") == seeds).mean() > 0.999


def test_only_what_is_missing_is_made_again(tmp_path: Path) -> None:
    at = prepared(tmp_path, 1, images=2)
    run(CrfSettings(), at)
    kept, gone = (at.folder / "seeds" / f"{image.name}.png" for image in at.train)
    content, time = gone.read_bytes(), kept.stat().st_mtime_ns
    gone.unlink()
    run(CrfSettings(), at)
    assert (gone.read_bytes(), kept.stat().st_mtime_ns) == (content, time)


def test_an_image_that_memory_does_not_hold_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = prepared(tmp_path, 2)
    monkeypatch.setattr(engine_crf, "available_memory", lambda: 1 << 19)
    told = r"image\d.png: the CRF of 3072 pixels and 2 classes .* make the image smaller"
    with pytest.raises(SBNetError, match=told):
        run(CrfSettings(), at)
    assert not list(at.folder.rglob("*.png"))
    masks = variants([CrfSettings(), CrfSettings(mask_alpha=2)], at)
    with pytest.raises(SBNetError, match="make the image smaller"):
        masks(at.train.photos[0])


def test_images_wait_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one image at a time: three workers finish all the same."""
    at = prepared(tmp_path, 3)
    one = DenseCRF.memory_needed(48 * 64, labels=3, sets=3)
    monkeypatch.setattr(engine_crf, "available_memory", lambda: int(1.5 * one / engine_crf.MEMORY_SHARE))
    run(CrfSettings(), at)
    assert len(list((at.folder / "seeds").iterdir())) == 3


@pytest.mark.parametrize("way", ways.WAYS)
def test_labels_of_other_devices(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`crf_device: device`: the same on 99.9 % of the pixels. In PyTorch on the CPU, where there is no GPU."""
    at, settings = prepared(tmp_path, 2), CrfSettings()
    for number, image in enumerate(at.train):  # blobs, as CAMs are; at noise the two ways part sooner
        noise = np.random.default_rng(number).standard_normal((2, 48, 64))
        blobs = ndimage.gaussian_filter(noise, (0, 6, 6))
        blobs = (blobs / blobs.max()).clip(0, 1)
        write_scores(tmp_path / "scores" / f"{image.name}.npz", blobs, np.array([1, 3]))
    run(settings, at)
    device, workers = ("cuda", 3) if way == "cuda" else ("cpu", 1)  # what is patched below is every thread's
    there = dataclasses.replace(
        with_runtime(at, device=device, workers=workers, crf_device="device"), folder=tmp_path / "there"
    )
    if way == "torch":
        monkeypatch.setattr(engine_crf, "DenseCRF", ways.TorchCRF)
    run(settings, there)
    for folder in ("seeds", "masks"):
        names = [f"{image.name}.png" for image in at.train]
        here = np.stack([read_label(at.folder / folder / name) for name in names])
        assert len(np.unique(here)) >= 3
        found = np.stack([read_label(there.folder / folder / name) for name in names])
        assert (found == here).mean() >= 0.999


def test_variants_are_the_step_s_masks(tmp_path: Path) -> None:
    at = prepared(tmp_path, 1)
    tried = [
        CrfSettings(mask_alpha=2),
        CrfSettings(mask_alpha=1, score_power=2),
        CrfSettings(mask_alpha=2, bilateral=(40.0, 5.0, 3.0)),
        CrfSettings(mask_alpha=2, iterations=0),
    ]
    masks = variants(tried, at)
    found = {image.name: masks(image) for image in at.train}
    assert len({each.tobytes() for each in found[at.train.photos[0].name]}) == len(tried)
    for number, one in enumerate(tried):
        place = dataclasses.replace(at, folder=tmp_path / f"variant{number}")
        run(one, place)
        for name, each in found.items():
            made = read_label(place.folder / "masks" / f"{name}.png")
            # a label may be negligible in one set and not in another
            assert (each[number] == made).mean() > 0.999
