"""CAM inference: the sum over scales and mirrors as the papers spell it, and what is left out of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sbnet.steps.workspace import ModelSettings, Workspace
from torch.nn import functional

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import read_scores
from sbnet.data.io.image import read_photo
from sbnet.data.training.edges import normalized_edges
from sbnet.engine.model_file import load_model, save_model
from sbnet.engine.networks import build
from sbnet.engine.runtime import Runtime
from sbnet.methods.cam import infer as infer_cam
from sbnet.methods.cam.network import CamNetwork
from ways import NO_CUDA

SCALES = (0.5, 1.0)


@pytest.fixture
def photos(shared_data: Path) -> Collection:
    listed = read_voc(shared_data, "train")
    return dataclasses.replace(listed, photos=listed.photos[:3])


@pytest.fixture
def workspace(photos: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """An untrained network; of three photos the report shows the first."""
    torch.manual_seed(0)
    network = build("sbnet-lite0", len(photos.classes), stride=16)
    save_model(network, tmp_path / "network" / "model.safetensors", meta={"method": "sbnet"})
    monkeypatch.setattr(infer_cam, "shown_photos", lambda collection: list(collection)[:1])
    runtime = Runtime(device="cpu", precision="32", workers=1)
    inputs = {"network": tmp_path / "network"}
    return Workspace(tmp_path / "out", inputs, photos, None, ModelSettings(), runtime)


def by_the_formula(network: CamNetwork, pixels: np.ndarray, classes: tuple[int, ...]) -> np.ndarray:
    """Every scale and mirror by itself, all classes enlarged, in an unfolded network."""
    height, width = pixels.shape[:2]
    total = torch.zeros(len(classes), height, width)
    for scale in SCALES:
        size = (round(width * scale), round(height * scale))
        view = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        for mirrored in (False, True):
            images = network.normalization(torch.from_numpy(view).permute(2, 0, 1)[None])
            cam = network(images.flip(-1) if mirrored else images, boundary=False).refined_cam
            cam = functional.interpolate(cam, (height, width), mode="bilinear")[0, list(classes)]
            total += cam.flip(-1) if mirrored else cam
    total = total.clamp(min=0)
    low, high = total.amin((1, 2), keepdim=True), total.amax((1, 2), keepdim=True)
    return ((total - low - 1e-5) / (high - low + 1e-5)).clamp(min=0).numpy()


@torch.no_grad()
def test_scores_are_the_formula_step_by_step(workspace: Workspace) -> None:
    infer_cam.run(infer_cam.Settings(scales=SCALES), workspace)
    network, _ = load_model(workspace.inputs["network"] / "model.safetensors")
    assert isinstance(network, CamNetwork)
    for photo in workspace.train:
        found = read_scores(workspace.folder / "scores" / f"{photo.name}.npz")
        assert tuple(found.classes) == photo.classes
        expected = by_the_formula(network, read_photo(photo.path), photo.classes)
        np.testing.assert_allclose(found.scores, expected, atol=2e-3)  # kept in half precision


@pytest.mark.parametrize("every", [False, True])
def test_edges_and_boundaries_only_where_they_are_looked_at(
    every: bool, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges, heads = [], []
    canny = infer_cam.canny
    monkeypatch.setattr(infer_cam, "canny", lambda pixels: edges.append(0) or canny(pixels))

    def load(path: Path) -> Any:
        network, meta = load_model(path)
        network.edge_layer.register_forward_hook(lambda *_: heads.append(0))
        return network, meta

    monkeypatch.setattr(infer_cam, "load_model", load)
    infer_cam.run(infer_cam.Settings(scales=SCALES, boundaries=every), workspace)
    names = [photo.name for photo in workspace.train]
    drawn = sorted(path.stem for path in (workspace.folder / "boundaries").iterdir())
    assert drawn == sorted(names if every else names[:1])
    assert len(edges) == len(heads) == len(drawn)
    assert len(list((workspace.folder / "raw").iterdir())) == 1


def test_boundaries_are_drawn_from_the_edges_of_the_training(workspace: Workspace) -> None:
    file = workspace.inputs["network"] / "model.safetensors"
    network, meta = load_model(file)
    with torch.no_grad():
        network.fuse_canny_edge.weight[:, network.classes :] = 1.0  # so that the edges are seen
    found = {}
    for canny in ("photo", "normalized"):
        save_model(network, file, meta={**meta, "canny": canny})
        place = dataclasses.replace(workspace, folder=workspace.folder / canny)
        infer_cam.run(infer_cam.Settings(scales=SCALES), place)
        (found[canny],) = (np.asarray(Image.open(path)) for path in (place.folder / "boundaries").iterdir())
    pixels = read_photo(workspace.train.photos[0].path)
    image = network.normalization(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
    edges = {"photo": torch.from_numpy(infer_cam.canny(pixels))[None], "normalized": normalized_edges(image)}
    assert not torch.equal(edges["photo"], edges["normalized"])
    present = torch.tensor(workspace.train.photos[0].classes)
    for canny, one in edges.items():
        with torch.no_grad():
            logits = network.eval()(image, one[None], refine=False).boundary_fused[0, present]
        np.testing.assert_allclose(found[canny], logits.sigmoid().amax(0) * 255, atol=2)


def of_several_sizes(photos: Collection, folder: Path) -> Collection:
    """Four photos of one size and two of another, in turn, that differ in the number of their classes."""
    folder.mkdir()
    listed = []
    for number, photo in enumerate([*photos, *photos]):
        pixels = read_photo(photo.path)
        if number in (1, 4):
            pixels = np.rot90(pixels)
        path = folder / f"photo{number}.png"
        Image.fromarray(np.roll(pixels, 5 * number, 0)).save(path)
        listed.append(Photo(path.stem, path, (1, 2, 5, 7)[: 1 + number % 3]))
    return dataclasses.replace(photos, photos=tuple(listed))


def scores_and_passes(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, settings: infer_cam.Settings, **runtime: Any
) -> tuple[dict[str, np.ndarray], set[int]]:
    """Scores by photo, the raw ones and boundaries of the report's as well, and how many views passed at once."""
    seen = set()

    def load(path: Path) -> Any:
        network, meta = load_model(path)
        network.backbone.register_forward_hook(lambda _module, inputs, _output: seen.add(len(inputs[0])))
        return network, meta

    monkeypatch.setattr(infer_cam, "load_model", load)
    place = dataclasses.replace(
        workspace,
        folder=workspace.folder / f"{runtime}{settings.mirror}",
        runtime=dataclasses.replace(workspace.runtime, **runtime),
    )
    infer_cam.run(settings, place)
    found = {}
    for path in sorted(place.folder.rglob("*.npz")):
        scores = read_scores(path)
        found[f"{path.parent.name}/{path.stem}"] = scores.scores
        found[f"{path.parent.name}/{path.stem}/classes"] = scores.classes
    for path in sorted(place.folder.rglob("*.png")):
        found[f"boundaries/{path.stem}"] = np.asarray(Image.open(path)).astype(float) / 255
    return found, seen


def hold_together(found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float) -> None:
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance, err_msg=name)


@pytest.mark.parametrize("map", ["raw", "refined"])
@pytest.mark.parametrize("mirror", [True, False])
def test_photos_of_one_size_pass_together(
    mirror: bool,
    map: str,
    photos: Collection,
    workspace: Workspace,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nothing but rounding depends on it: neither scores nor their order."""
    several = of_several_sizes(photos, tmp_path / "photos")
    workspace = dataclasses.replace(workspace, train=several)
    monkeypatch.setattr(infer_cam, "shown_photos", lambda collection: list(collection)[1:3])
    settings = infer_cam.Settings(scales=SCALES, mirror=mirror, map=map)
    alone, views = scores_and_passes(workspace, monkeypatch, settings, inference_batch=1)
    assert len([name for name in alone if not name.endswith("classes")]) == 6 + 2 + 2
    assert views == ({1, 2} if mirror else {1})  # boundaries are drawn of one view
    together, views = scores_and_passes(workspace, monkeypatch, settings, inference_batch=4)
    assert max(views) == 4 * (1 + mirror)
    hold_together(together, alone, 2e-3)  # kept in half precision, boundaries in 255 steps
    backwards = dataclasses.replace(
        workspace, train=dataclasses.replace(several, photos=several.photos[::-1])
    )
    monkeypatch.setattr(infer_cam, "shown_photos", lambda collection: list(collection)[3:5])
    backwards = dataclasses.replace(backwards, folder=tmp_path / "backwards")
    hold_together(scores_and_passes(backwards, monkeypatch, settings, inference_batch=4)[0], alone, 2e-3)


def test_only_what_is_missing_is_made_again(
    photos: Collection, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    several = of_several_sizes(photos, tmp_path / "photos")
    workspace = dataclasses.replace(workspace, train=several)
    settings = infer_cam.Settings(scales=SCALES)
    first, _ = scores_and_passes(workspace, monkeypatch, settings, inference_batch=4)
    folder = next(workspace.folder.rglob("scores"))
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    gone = {"photo1.npz", "photo3.npz"}
    for name in gone:
        (folder / name).unlink()
    again, views = scores_and_passes(workspace, monkeypatch, settings, inference_batch=4)
    assert max(views) == 2
    hold_together(again, first, 2e-3)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name not in gone}
    assert kept == {name: time for name, time in times.items() if name not in gone}


def test_large_photos_pass_alone(
    photos: Collection, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A batch has no more pixels than one photo may have, mirror images and the largest scale counted."""
    workspace = dataclasses.replace(workspace, train=of_several_sizes(photos, tmp_path / "photos"))
    monkeypatch.setattr("sbnet.data.io.image.MAX_PIXELS", 48 * 64 * 4 * 2 + 1)
    for scales, most in ((SCALES, 8), ((1.0, 2.0), 2)):
        settings = infer_cam.Settings(scales=scales)
        _, views = scores_and_passes(workspace, monkeypatch, settings, inference_batch=6 + len(scales) * most)
        assert max(views) == most


@pytest.mark.gpu
@NO_CUDA
def test_scores_of_a_gpu_are_the_cpu_s(
    photos: Collection, workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = dataclasses.replace(workspace, train=of_several_sizes(photos, tmp_path / "photos"))
    settings = infer_cam.Settings(scales=SCALES)
    expected, _ = scores_and_passes(workspace, monkeypatch, settings, inference_batch=1)
    found, views = scores_and_passes(workspace, monkeypatch, settings, device="cuda", workers=4)
    assert max(views) == 8
    hold_together(found, expected, 0.02)  # tensor cores round to 10 bits
