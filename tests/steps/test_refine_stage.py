"""The stage refine: its files, one photo after another or side by side, and its bound on memory."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from sbnet.steps.workspace import ModelSettings, Workspace
from scipy import ndimage

import ways
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import read_label, write_scores
from sbnet.data.synthetic.scenes import scene
from sbnet.engine import photo_crf
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF, confident_labels, with_background_score
from sbnet.steps import crf as refine

NAMES = ("background", "cat", "dog", "hen")


def workspace(tmp_path: Path, workers: int, photos: int = 3) -> Workspace:
    listed = []
    for number in range(photos):
        path = tmp_path / f"photo{number}.png"
        Image.fromarray(scene(number, 2, size=(48, 64))[0]).save(path)
        scores = np.random.default_rng(number).random((2, 48, 64), np.float32) ** 3
        write_scores(tmp_path / "scores" / f"{path.stem}.npz", scores, np.array([1, 3]))
        listed.append(Photo(path.stem, path, (1, 3)))
    collection = Collection(NAMES, tuple(listed), "test")
    out = tmp_path / f"out{workers}"
    return Workspace(out, {"scores": tmp_path}, collection, None, ModelSettings(), Runtime(workers=workers))


@pytest.mark.parametrize("workers", [1, 3])
def test_files_are_the_formula_step_by_step(tmp_path: Path, workers: int) -> None:
    at, settings, threads = (
        workspace(tmp_path, workers),
        refine.Settings(score_power=2),
        torch.get_num_threads(),
    )
    assert refine.run(settings, at) == {"photos": 3}
    assert torch.get_num_threads() == threads
    for photo in at.train:
        with np.load(tmp_path / "scores" / f"{photo.name}.npz") as stored:
            scores = torch.from_numpy(stored["scores"].astype(np.float32))
        crf = DenseCRF(np.asarray(Image.open(photo.path)))
        low, high, middle = (
            crf.marginals(with_background_score(scores, alpha=alpha, power=2).numpy()) for alpha in (4, 24, 8)
        )
        classes = np.array([1, 3])
        mask = np.array([0, 1, 3])[middle.argmax(0)]
        assert (read_label(at.folder / "masks" / f"{photo.name}.png") == mask).mean() > 0.999
        label = confident_labels(low, high, classes)
        assert (read_label(at.folder / "labels" / f"{photo.name}.png") == label).mean() > 0.999


def test_photo_that_memory_does_not_hold_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    at = workspace(tmp_path, 2)
    monkeypatch.setattr(photo_crf, "available_memory", lambda: 1 << 19)
    with pytest.raises(
        SBNetError, match=r"photo\d.png: the CRF of 3072 pixels and 2 classes .* save the photo smaller"
    ):
        refine.run(refine.Settings(), at)
    assert not list(at.folder.rglob("*.png"))
    masks = refine.variants([refine.Settings(), refine.Settings(mask_alpha=2)], at)
    with pytest.raises(SBNetError, match="save the photo smaller"):
        masks(at.train.photos[0])


def test_photos_wait_for_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Room for one photo at a time: three workers finish all the same."""
    at = workspace(tmp_path, 3)
    one = DenseCRF.memory_needed(48 * 64, labels=3, sets=3)
    monkeypatch.setattr(photo_crf, "available_memory", lambda: int(1.5 * one / photo_crf.MEMORY_SHARE))
    refine.run(refine.Settings(), at)
    assert len(list((at.folder / "labels").iterdir())) == 3


@pytest.mark.parametrize("way", ways.WAYS)
def test_labels_of_other_devices(way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`crf_device: device`: the same on 99.9 % of the pixels. In PyTorch on the CPU, where there is no GPU."""
    at, settings = workspace(tmp_path, 2), refine.Settings()
    for number, photo in enumerate(at.train):  # blobs, as CAMs are; at noise the two ways part sooner
        noise = np.random.default_rng(number).standard_normal((2, 48, 64))
        blobs = ndimage.gaussian_filter(noise, (0, 6, 6))
        blobs = (blobs / blobs.max()).clip(0, 1)
        write_scores(tmp_path / "scores" / f"{photo.name}.npz", blobs, np.array([1, 3]))
    refine.run(settings, at)
    device, workers = ("cuda", 3) if way == "cuda" else ("cpu", 1)  # what is patched below is every thread's
    runtime = dataclasses.replace(at.runtime, device=device, workers=workers, crf_device="device")
    there = dataclasses.replace(at, folder=tmp_path / "there", runtime=runtime)
    if way == "torch":
        monkeypatch.setattr(photo_crf, "DenseCRF", ways.TorchCRF)
    refine.run(settings, there)
    for folder in ("labels", "masks"):
        names = [f"{photo.name}.png" for photo in at.train]
        here = np.stack([read_label(at.folder / folder / name) for name in names])
        assert len(np.unique(here)) >= 3
        found = np.stack([read_label(there.folder / folder / name) for name in names])
        assert (found == here).mean() >= 0.999


def test_variants_are_the_stage_s_masks(tmp_path: Path) -> None:
    at = workspace(tmp_path, 1)
    tried = [
        refine.Settings(mask_alpha=2),
        refine.Settings(mask_alpha=1, score_power=2),
        refine.Settings(mask_alpha=2, bilateral=(40.0, 5.0, 3.0)),
        refine.Settings(mask_alpha=2, iterations=0),
    ]
    masks = refine.variants(tried, at)
    found = {photo.name: masks(photo) for photo in at.train}
    assert len({each.tobytes() for each in found[at.train.photos[0].name]}) == len(tried)
    for number, one in enumerate(tried):
        place = dataclasses.replace(at, folder=tmp_path / f"variant{number}")
        refine.run(one, place)
        for name, each in found.items():
            made = read_label(place.folder / "masks" / f"{name}.png")
            assert (
                each[number] == made
            ).mean() > 0.999  # a label may be negligible in one set and not in another
