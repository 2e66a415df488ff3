"""Train it: the class loss, and a term that remembers: the teacher's scores."""

from __future__ import annotations

import copy
import os
import signal
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import TrainTransform
from sbnet.engine.objective import Objective
from sbnet.steps.context import Context
from sbnet.steps.training import train
from sbnet_toy.cam import TrainToy


class Teacher(Objective):
    def __init__(self, settings: TrainToy) -> None:
        self._settings = settings

    def prepare(self, network: nn.Module, device: torch.device) -> None:
        self._teacher = copy.deepcopy(network).requires_grad_(False)

    def __call__(self, network: nn.Module, batch: Mapping[str, Any], progress: float) -> dict[str, Tensor]:
        images = batch["image"]
        scores = network(images).mean((2, 3))[:, 1:]
        with torch.no_grad():
            target = self._teacher(images).mean((2, 3))[:, 1:]
        classes = functional.multilabel_soft_margin_loss(scores, batch["labels"])
        return {"class": classes, "agreement": self._settings.agreement * (scores - target).abs().mean()}

    def after_step(self, network: nn.Module, step: int) -> None:
        if step == int(os.environ.get("SBNET_TOY_KILL_AT_STEP", 0)):  # the test of it
            os.kill(os.getpid(), signal.SIGKILL)
        for mine, theirs in zip(self._teacher.parameters(), network.parameters(), strict=True):
            mine.lerp_(theirs.detach(), 1 - self._settings.decay)

    def state_dict(self) -> dict[str, Any]:
        return {"teacher": self._teacher.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._teacher.load_state_dict(state["teacher"])


def run(settings: TrainToy, context: Context) -> dict[str, Any]:
    def samples(model: Any) -> TrainingSet:
        transform = TrainTransform(crop=settings.crop, scale=(1.0, 1.5))
        return TrainingSet(
            context.train, transform, normalization=model.normalization, seed=context.runtime.seed
        )

    return train(
        settings,
        context,
        title="train toy network",
        samples=samples,
        objective=lambda model: Teacher(settings),
    )
