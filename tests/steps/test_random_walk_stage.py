"""The walk of a photo's scores: padding, pooling to the network's grid, and back."""

import dataclasses
import shutil
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from sbnet.engine.walks import irn_boundary, photo_affinity, walk_on_grid
from sbnet.steps.workspace import ModelSettings, Workspace
from torch import nn
from torch.nn import functional

from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import read_label, write_scores
from sbnet.engine.model_file import save_model
from sbnet.engine.networks import build
from sbnet.engine.runtime import Runtime
from sbnet.engine.views import stacks
from sbnet.methods.affinitynet.network import AffinityOutput
from sbnet.ops import boundary_walk, pair_affinity, random_walk
from sbnet.ops.random_walk import random_walk_reference
from sbnet.steps.propagate import Settings, run, variants


class Grid(nn.Module):
    """Affinities of the image itself, pooled to the grid."""

    normalization = staticmethod(lambda photo: photo.float() / 255)

    def forward(self, images):
        features = functional.avg_pool2d(images, 8) * 4
        return AffinityOutput(pair_affinity(features), features)


def seen_at(pixels, scale):
    (stack,) = stacks([pixels], [scale], device=torch.device("cpu"))
    return stack


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("size", [(97, 110), (96, 112)])
def test_walk_is_the_formula_step_by_step(size, scale):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (*size, 3), np.uint8)
    scores = torch.from_numpy(random.random((3, *size), np.float32))
    seen = photo_affinity(Grid(), seen_at(pixels, scale), stride=8, device=scores.device)[0]
    walk = partial(random_walk, affinity=seen, sharpness=4, steps=6)
    found = walk_on_grid(walk, scores, stride=8, scale=scale)
    assert found.shape == scores.shape

    height, width = (round(side * scale) for side in size)
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    rows, columns = -(-height // 8), -(-width // 8)
    image = torch.zeros(3, rows * 8, columns * 8)
    image[:, :height, :width] = torch.from_numpy(resized.copy()).permute(2, 0, 1) / 255
    enlarged = functional.interpolate(scores[None], (height, width), mode="bilinear")[0]
    padded = torch.zeros(3, rows * 8, columns * 8)
    padded[:, :height, :width] = enlarged
    coarse = padded.reshape(3, rows, 8, columns, 8).mean((2, 4))
    affinity = Grid()(image[None]).affinity[0]
    walked = random_walk_reference(coarse.double(), affinity.double(), sharpness=4, steps=6).float()
    back = functional.interpolate(walked[None], (rows * 8, columns * 8), mode="bilinear")[0]
    expected = functional.interpolate(back[None, :, :height, :width], size, mode="bilinear")[0]
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.fixture(scope="module")
def irn():
    torch.manual_seed(0)
    network = build("irn-lite0", 5, weights="none", stride=16).eval()
    network.boundary_head.classifier.weight.data *= 8  # boundaries that differ from place to place
    return network


@torch.no_grad()
@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("size", [(61, 74), (64, 96)])
def test_irn_s_walk_is_the_formula_step_by_step(irn, size, scale):
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (*size, 3), np.uint8)
    scores = torch.from_numpy(random.random((2, *size), np.float32))
    boundary = irn_boundary(irn, seen_at(pixels, scale), model=irn, device=scores.device)[0]
    walk = partial(boundary_walk, boundary=boundary, sharpness=3, steps=6)
    walked = walk_on_grid(walk, scores, stride=4, scale=scale)

    height, width = (round(side * scale) for side in size)
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    image = torch.zeros(1, 3, -(-height // 16) * 16, -(-width // 16) * 16)
    image[0, :, :height, :width] = irn.normalization(torch.from_numpy(resized.copy()).permute(2, 0, 1))
    rows, columns = -(-height // 4), -(-width // 4)
    logits = irn(image).boundary[0] / 2 + irn(image.flip(-1)).boundary[0].flip(-1) / 2
    torch.testing.assert_close(boundary, logits[:rows, :columns].sigmoid(), rtol=1e-4, atol=1e-5)
    assert boundary.std() > 0.01

    enlarged = functional.interpolate(scores[None], (height, width), mode="bilinear")[0]
    padded = torch.zeros(2, rows * 4, columns * 4)
    padded[:, :height, :width] = enlarged
    coarse = padded.reshape(2, rows, 4, columns, 4).mean((2, 4))
    on_grid = boundary_walk(coarse, boundary, sharpness=3, steps=6)
    back = functional.interpolate(on_grid[None], (rows * 4, columns * 4), mode="bilinear")[0]
    expected = functional.interpolate(back[None, :, :height, :width], size, mode="bilinear")[0]
    torch.testing.assert_close(walked, expected, rtol=0, atol=2e-5)


def walk_workspace(folder, network, photos):
    """Of the stage, with random scores of the photos' classes."""
    save_model(network, folder / "network" / "model.safetensors", meta={})
    random = np.random.default_rng(0)
    for photo in photos:
        scores = random.random((len(photo.classes), 48, 64))
        write_scores(folder / "cam/scores" / f"{photo.name}.npz", scores, np.array(photo.classes))
    inputs = {"network": folder / "network", "scores": folder / "cam"}
    return Workspace(folder / "walk", inputs, photos, None, ModelSettings(), Runtime(workers=0))


def test_irn_s_stage(irn, shared_data, tmp_path):
    """Masks of classes in the photo; boundaries to look at; what is there stays; no class is all background."""
    everything = read_voc(shared_data, "train")
    photos = dataclasses.replace(everything, photos=everything.photos[:3])
    empty = dataclasses.replace(photos.photos[2], classes=())
    photos = dataclasses.replace(photos, photos=(*photos.photos[:2], empty))
    workspace = walk_workspace(tmp_path, irn, photos)
    for settings in (Settings(background_score=0.5), Settings(background_score=0.5, crf=True)):
        shutil.rmtree(tmp_path / "walk", ignore_errors=True)
        assert run(settings, workspace) == {"photos": 3}
        masks = {photo.name: tmp_path / "walk/masks" / f"{photo.name}.png" for photo in photos}
        for photo in photos:
            mask = read_label(masks[photo.name])
            assert mask.shape == (48, 64)
            assert set(np.unique(mask)) <= {0, *photo.classes}
        assert (read_label(masks[empty.name]) == 0).all()
        assert any((read_label(path) > 0).any() for path in masks.values())
    drawn = np.asarray(Image.open(tmp_path / "walk/boundaries" / f"{photos.photos[0].name}.png"))
    assert (drawn.shape, drawn.dtype) == ((48, 64), np.uint8)
    assert_variants_are_the_stage_s_masks(
        workspace, [settings, Settings(score_power=2, steps=3), Settings()], tmp_path
    )
    before = {name: path.stat().st_mtime_ns for name, path in masks.items()}
    content = masks[empty.name].read_bytes()
    masks[empty.name].unlink()
    run(settings, workspace)
    assert masks[empty.name].read_bytes() == content
    assert all(masks[name].stat().st_mtime_ns == time for name, time in before.items() if name != empty.name)


def assert_variants_are_the_stage_s_masks(workspace, settings, folder):
    masks = variants(settings, workspace)
    found = {photo.name: masks(photo) for photo in workspace.train}
    for number, one in enumerate(settings):
        place = dataclasses.replace(workspace, folder=folder / f"variant{number}")
        run(one, place)
        for name, each in found.items():
            np.testing.assert_array_equal(each[number], read_label(place.folder / "masks" / f"{name}.png"))


def test_variants_of_affinitynet_s_walk(shared_data, tmp_path):
    everything = read_voc(shared_data, "train")
    photos = dataclasses.replace(everything, photos=everything.photos[:3])
    torch.manual_seed(0)
    network = build("affinitynet-lite0", 5, weights="none", stride=16)
    workspace = walk_workspace(tmp_path, network, photos)
    tried = [
        Settings(background_alpha=alpha, score_power=power, steps=steps, scale=scale, crf=crf)
        for alpha, power, steps, scale, crf in [
            (2, 1, 4, 1, False),
            (1, 2, 4, 1, False),
            (2, 1, 9, 1.5, False),
            (2, 1, 4, 1, True),
        ]
    ]
    assert_variants_are_the_stage_s_masks(workspace, tried, tmp_path)


@pytest.mark.parametrize("name", ["affinitynet-lite0", "irn-lite0"])
def test_photos_of_one_size_pass_together(name, shared_data, tmp_path):
    everything = read_voc(shared_data, "train")
    photos = dataclasses.replace(everything, photos=everything.photos[:5])
    torch.manual_seed(0)
    network = build(name, 5, weights="none", stride=16)
    workspace = walk_workspace(tmp_path, network, photos)
    found = {}
    for batch in (1, 3):
        runtime = Runtime(device="cpu", precision="32", workers=2, inference_batch=batch)
        place = dataclasses.replace(workspace, folder=tmp_path / f"walk{batch}", runtime=runtime)
        run(Settings(steps=8, scale=1.5, background_score=0.5), place)
        found[batch] = {
            photo.name: read_label(place.folder / "masks" / f"{photo.name}.png") for photo in photos
        }
    for photo, mask in found[1].items():
        assert (found[3][photo] == mask).mean() > 0.995
