"""Our own methods, data sets, export formats and backbones keep the contracts that `sbnet.testing` states."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from sbnet.backbones.base import Tokens
from sbnet.engine.inference import Batch
from sbnet.engine.objective import Objective
from sbnet.methods.base import Method
from sbnet.methods.cam.infer import CamMaps
from sbnet.methods.cam.steps import InferSettings
from sbnet.methods.cam.train import class_terms
from sbnet.methods.seam.train import consistency_terms, rising
from sbnet.networks.build import build, build_backbone
from sbnet.networks.model_file import save_model
from sbnet.registry import DATASETS, EXPORTS, METHODS
from sbnet.settings import Settings
from sbnet.steps.spec import StepSpec
from sbnet.testing import (
    check_backbone,
    check_dataset,
    check_export,
    check_job,
    check_method,
    check_objective,
    check_settings,
)
from step_context import first_images, make_context


@pytest.mark.parametrize("name", METHODS.names())
def test_methods(name: str) -> None:
    method = METHODS[name]
    required = [key for key, info in method.Settings.model_fields.items() if info.is_required()]
    check_method(method, method.Settings(**dict.fromkeys(required, "somewhere")))


def test_a_method_that_breaks_the_contract() -> None:
    class Undocumented(Settings):
        width: int = 1

    class Odd(Method):
        name, title, role, about = "odd", "Odd", "refine", "odd"
        Settings = Undocumented

        def steps(self, settings: Settings) -> list[StepSpec]:
            return []

    with pytest.raises(AssertionError, match="width has no docstring"):
        check_method(Odd())


def test_scenes(tmp_path: Path) -> None:
    scenes = DATASETS["scenes"]
    check_dataset(scenes, scenes.Settings(train=2, val=1, size=(48, 64)), work=tmp_path)


@pytest.mark.parametrize("name", DATASETS.names())
def test_settings_of_data_sets(name: str) -> None:
    check_settings(DATASETS[name].Settings())


@pytest.mark.parametrize("name", EXPORTS.names())
def test_exports(name: str, tmp_path: Path) -> None:
    check_export(EXPORTS[name], out=tmp_path / "out")


@pytest.mark.parametrize("name", ["lite0", "timm:test_efficientnet", "timm:test_vit"])
def test_backbones(name: str) -> None:
    check_backbone(build_backbone(name, weights="none"))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ({"prefix": torch.zeros(1, 9, 3)}, "prefix tokens of shape"),
        ({"attention": []}, "attention of 0 blocks"),
    ],
)
def test_a_transformer_whose_tokens_do_not_fit(
    fault: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    backbone = build_backbone("timm:test_vit", weights="none")
    tokens = backbone.forward_tokens

    def wrong(*arguments: Any, **keywords: Any) -> Tokens:
        found = tokens(*arguments, **keywords)
        changed = fault | ({"prefix": [fault["prefix"]] * len(found.prefix)} if "prefix" in fault else {})
        return found._replace(**changed)

    monkeypatch.setattr(backbone, "forward_tokens", wrong)
    with pytest.raises(AssertionError, match=message):
        check_backbone(backbone)


def test_a_cnn_that_claims_tokens() -> None:
    backbone = build_backbone("timm:test_efficientnet", weights="none")
    backbone.prefix = 1
    with pytest.raises(AssertionError, match="prefix is 1"):
        check_backbone(backbone)


class OneResult(CamMaps):
    def forward(self, batch: Batch) -> list[Any]:
        return super().forward(batch)[:1]


def test_jobs(shared_data: Path, tmp_path: Path) -> None:
    images = first_images(shared_data, 1)
    save_model(build("cam-lite0", len(images.classes), weights="none"), tmp_path / "m.safetensors", meta={})
    context = make_context(tmp_path / "out", images, {"network": tmp_path / "m.safetensors"})
    settings = InferSettings(scales=(0.5, 1.0))
    check_job(CamMaps(settings, context), images.photos[0])
    assert list((tmp_path / "out" / "scores").iterdir())
    with pytest.raises(AssertionError, match="1 results of 2 images"):
        check_job(OneResult(settings, context), images.photos[0])


def sample_batch() -> dict[str, Tensor]:
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return {"image": images, "labels": torch.tensor([[1.0, 0.0], [0.0, 1.0]])}


@pytest.mark.parametrize(
    ("family", "objective"),
    [("cam", class_terms), ("seam", rising(partial(consistency_terms, shrink=0.5), 0.5))],
)
def test_objectives(family: str, objective: Any) -> None:
    check_objective(lambda: objective, build(f"{family}-lite0", 3, weights="none"), sample_batch())


class Counting(Objective):
    """Its term depends on the number of steps, which `kept` remembers."""

    def __init__(self, *, kept: bool, scalar: bool = True) -> None:
        self.steps, self.kept, self.scalar = 0, kept, scalar

    def __call__(self, network: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        found = (1 + self.steps) * network(batch["image"])
        return {"count": found.mean() if self.scalar else found}

    def after_step(self, network: nn.Module, step: int) -> None:
        self.steps += 1

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps} if self.kept else {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state.get("steps", 0)


def test_an_objective_that_forgets() -> None:
    network = nn.Conv2d(3, 1, 1)
    check_objective(lambda: Counting(kept=True), network, sample_batch())
    with pytest.raises(AssertionError, match=r"'count' is .* resumes: state_dict"):
        check_objective(lambda: Counting(kept=False), network, sample_batch())
    with pytest.raises(AssertionError, match="'count' has the shape"):
        check_objective(lambda: Counting(kept=True, scalar=False), network, sample_batch())
