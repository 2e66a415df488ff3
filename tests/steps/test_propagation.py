"""Propagation of an image's scores: padding, pooling to the network's grid, and back; of AffinityNet and IRN."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional

from references.random_walk import random_walk as random_walk_reference
from sbnet.data.datasets.collection import Collection
from sbnet.data.io.files import Scores, read_label, write_scores
from sbnet.engine.views import stacks
from sbnet.methods.affinitynet import AffinityNetPropagateSettings
from sbnet.methods.affinitynet import propagate as affinity
from sbnet.methods.affinitynet.network import AffinityOutput
from sbnet.methods.irn import IrnPropagateSettings
from sbnet.methods.irn import propagate as irn
from sbnet.methods.irn.network import IrnNetwork
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.ops import boundary_walk, pair_affinity, with_background_score
from sbnet.steps.context import Context
from sbnet.steps.walk import Walk
from step_context import first_images, make_context, with_runtime


class Grid(nn.Module):
    """Affinities of the image itself, pooled to the grid."""

    output_stride = 8
    normalization = staticmethod(lambda images: images.float() / 255)

    def forward(self, images: Tensor) -> AffinityOutput:
        features = functional.avg_pool2d(images, 8) * 4
        return AffinityOutput(pair_affinity(features), features)


def walk_of(kind: type[Walk], network: nn.Module) -> Any:
    """Without a run's files."""
    made = object.__new__(kind)
    made.__dict__ |= {"network": network, "model": network, "device": torch.device("cpu")}
    return made


def seen_at(pixels: np.ndarray, scale: float) -> Tensor:
    (stack,) = stacks([pixels], [scale], device=torch.device("cpu"))
    return stack


def on_image(maps: Tensor, size: tuple[int, int], seen: tuple[int, int], stride: int, walk: Any) -> Tensor:
    """What the walk gives at the image's size: maps enlarged, padded, averaged in cells, walked, enlarged, cut."""
    height, width = seen
    rows, columns = -(-height // stride), -(-width // stride)
    enlarged = functional.interpolate(maps[None], seen, mode="bilinear")[0]
    padded = torch.zeros(len(maps), rows * stride, columns * stride)
    padded[:, :height, :width] = enlarged
    walked = walk(padded.reshape(len(maps), rows, stride, columns, stride).mean((2, 4)))
    back = functional.interpolate(walked[None], (rows * stride, columns * stride), mode="bilinear")[0]
    return functional.interpolate(back[None, :, :height, :width], size, mode="bilinear")[0]


def scene(size: tuple[int, int], scale: float) -> tuple[np.ndarray, Scores, np.ndarray, tuple[int, int]]:
    """Random pixels and scores; the pixels as they are seen, and their size."""
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (*size, 3), np.uint8)
    scores = Scores(random.random((2, *size), np.float32), np.array([1, 3]))
    height, width = (round(side * scale) for side in size)
    resized = np.asarray(Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC))
    return pixels, scores, resized.copy(), (height, width)


@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("size", [(97, 110), (96, 112)])
def test_affinitynet_s_walk_is_the_formula_step_by_step(size: tuple[int, int], scale: float) -> None:
    pixels, scores, resized, seen = scene(size, scale)
    settings = AffinityNetPropagateSettings(beta=4, steps=6, scale=scale, background_alpha=3, score_power=2)
    walk = walk_of(affinity.AffinityWalk, Grid())
    (found,) = walk.walk(walk.relations(seen_at(pixels, scale))[0], scores, [settings])
    assert found.shape == (3, *size)

    rows, columns = (-(-side // 8) for side in seen)
    image = torch.zeros(3, rows * 8, columns * 8)
    image[:, : seen[0], : seen[1]] = torch.from_numpy(resized).permute(2, 0, 1) / 255
    relations = Grid()(image[None]).affinity[0].double()

    def step(coarse: Tensor) -> Tensor:
        return random_walk_reference(coarse.double(), relations, beta=4, steps=6).float()

    sources = with_background_score(torch.from_numpy(scores.scores), alpha=3, power=2)
    expected = on_image(sources, size, seen, 8, step)
    torch.testing.assert_close(found, expected, rtol=0, atol=2e-5)


@pytest.fixture(scope="module")
def irn_network() -> IrnNetwork:
    torch.manual_seed(0)
    network = build("irn-lite0", 5, weights="none", stride=16).eval()
    assert isinstance(network, IrnNetwork)
    network.boundary_head.classifier.weight.data *= 8  # boundaries that differ from place to place
    return network


@torch.no_grad()
@pytest.mark.parametrize("scale", [1.0, 1.5])
@pytest.mark.parametrize("size", [(61, 74), (64, 96)])
def test_irn_s_walk_is_the_formula_step_by_step(
    irn_network: IrnNetwork, size: tuple[int, int], scale: float
) -> None:
    pixels, scores, resized, (height, width) = scene(size, scale)
    settings = IrnPropagateSettings(beta=3, steps=6, scale=scale, background_score=0.4)
    walk = walk_of(irn.BoundaryWalk, irn_network)
    boundary = walk.relations(seen_at(pixels, scale))[0]
    (found,) = walk.walk(boundary, scores, [settings])

    image = torch.zeros(1, 3, -(-height // 16) * 16, -(-width // 16) * 16)
    image[0, :, :height, :width] = irn_network.normalization(torch.from_numpy(resized).permute(2, 0, 1))
    rows, columns = -(-height // 4), -(-width // 4)
    logits = irn_network(image).boundary[0] / 2 + irn_network(image.flip(-1)).boundary[0].flip(-1) / 2
    torch.testing.assert_close(boundary, logits[:rows, :columns].sigmoid(), rtol=1e-4, atol=1e-5)
    assert boundary.std() > 0.01

    def step(coarse: Tensor) -> Tensor:
        return boundary_walk(coarse, boundary, beta=3, steps=6)

    walked = on_image(torch.from_numpy(scores.scores), size, (height, width), 4, step)
    expected = torch.cat([torch.full((1, *size), 0.4), walked / walked.max()])
    torch.testing.assert_close(found, expected, rtol=0, atol=5e-5)


def walk_context(folder: Path, network: nn.Module, images: Collection) -> Context:
    """Of the step, with random scores of the images' classes."""
    save_model(network, folder / "model.safetensors", meta={})
    random = np.random.default_rng(0)
    for image in images:
        scores = random.random((len(image.classes), 48, 64))
        write_scores(folder / "scores" / f"{image.name}.npz", scores, np.array(image.classes))
    inputs = {"network": folder / "model.safetensors", "scores": folder / "scores"}
    return make_context(folder / "walk", images, inputs)


def assert_variants_are_the_step_s_masks(
    module: Any, context: Context, settings: list[Any], folder: Path
) -> None:
    masks = module.variants(settings, context)
    found = {image.name: masks(image) for image in context.train}
    for number, one in enumerate(settings):
        place = dataclasses.replace(context, folder=folder / f"variant{number}")
        module.run(one, place)
        for name, each in found.items():
            np.testing.assert_array_equal(each[number], read_label(place.folder / "masks" / f"{name}.png"))


def test_irn_s_step(irn_network: IrnNetwork, shared_data: Path, tmp_path: Path) -> None:
    """Masks of classes in the image; boundaries to look at; what is there stays; no class is all background."""
    images = first_images(shared_data, 3)
    empty = dataclasses.replace(images.photos[2], classes=())
    images = dataclasses.replace(images, photos=(*images.photos[:2], empty))
    context = walk_context(tmp_path, irn_network, images)
    for settings in (
        IrnPropagateSettings(background_score=0.5),
        IrnPropagateSettings(background_score=0.5, crf=True),
    ):
        shutil.rmtree(tmp_path / "walk", ignore_errors=True)
        assert irn.run(settings, context) == {"images": 3}
        masks = {image.name: tmp_path / "walk/masks" / f"{image.name}.png" for image in images}
        for image in images:
            mask = read_label(masks[image.name])
            assert mask.shape == (48, 64)
            assert set(np.unique(mask)) <= {0, *image.classes}
        assert (read_label(masks[empty.name]) == 0).all()
        assert any((read_label(path) > 0).any() for path in masks.values())
    drawn = np.asarray(Image.open(tmp_path / "walk/boundaries" / f"{images.photos[0].name}.png"))
    assert (drawn.shape, drawn.dtype) == ((48, 64), np.uint8)
    tried = [settings, IrnPropagateSettings(score_power=2, steps=3), IrnPropagateSettings()]
    assert_variants_are_the_step_s_masks(irn, context, tried, tmp_path)
    before = {name: path.stat().st_mtime_ns for name, path in masks.items()}
    content = masks[empty.name].read_bytes()
    masks[empty.name].unlink()
    irn.run(settings, context)
    assert masks[empty.name].read_bytes() == content
    assert all(masks[name].stat().st_mtime_ns == time for name, time in before.items() if name != empty.name)


def test_variants_of_affinitynet_s_walk(shared_data: Path, tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = build("affinitynet-lite0", 5, weights="none", stride=16)
    context = walk_context(tmp_path, network, first_images(shared_data, 3))
    tried = [
        AffinityNetPropagateSettings(
            background_alpha=alpha, score_power=power, steps=steps, scale=scale, crf=crf
        )
        for alpha, power, steps, scale, crf in [
            (2, 1, 4, 1, False),
            (1, 2, 4, 1, False),
            (2, 1, 9, 1.5, False),
            (2, 1, 4, 1, True),
        ]
    ]
    assert_variants_are_the_step_s_masks(affinity, context, tried, tmp_path)


@pytest.mark.parametrize(
    ("name", "module", "settings"),
    [
        ("affinitynet-lite0", affinity, AffinityNetPropagateSettings(steps=8, scale=1.5)),
        ("irn-lite0", irn, IrnPropagateSettings(steps=8, scale=1.5, background_score=0.5)),
    ],
)
def test_images_of_one_size_pass_together(
    name: str, module: Any, settings: Any, shared_data: Path, tmp_path: Path
) -> None:
    images = first_images(shared_data, 5)
    torch.manual_seed(0)
    context = walk_context(tmp_path, build(name, 5, weights="none", stride=16), images)
    found = {}
    for batch in (1, 3):
        place = with_runtime(context, workers=2, inference_batch=batch)
        place = dataclasses.replace(place, folder=tmp_path / f"walk{batch}")
        module.run(settings, place)
        found[batch] = {
            image.name: read_label(place.folder / "masks" / f"{image.name}.png") for image in images
        }
    for image, mask in found[1].items():
        assert (found[3][image] == mask).mean() > 0.995
