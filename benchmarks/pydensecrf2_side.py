"""pydensecrf2's side of `crf.py`; runs in the peers' environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pydensecrf.densecrf as densecrf


def crf(
    inputs: dict[str, np.ndarray], *, gaussian: Any, bilateral: Any, iterations: int = 10, **_ours: float
) -> Callable[[], np.ndarray]:
    image, sets = np.ascontiguousarray(inputs["image"]), inputs["probabilities"]
    height, width = image.shape[:2]

    def one(probabilities: np.ndarray) -> np.ndarray:
        model = densecrf.DenseCRF2D(width, height, len(probabilities))
        unary = -np.log(np.clip(probabilities, 1e-5, 1)).reshape(len(probabilities), -1)
        model.setUnaryEnergy(np.ascontiguousarray(unary, np.float32))
        model.addPairwiseGaussian(sxy=gaussian[0], compat=gaussian[1])
        model.addPairwiseBilateral(sxy=bilateral[0], srgb=bilateral[1], rgbim=image, compat=bilateral[2])
        return np.asarray(model.inference(iterations)).reshape(probabilities.shape)

    return lambda: np.stack([one(probabilities) for probabilities in sets])
