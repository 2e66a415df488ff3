"""Training of affinities: where the backbone starts from, what the step reads, what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from sbnet.backbones.settings import BackboneSettings
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.collection import Collection
from sbnet.errors import SBNetError
from sbnet.methods.affinitynet.train import run
from sbnet.methods.irn.train import run as run_irn
from sbnet.networks.build import build
from sbnet.networks.model_file import save_model
from sbnet.pipeline.graph import recipe_steps
from sbnet.registry import METHODS
from sbnet.steps.affinity import AffinityTrainSettings
from sbnet.steps.context import Context
from step_context import first_images, make_context, masks_as, trained

TINY: dict[str, Any] = {
    **{"epochs": 1, "batch": 1, "crop": 64, "long_side": (64, 64), "learning_rate": 1e-9},
}


@pytest.fixture
def images(shared_data: Path) -> Collection:
    return first_images(shared_data, 1)


@pytest.fixture
def cam(images: Collection, tmp_path: Path) -> dict[str, torch.Tensor]:
    """A CAM network's backbone, whose file is where the step reads it."""
    network = build("sbnet-lite0", len(images.classes), weights="none", stride=16, freeze=2)
    save_model(network, tmp_path / "cam.safetensors", meta={})
    return {f"backbone.{name}": value for name, value in network.backbone.state_dict().items()}


def context_of(images: Collection, folder: Path, name: str, family: str = "affinitynet") -> Context:
    return make_context(
        *(folder / name, images),
        {"seeds": masks_as(folder / "seeds", images), "cam": folder / "cam.safetensors"},
        **{"backbone": BackboneSettings(weights="none"), "family": family, "workers": 0, "key": "of.pairs"},
    )


def test_the_backbone_starts_where_it_is_told(
    images: Collection, tmp_path: Path, cam: dict[str, torch.Tensor]
) -> None:
    for start, same in (("seeds", True), ("imagenet", False)):
        settings = AffinityTrainSettings(start=start, **TINY)
        got = trained(run, settings, context_of(images, tmp_path, start))
        assert all(torch.allclose(got[name], value, atol=1e-5) for name, value in cam.items()) is same


def test_another_backbone_is_no_start(images: Collection, tmp_path: Path) -> None:
    other = build("sbnet-timm:resnet18", len(images.classes), weights="none")
    save_model(other, tmp_path / "cam.safetensors", meta={})
    settings = AffinityTrainSettings(start="seeds", **TINY)
    told = r"{0}\.start: lite0 cannot start from .* sbnet-timm:resnet18; set {0}\.start=imagenet"
    with pytest.raises(SBNetError, match=told.format("of.pairs")):
        trained(run, settings, context_of(images, tmp_path, "out"))
    words = [f"seeds.train.network={tmp_path / 'cam.safetensors'}"]
    for method in ("affinitynet", "irn"):  # known before anything runs
        recipe = load_recipe("quickstart", [*words, f"refine.method={method}"])
        with pytest.raises(SBNetError, match=told.format("refine.train")):
            METHODS[method].check(recipe.refine.settings, recipe)
        same = load_recipe("quickstart", [*words, f"refine.method={method}", "backbone.name=timm:resnet18"])
        METHODS[method].check(same.refine.settings, same)


@pytest.mark.parametrize("method", ["affinitynet", "irn"])
@pytest.mark.parametrize(("start", "reads"), [("imagenet", {"seeds"}), ("seeds", {"seeds", "cam"})])
def test_the_cam_network_is_an_input_only_where_it_is_the_start(
    method: str, start: str, reads: set[str]
) -> None:
    words = [f"refine.method={method}", f"refine.train.start={start}"]
    (step,) = [
        step for step in recipe_steps(load_recipe("quickstart", words)) if step.name == "train_affinity"
    ]
    assert set(step.inputs) == reads
    assert step.inputs["seeds"][0] == "crf"
    assert ("cam" in reads) == ("train_cam" in step.needs())


@pytest.mark.parametrize(("step", "family", "least"), [(run, "affinitynet", 5 * 8), (run_irn, "irn", 5 * 4)])
def test_a_crop_without_pairs_is_refused(
    step: Any, family: str, least: int, images: Collection, tmp_path: Path
) -> None:
    settings = AffinityTrainSettings(**{**TINY, "crop": least - 1})
    context = context_of(images, tmp_path, "out", family)
    with pytest.raises(SBNetError, match=rf"of\.pairs\.crop is {least - 1}; expected {least} or more"):
        trained(step, settings, context)
