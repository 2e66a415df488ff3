"""What `DenseCRF` is given: checked, with messages that name the value, and brought into one form."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch


def check_image(image: np.ndarray | torch.Tensor) -> None:
    shape = tuple(image.shape)
    if len(shape) not in (3, 4) or shape[-1] != 3 or 0 in shape:
        raise ValueError(f"image: shape {shape} is not (H, W, 3) or (B, H, W, 3)")
    if image.dtype not in (np.uint8, torch.uint8):
        raise ValueError(f"image: {image.dtype} is not uint8 (0 to 255, not normalized)")


def check_settings(kernel: str, values: tuple[float, ...], names: tuple[str, ...]) -> None:
    if len(values) != len(names):
        raise ValueError(f"{kernel}: {values!r} is not ({', '.join(names)})")
    # In single precision, as the kernel has them: there the smallest numbers are 0.
    for name, value in zip(names, (ctypes.c_float(value).value for value in values), strict=True):
        if not math.isfinite(value) or value < 0 or (value == 0 and name != "weight"):
            wanted = "at least 0" if name == "weight" else "above 0"
            raise ValueError(f"{kernel}: {name} is {value!r}; it must be a finite number {wanted}")


def check_shape(
    probabilities: np.ndarray | torch.Tensor, batch: Sequence[int], size: tuple[int, int]
) -> None:
    shape, lead = tuple(probabilities.shape), len(batch)
    fits = len(shape) in (lead + 3, lead + 4) and shape[:lead] == tuple(batch) and shape[-2:] == size
    if not fits or 0 in shape:
        photos, (height, width) = "".join(f"{count}, " for count in batch), size
        raise ValueError(
            f"probabilities: shape {shape} is not ({photos}K, {height}, {width}) or ({photos}A, K, {height}, {width}), "
            f"the size of the image"
        )


def floats(probabilities: np.ndarray | torch.Tensor, device: torch.device | None) -> Any:
    """Contiguous float32, finite: a tensor on `device`, or in numpy for the compiled kernel."""
    if isinstance(probabilities, torch.Tensor):
        floating = probabilities.is_floating_point()
    else:
        floating = np.issubdtype(probabilities.dtype, np.floating)
    if not floating:
        raise ValueError(f"probabilities: {probabilities.dtype} is not a floating-point type")
    library: Any = np if device is None else torch  # the names used below are those of both
    values: Any
    if isinstance(probabilities, torch.Tensor):
        values = probabilities.detach().to(device or "cpu", torch.float32).contiguous()
        values = values.numpy() if device is None else values
    else:
        values = np.ascontiguousarray(probabilities, np.float32)
        values = values if device is None else torch.tensor(values, device=device)
    finite = library.isfinite(values)
    if not finite.all():
        kind = "NaN" if library.isnan(values).any() else "infinity"
        first = tuple(int(i) for i in library.argwhere(~finite)[0])
        raise ValueError(f"probabilities: {kind} at index {first}")
    return values
