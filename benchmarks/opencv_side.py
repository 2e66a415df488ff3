"""OpenCV's side of the comparison in `kernels.py`; runs in the peers' environment."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np


def canny(inputs: dict[str, np.ndarray]) -> Callable[[], np.ndarray]:
    cv2.setNumThreads(1)
    return lambda: cv2.Canny(inputs["image"], 10, 100)
