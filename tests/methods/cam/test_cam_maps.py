"""Class activation maps: the sum over scales and mirrors as the papers spell it, of all methods' networks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from sbnet.data.io.files import read_scores
from sbnet.data.io.image import read_photo
from sbnet.methods.cam.network import CamNetwork
from sbnet.methods.cam.steps import InferSettings
from sbnet.methods.sbnet.settings import SBNetInferSettings
from sbnet.methods.seam.settings import RefinedInferSettings
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.steps.spec import load_object
from step_context import first_images, make_context

SCALES = (0.5, 1.0)


def by_the_formula(network: CamNetwork, pixels: np.ndarray, classes: tuple[int, ...], map: str) -> np.ndarray:
    """Every scale and mirror by itself, all classes enlarged, in an unfolded network."""
    height, width = pixels.shape[:2]
    total = torch.zeros(len(classes), height, width)
    for scale in SCALES:
        size = (round(width * scale), round(height * scale))
        view = np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC))
        for mirrored in (False, True):
            images = network.normalization(torch.from_numpy(view).permute(2, 0, 1)[None])
            output = network(images.flip(-1) if mirrored else images)
            cam = output.refined_cam if map == "refined" else output.cam
            cam = functional.interpolate(cam, (height, width), mode="bilinear")[0, list(classes)]
            total += cam.flip(-1) if mirrored else cam
    total = total.clamp(min=0)
    low, high = total.amin((1, 2), keepdim=True), total.amax((1, 2), keepdim=True)
    return ((total - low - 1e-5) / (high - low + 1e-5)).clamp(min=0).numpy()


@pytest.mark.parametrize(
    ("family", "run", "settings", "map"),
    [
        ("cam", "sbnet.methods.cam.infer:run", InferSettings(scales=SCALES), "raw"),
        ("seam", "sbnet.methods.cam.infer:run", RefinedInferSettings(scales=SCALES), "refined"),
        ("seam", "sbnet.methods.cam.infer:run", RefinedInferSettings(scales=SCALES, map="raw"), "raw"),
        ("sbnet", "sbnet.methods.sbnet.infer:run", SBNetInferSettings(scales=SCALES), "refined"),
        ("sbnet", "sbnet.methods.cam.infer:run", SBNetInferSettings(scales=SCALES, map="raw"), "raw"),
    ],
)
@torch.no_grad()
def test_scores_are_the_formula_step_by_step(
    family: str, run: str, settings: Any, map: str, shared_data: Path, tmp_path: Path
) -> None:
    images = first_images(shared_data, 2)
    torch.manual_seed(0)
    network = build(f"{family}-lite0", len(images.classes), stride=16)
    save_model(network, tmp_path / "model.safetensors", meta={})
    context = make_context(tmp_path / "out", images, {"network": tmp_path / "model.safetensors"})
    assert load_object(run)(settings, context) == {"images": 2}
    network.eval()
    assert isinstance(network, CamNetwork)
    for image in images:
        found = read_scores(context.folder / "scores" / f"{image.name}.npz")
        assert tuple(found.classes) == image.classes
        expected = by_the_formula(network, read_photo(image.path), image.classes, map)
        np.testing.assert_allclose(found.scores, expected, atol=2e-3)  # kept in half precision
    drawn = list(context.folder.glob("boundaries/*"))
    assert bool(drawn) is run.endswith("sbnet.infer:run")
