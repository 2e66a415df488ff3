"""The table `Numbers without a setting` of docs/recipes.md, held to the code."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from sbnet import ops
from sbnet.backbones.resnet38 import ResNet38
from sbnet.backbones.resnet101 import ResNet101
from sbnet.config import FOLDER, names
from sbnet.config.yaml_file import heading
from sbnet.data.training import transforms
from sbnet.engine.optimization import POWER, TrainSettings, build_optimizer
from sbnet.engine.training import fit
from sbnet.methods.affinitynet.network import AffinityNetwork
from sbnet.methods.irn.network import GRID, IrnNetwork
from sbnet.segmenters.deeplabv2 import network as deeplab
from sbnet.segmenters.train import RATE_HELD

DOCS = Path(__file__).parents[2] / "docs"


def default(of: Callable[..., object], name: str) -> Any:
    return inspect.signature(of).parameters[name].default


class Groups(nn.Module):
    """A parameter of each kind: pretrained, new; weight, bias."""

    def parameter_groups(self) -> list[list[tuple[str, nn.Parameter]]]:
        return [
            [(name, nn.Parameter(torch.zeros(2, 2)))] for name in ("a.weight", "a.bias", "b.weight", "b.bias")
        ]


def test_the_numbers_without_a_setting_are_the_code_s() -> None:
    """Each row's second cell holds these numbers in this order."""
    rgb, bgr = ResNet38.normalization, ResNet101.normalization
    assert (rgb.bgr, bgr.bgr, bgr.std, bgr.scale) == (False, True, (1, 1, 1), 1)
    groups = build_optimizer(Groups(), TrainSettings()).param_groups
    assert [group["weight_decay"] > 0 for group in groups] == [True, False, True, False]
    assert default(fit, "hold") == 1
    radius = default(AffinityNetwork, "radius")
    assert default(ops.random_walk, "radius") == radius
    with torch.device("meta"):
        published = ResNet38()
    spread = float(deeplab.AtrousPyramid(512, 21, deeplab.RATES).c0.weight.detach().std())
    fov = deeplab.LargeFieldOfView(8, 21)
    expected = {
        "colour jitter": transforms.JITTER,
        "mirror image": [default(transforms.TrainTransform, "mirror")],
        "learning rates": [group["multiplier"] for group in groups],
        "decay of the learning rate": [POWER],
        "renewal of the learning rate": [RATE_HELD],
        "mean and deviation of the images": [*rgb.mean, *rgb.std, 1 / rgb.scale],
        "mean of the images in BGR": bgr.mean,
        "Canny edges": [default(ops.canny, "low"), default(ops.canny, "high")],
        "AffinityNet": [radius, published.strides[published.last(3)[0]]],
        "IRN": [default(IrnNetwork, "radius"), default(ops.boundary_walk, "radius"), GRID],
        "DeepLab v2's pyramid": [*deeplab.RATES, pytest.approx(spread, rel=0.02)],
        "DeepLab v1's head": [fov[0].dilation[0], fov[0].out_channels, fov[6].p],
    }
    page = (DOCS / "recipes.md").read_text(encoding="utf-8")
    table = page.partition("## Numbers without a setting")[2].partition("\n| ")[2].partition("\n\n")[0]
    rows = [line.strip("| ").split(" | ") for line in table.splitlines()[2:]]
    found = {
        title.replace("color ", "colour "): [float(one) for one in re.findall(r"\d+(?:\.\d+)?", cell)]
        for title, cell, *_ in rows
    }
    assert found == {title: list(numbers) for title, numbers in expected.items()}


@pytest.mark.parametrize("name", [name for name in names() if "resnet" in name])
def test_the_papers_recipes_name_the_table(name: str) -> None:
    assert "docs/recipes.md" in "".join(heading((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
