"""Parameter groups, and the learning rate from step to step."""

import math
import re

import pytest
import torch
from torch import nn

from sbnet.engine.optimization import TrainSettings, build_optimizer, set_learning_rate
from sbnet.networks.build import build


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.old, self.norm, self.new = nn.Linear(2, 2), nn.LayerNorm(2), nn.Linear(2, 2, bias=False)

    def parameter_groups(self):
        return [
            [("old.weight", self.old.weight), ("norm.weight", self.norm.weight)],
            [("old.bias", self.old.bias)],
            [("new.weight", self.new.weight)],
            [],
        ]


def groups(optimizer):
    return [
        (group["multiplier"], group["weight_decay"], len(group["params"])) for group in optimizer.param_groups
    ]


def test_groups_have_the_multipliers_and_decay_of_the_reference():
    optimizer = build_optimizer(Grouped(), TrainSettings())
    assert isinstance(optimizer, torch.optim.SGD)
    assert groups(optimizer) == [(1.0, 5e-4, 2), (2.0, 0.0, 1), (10.0, 5e-4, 1)]
    assert all(group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_new_layers_have_a_rate_of_their_own():
    network = Grouped()
    network.parameter_groups = lambda: [[], [], [("w", network.new.weight)], [("b", network.old.bias)]]
    optimizer = build_optimizer(network, TrainSettings(), head_rate=100.0)
    assert groups(optimizer) == [(100.0, 5e-4, 1), (200.0, 0.0, 1)]


def test_adamw_decays_no_norms_and_learns_biases_as_weights():
    optimizer = build_optimizer(Grouped(), TrainSettings(optimizer="adamw", weight_decay=0.01))
    assert isinstance(optimizer, torch.optim.AdamW)
    assert groups(optimizer) == [(1.0, 0.01, 1), (1.0, 0.0, 1), (1.0, 0.0, 1), (10.0, 0.01, 1)]
    assert optimizer.param_groups[0]["betas"] == (0.9, 0.999)


@pytest.mark.parametrize(
    ("backbone", "stem", "parts"),
    [
        ("timm:test_efficientnet", "net.conv_stem", "net.blocks"),
        ("timm:test_resnet", "net.conv1", "net.layer"),
    ],
)
def test_lower_blocks_learn_more_slowly(backbone, stem, parts):
    network = build(f"sbnet-{backbone}", 3, weights="none", freeze=0)
    optimizer = build_optimizer(network, TrainSettings(layer_decay=0.5))
    rates = {
        id(parameter): group["multiplier"]
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    assert len(rates) == sum(parameter.requires_grad for parameter in network.parameters())
    trained = [(name, one) for name, one in network.backbone.named_parameters() if one.requires_grad]
    blocks = [
        stem,
        *dict.fromkeys(re.match(parts + r"\.?\d+\.", name)[0] for name, _ in trained if parts in name),
    ]
    assert len(blocks) > 4
    for depth, block in enumerate(reversed(blocks), start=1):
        inside = {
            rates[id(one)] for name, one in trained if name.startswith(block) and not name.endswith("bias")
        }
        assert inside == {0.5**depth}, block
    assert rates[id(network.fc8.weight)] == 10


def rates(settings, steps, **more):
    optimizer = build_optimizer(Grouped(), settings)
    found = [set_learning_rate(optimizer, settings, step, steps, **more) for step in range(steps)]
    assert optimizer.param_groups[2]["lr"] == 10 * found[-1]
    return found


def test_rate_decays_polynomially():
    found = rates(TrainSettings(), 10)
    assert found == [0.01 * (1 - step / 10) ** 0.9 for step in range(10)]


def test_rate_is_held_between_updates():
    found = rates(TrainSettings(learning_rate=1), 100, hold=10)
    assert [found[step] for step in (0, 9, 10, 19)] == [1.0, 1.0, 0.9**0.9, 0.9**0.9]


def test_rate_rises_then_follows_the_cosine():
    found = rates(TrainSettings(learning_rate=2, schedule="cosine", warmup=0.4), 10)
    cosine = [1 + math.cos(math.pi * step / 10) for step in range(10)]
    assert found == pytest.approx([cosine[step] * min(1, (step + 1) / 4) for step in range(10)])
