"""Our own methods, data sets, export formats and backbones keep the contracts that `sbnet.testing` states."""

from __future__ import annotations

from pathlib import Path

import pytest

from sbnet.methods.base import Method
from sbnet.networks.build import build_backbone
from sbnet.registry import DATASETS, EXPORTS, METHODS
from sbnet.settings import Settings
from sbnet.steps.spec import StepSpec
from sbnet.testing import check_backbone, check_dataset, check_export, check_method, check_settings


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
