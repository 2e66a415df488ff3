"""The dense CRF as steps run it: images side by side, no more of them at once than memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sbnet.engine.resources import gpu_memory_told
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF
from sbnet.work.parallel import MemoryBudget, available_memory

Marginals = Callable[..., np.ndarray]  # see `PhotoCRF.room`
MEMORY_SHARE = 0.7  # of the memory available when the step starts
ON_CPU = "make the image smaller, or run the CRF on the CPU (runtime.crf_device=cpu)"


class PhotoCRF:
    """On the CPU's kernels or, with `runtime.crf_device: device` and a GPU, on that; several threads may call it."""

    def __init__(self, runtime: Runtime) -> None:
        device = runtime.torch_device()
        self._device = device if runtime.crf_device == "device" and device.type == "cuda" else None
        free = available_memory() if self._device is None else torch.cuda.mem_get_info(self._device)[0]
        self._budget = MemoryBudget(int(MEMORY_SHARE * free))

    @contextmanager
    def room(
        self, image: str | Path, size: tuple[int, int], *, labels: int, sets: int = 1
    ) -> Iterator[Marginals]:
        """Reserve memory for the CRF of an image of size (H, W) and `sets` sets of probabilities, waiting until it is
        free. Gives marginals(pixels, probabilities, iterations=, gaussian=, bilateral=), see `DenseCRF`.

        Raises SBNetError for an image that needs more memory than there is. So does what it gives, as only the image's
        lattices tell how much that is.
        """
        area, compiled = size[0] * size[1], self._device is None

        def check(needed: int) -> None:
            if needed > self._budget.size:
                raise SBNetError(
                    f"{image}: the CRF of {area} pixels and {labels - 1} classes takes up to "
                    f"{needed / 2**30:.1f} GiB of memory, and {self._budget.size / 2**30:.1f} are available: make the "
                    "image smaller, or use a machine with more memory"
                )

        def marginals(
            pixels: np.ndarray, probabilities: np.ndarray, *, iterations: int = 10, **kernels: Any
        ) -> np.ndarray:
            crf = DenseCRF(pixels if compiled else torch.from_numpy(pixels).to(self._device), **kernels)
            if compiled:
                count = len(probabilities) if probabilities.ndim == 4 else 1
                known = DenseCRF.memory_needed(area, labels=labels, sets=count, vertices=crf.vertices)
                check(known)
                hold(known)
            return crf.marginals(probabilities, iterations=iterations)

        needed = DenseCRF.memory_needed(area, labels=labels, sets=sets, compiled=compiled)
        check(needed)
        with self._budget.reserve(needed) as hold, gpu_memory_told(image, ON_CPU):
            yield marginals
