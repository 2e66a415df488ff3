"""SBNet's maps and boundaries: images of one size side by side, only where they are looked at, only what is missing."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.io.files import read_scores
from sbnet.data.io.image import read_photo
from sbnet.methods.cam import infer as cam_infer
from sbnet.methods.sbnet import infer as sbnet_infer
from sbnet.methods.sbnet.edges import normalized_edges
from sbnet.methods.sbnet.settings import SBNetInferSettings as InferSettings
from sbnet.networks.build import build
from sbnet.networks.model_file import load_model, save_model
from sbnet.steps.context import Context
from step_context import first_images, make_context, with_runtime
from ways import NO_CUDA

SCALES = (0.5, 1.0)


@pytest.fixture
def images(shared_data: Path) -> Collection:
    return first_images(shared_data, 3)


@pytest.fixture
def context(images: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """An untrained network; of three images the report shows the first."""
    torch.manual_seed(0)
    network = build("sbnet-lite0", len(images.classes), stride=16)
    save_model(network, tmp_path / "model.safetensors", meta={})
    show(monkeypatch, slice(1))
    return make_context(tmp_path / "out", images, {"network": tmp_path / "model.safetensors"})


def show(monkeypatch: pytest.MonkeyPatch, which: slice) -> None:
    monkeypatch.setattr(cam_infer, "shown_images", lambda collection: list(collection)[which])


@pytest.mark.parametrize("every", [False, True])
def test_edges_and_boundaries_only_where_they_are_looked_at(
    every: bool, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    edges, heads = [], []
    canny = sbnet_infer.canny
    monkeypatch.setattr(sbnet_infer, "canny", lambda pixels: edges.append(0) or canny(pixels))

    def load(path: Path) -> Any:
        network, meta = load_model(path)
        network.edge_layer.register_forward_hook(lambda *_: heads.append(0))
        return network, meta

    monkeypatch.setattr(cam_infer, "load_model", load)
    sbnet_infer.run(InferSettings(scales=SCALES, boundaries=every), context)
    names = [image.name for image in context.train]
    drawn = sorted(path.stem for path in (context.folder / "boundaries").iterdir())
    assert drawn == sorted(names if every else names[:1])
    assert len(edges) == len(heads) == len(drawn)
    assert len(list((context.folder / "raw").iterdir())) == 1


def test_boundaries_are_drawn_from_the_edges_of_the_training(context: Context) -> None:
    file = context.inputs["network"]
    network, meta = load_model(file)
    with torch.no_grad():
        network.fuse_canny_edge.weight[:, network.classes :] = 1.0  # so that the edges are seen
    found = {}
    for canny in ("image", "normalized"):
        save_model(network, file, meta={**meta, "canny": canny})
        place = dataclasses.replace(context, folder=context.folder / canny)
        sbnet_infer.run(InferSettings(scales=SCALES), place)
        (found[canny],) = (np.asarray(Image.open(path)) for path in (place.folder / "boundaries").iterdir())
    pixels = read_photo(context.train.photos[0].path)
    image = network.normalization(torch.from_numpy(pixels.copy()).permute(2, 0, 1)[None])
    edges = {
        "image": torch.from_numpy(sbnet_infer.canny(pixels))[None],
        "normalized": normalized_edges(image),
    }
    assert not torch.equal(edges["image"], edges["normalized"])
    present = torch.tensor(context.train.photos[0].classes)
    for canny, one in edges.items():
        with torch.no_grad():
            logits = network.eval()(image, one[None], refine=False).boundary_fused[0, present]
        np.testing.assert_allclose(found[canny], logits.sigmoid().amax(0) * 255, atol=2)


@pytest.fixture
def several(images: Collection, context: Context, tmp_path: Path) -> Context:
    """Four images of one size and two of another, in turn, that differ in the number of their classes."""
    folder = tmp_path / "images"
    folder.mkdir()
    listed = []
    for number, image in enumerate([*images, *images]):
        pixels = read_photo(image.path)
        if number in (1, 4):
            pixels = np.rot90(pixels)
        path = folder / f"image{number}.png"
        Image.fromarray(np.roll(pixels, 5 * number, 0)).save(path)
        listed.append(Photo(path.stem, path, (1, 2, 5, 7)[: 1 + number % 3]))
    return dataclasses.replace(context, train=dataclasses.replace(images, photos=tuple(listed)))


def scores_and_passes(
    context: Context, monkeypatch: pytest.MonkeyPatch, settings: InferSettings, **runtime: Any
) -> tuple[dict[str, np.ndarray], set[int]]:
    """Scores by image, the raw ones and boundaries of the report's as well, and how many views passed at once."""
    seen = set()

    def load(path: Path) -> Any:
        network, meta = load_model(path)
        network.backbone.register_forward_hook(lambda _module, inputs, _output: seen.add(len(inputs[0])))
        return network, meta

    monkeypatch.setattr(cam_infer, "load_model", load)
    folder = context.folder / "_".join(map(str, (*runtime.values(), settings.mirror)))
    place = dataclasses.replace(with_runtime(context, **runtime), folder=folder)
    sbnet_infer.run(settings, place)
    found = {}
    for path in sorted(folder.rglob("*.npz")):
        scores = read_scores(path)
        found[f"{path.parent.name}/{path.stem}"] = scores.scores
        found[f"{path.parent.name}/{path.stem}/classes"] = scores.classes
    for path in sorted(folder.rglob("*.png")):
        found[f"boundaries/{path.stem}"] = np.asarray(Image.open(path)).astype(float) / 255
    return found, seen


def hold_together(
    found: dict[str, np.ndarray], expected: dict[str, np.ndarray], tolerance: float = 2e-3
) -> None:
    """tolerance: scores are kept in half precision, boundaries in 255 steps."""
    assert found.keys() == expected.keys()
    for name in expected:
        np.testing.assert_allclose(found[name], expected[name], atol=tolerance, err_msg=name)


@pytest.mark.parametrize(("mirror", "map"), [(True, "refined"), (False, "raw")])
def test_images_of_one_size_pass_together(
    mirror: bool, map: Any, several: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing but rounding depends on it: neither scores nor their order."""
    show(monkeypatch, slice(1, 3))
    settings = InferSettings(scales=SCALES, mirror=mirror, map=map)
    alone, views = scores_and_passes(several, monkeypatch, settings, inference_batch=1)
    assert len([name for name in alone if not name.endswith("classes")]) == 6 + 2 + 2
    assert views == ({1, 2} if mirror else {1})  # boundaries are drawn of one view
    together, views = scores_and_passes(several, monkeypatch, settings, inference_batch=4)
    assert max(views) == 4 * (1 + mirror)
    hold_together(together, alone)
    turned = dataclasses.replace(several.train, photos=several.train.photos[::-1])
    backwards = dataclasses.replace(several, train=turned, folder=tmp_path / "backwards")
    show(monkeypatch, slice(3, 5))
    hold_together(scores_and_passes(backwards, monkeypatch, settings, inference_batch=4)[0], alone)


def test_only_what_is_missing_is_made_again(several: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = InferSettings(scales=SCALES)
    first, _ = scores_and_passes(several, monkeypatch, settings, inference_batch=4)
    folder = next(several.folder.rglob("scores"))
    times = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    gone = {"image1.npz", "image3.npz"}
    for name in gone:
        (folder / name).unlink()
    again, views = scores_and_passes(several, monkeypatch, settings, inference_batch=4)
    assert max(views) == 2
    hold_together(again, first)
    kept = {path.name: path.stat().st_mtime_ns for path in folder.iterdir() if path.name not in gone}
    assert kept == {name: time for name, time in times.items() if name not in gone}


def test_large_images_pass_alone(several: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch has no more pixels than one image may have, mirror images and the largest scale counted."""
    monkeypatch.setattr("sbnet.data.io.image.MAX_PIXELS", 48 * 64 * 4 * 2 + 1)
    for scales, most in ((SCALES, 8), ((1.0, 2.0), 2)):
        settings = InferSettings(scales=scales)
        _, views = scores_and_passes(several, monkeypatch, settings, inference_batch=6 + len(scales) * most)
        assert max(views) == most


@pytest.mark.gpu
@NO_CUDA
def test_scores_of_a_gpu_are_the_cpu_s(several: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = InferSettings(scales=SCALES)
    expected, _ = scores_and_passes(several, monkeypatch, settings, inference_batch=1)
    found, views = scores_and_passes(
        several, monkeypatch, settings, device="cuda", workers=4, inference_batch=0
    )
    assert max(views) == 8
    hold_together(found, expected, 0.02)  # tensor cores round to 10 bits
