"""Masks of the val images and of the report's training images, or of those alone."""

from __future__ import annotations

import dataclasses
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from sbnet.backbones.network import Network
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import read_label
from sbnet.data.io.image import read_photo
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.ops import DenseCRF
from sbnet.steps.context import Context
from sbnet.steps.predict import run
from sbnet.steps.settings import PredictSettings
from step_context import make_context, with_runtime


def prepared(
    data: Path, folder: Path, *, with_val: bool = True, workers: int = 1, train_images: int | None = None
) -> tuple[Network, Context]:
    """An untrained segmenter whose answers differ from pixel to pixel, and the step's context."""
    train, val = read_voc(data, "train"), read_voc(data, "val")
    train = dataclasses.replace(train, photos=train.photos[:train_images])
    torch.manual_seed(0)
    network = build("deeplabv2-lite0", classes=len(train.classes), scales=(1.0, 0.75), stride=8).eval()
    with torch.no_grad():  # no class ahead of the others, and answers that are sure
        image = torch.from_numpy(read_photo(val.photos[0].path)).permute(2, 0, 1)[None]
        for layer in network.aspp.children():
            layer.weight.mul_(100)
        layer.bias -= network(network.normalization(image)).per_scale[0].mean((0, 2, 3))
    save_model(network, folder / "model.safetensors", meta={"classes": list(train.classes)})
    inputs = {"network": folder / "model.safetensors"}
    context = make_context(folder / "predict", train, inputs, val=val if with_val else None, workers=workers)
    return network, context


@pytest.mark.parametrize("with_val", [True, False])
def test_what_is_predicted(with_val: bool, shared_data: Path, tmp_path: Path) -> None:
    _, context = prepared(shared_data, tmp_path, with_val=with_val)
    assert run(PredictSettings(), context) == {"images": 3 if with_val else 0}
    masks = list(context.folder.rglob("*.png"))
    assert all(read_label(path).shape == (48, 64) for path in masks)
    assert Counter(path.parent.name for path in masks) == {"train_masks": 12} | (
        {"masks": 3, "masks_crf": 3} if with_val else {}
    )


@pytest.mark.parametrize("mirror", [False, True])
def test_images_of_one_size_pass_together(mirror: bool, shared_data: Path, tmp_path: Path) -> None:
    """Their masks are those of each alone, but for pixels whose classes are as good as equal."""
    _, context = prepared(shared_data, tmp_path, workers=2, train_images=4)
    masks = {}
    for batch in (1, 3):
        place = dataclasses.replace(
            with_runtime(context, inference_batch=batch), folder=tmp_path / f"predict{batch}"
        )
        run(PredictSettings(mirror=mirror, scales=(0.5, 1.5)), place)
        files = sorted(place.folder.rglob("*.png"))
        masks[batch] = {path.relative_to(place.folder): read_label(path) for path in files}
    assert masks[1].keys() == masks[3].keys()
    assert len({mask.tobytes() for mask in masks[1].values()}) > 3
    for path, mask in masks[1].items():
        assert (masks[3][path] == mask).mean() > 0.995, path


@pytest.mark.parametrize("recipe", ["voc12-resnet38", "voc12-resnet38-seam"])
@torch.no_grad()
def test_the_papers_views_and_crf(recipe: str, shared_data: Path, tmp_path: Path) -> None:
    """DeepLab v2: the maximum over scales inside the network, one view, CRF 67/3/4 and 1/3. SEAM: scales 0.5 to 1.75,
    each with its mirror image, and its CRF.
    """
    network, context = prepared(shared_data, tmp_path, train_images=1)
    run(load_recipe(recipe).predict, context)
    scales, mirrors, kernels, iterations = {
        "voc12-resnet38": ([1], [False], ((1, 3), (67, 3, 4)), 10),
        "voc12-resnet38-seam": ([0.5, 0.75, 1, 1.25, 1.5, 1.75], [False, True], ((3, 3), (80, 13, 10)), 1),
    }[recipe]
    assert context.val is not None
    for image in context.val:
        pixels = read_photo(image.path)
        height, width = pixels.shape[:2]
        found = []
        for scale in scales:
            size = (round(width * scale), round(height * scale))
            view = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
            for mirror in mirrors:
                turned = view[:, ::-1].copy() if mirror else view.copy()
                given = torch.from_numpy(turned).permute(2, 0, 1)[None]
                logits = network(network.normalization(given)).logits
                softmax = functional.interpolate(logits, (height, width), mode="bilinear").softmax(1)[0]
                found.append(softmax.flip(-1) if mirror else softmax)
        mean = torch.stack(found).mean(0).numpy()
        mask, refined = (
            read_label(context.folder / folder / f"{image.name}.png") for folder in ("masks", "masks_crf")
        )
        assert len(np.unique(mask)) > 1
        assert (mask == mean.argmax(0)).mean() > 0.995  # but for ties and rounding
        gaussian, bilateral = kernels
        crf = DenseCRF(pixels, gaussian=gaussian, bilateral=bilateral).marginals(mean, iterations=iterations)
        assert (refined == crf.argmax(0)).mean() > 0.995
        assert not np.array_equal(mask, refined)


def test_images_go_through_the_crf_side_by_side(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together, crf = threading.Barrier(2, timeout=300), DenseCRF.marginals

    def meets(*given: Any, **settings: Any) -> np.ndarray:
        if "met" not in meeting:
            together.wait()  # a second image's CRF is under way, or this one breaks after some minutes
            meeting.add("met")
        return crf(*given, **settings)

    meeting: set[str] = set()
    monkeypatch.setattr(DenseCRF, "marginals", meets)
    _, context = prepared(shared_data, tmp_path, workers=2, train_images=1)
    run(PredictSettings(), context)
    assert meeting == {"met"}
