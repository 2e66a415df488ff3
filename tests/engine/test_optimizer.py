from dataclasses import replace

import pytest
import torch
from torch import nn

from sbnet.engine.optimizer import Plan, build_optimizer, set_learning_rate


class Grouped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.old, self.new = nn.Linear(2, 2), nn.Linear(2, 2, bias=False)

    def parameter_groups(self):
        return [
            [("old.weight", self.old.weight)],
            [("old.bias", self.old.bias)],
            [("new.weight", self.new.weight)],
            [],
        ]


PLAN = Plan(epochs=1, batch=1, accumulate=1, learning_rate=0.01, momentum=0.9, weight_decay=5e-4)


def test_groups_have_the_multipliers_and_decay_of_the_reference():
    optimizer = build_optimizer(Grouped(), PLAN)
    assert [(group["multiplier"], group["weight_decay"]) for group in optimizer.param_groups] == [
        (1.0, 5e-4),
        (2.0, 0.0),
        (10.0, 5e-4),
    ]
    assert all(group["momentum"] == 0.9 for group in optimizer.param_groups)


def test_new_layers_have_a_rate_of_their_own():
    plan = replace(PLAN, head_rate=100.0)
    optimizer = build_optimizer(Grouped(), plan)
    assert [group["multiplier"] for group in optimizer.param_groups] == [1.0, 2.0, 100.0]
    assert plan.multipliers[3] == 200.0


def test_rate_decays_polynomially():
    optimizer = build_optimizer(Grouped(), PLAN)
    assert set_learning_rate(optimizer, PLAN, 0, 10) == pytest.approx(0.01)
    assert set_learning_rate(optimizer, PLAN, 5, 10) == pytest.approx(0.01 * 0.5**0.9)
    assert optimizer.param_groups[2]["lr"] == pytest.approx(0.1 * 0.5**0.9)


def test_rate_is_held_between_updates():
    plan = Plan(epochs=1, batch=1, accumulate=1, learning_rate=1.0, momentum=0.9, weight_decay=0.0, hold=10)
    optimizer = build_optimizer(Grouped(), plan)
    rates = [set_learning_rate(optimizer, plan, step, 100) for step in (0, 9, 10, 19)]
    assert rates == pytest.approx([1.0, 1.0, 0.9**0.9, 0.9**0.9])
    assert torch.is_tensor(optimizer.param_groups[0]["params"][0])
