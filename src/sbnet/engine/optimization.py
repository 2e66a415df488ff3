"""Settings of a training."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sbnet.settings import Count, Crop, ModelFile, NotNegative, Positive, Settings


class TrainSettings(Settings):
    epochs: Count = 8
    batch: Count = 8
    accumulate: Count = 1
    learning_rate: Positive = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    weight_decay: NotNegative = 5e-4
    crop: Crop = 448
    augmentation: Literal["fast", "exact"] = "fast"
    network: ModelFile = ""
    checkpoint_every: Count = 100
