"""The dense CRF as the stages run it: photos side by side, no more of them at once than memory holds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sbnet.engine.gpu_memory import gpu_memory_told
from sbnet.work.parallel import MemoryBudget, available_memory
from sbnet.engine.runtime import Runtime
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF

Marginals = Callable[..., np.ndarray]  # see `PhotoCRF.room`
MEMORY_SHARE = 0.7  # of the memory available when the stage begins
ON_CPU = "save the photo smaller, or leave the CRF to the CPU (runtime.crf_device=cpu)"


class PhotoCRF:
    """On the CPU's kernels or, with `runtime.crf_device: device` and a GPU, on that; several threads may call it."""

    def __init__(self, runtime: Runtime) -> None:
        device = runtime.torch_device()
        self._device = device if runtime.crf_device == "device" and device.type == "cuda" else None
        free = available_memory() if self._device is None else torch.cuda.mem_get_info(self._device)[0]
        self._budget = MemoryBudget(int(MEMORY_SHARE * free))

    @contextmanager
    def room(
        self, photo: str | Path, size: tuple[int, int], *, labels: int, sets: int = 1
    ) -> Iterator[Marginals]:
        """Wait until there is memory for the CRF of `sets` sets of probabilities on a photo of size (H, W), and keep
        it. Gives `DenseCRF.marginals` of (pixels, probabilities), with `iterations`, `gaussian` and `bilateral`.

        Either raises SBNetError for a photo that alone needs more than there is: how much, only its lattices tell.
        """
        pixels, compiled = size[0] * size[1], self._device is None

        def refusal(needed: int) -> SBNetError:
            return SBNetError(
                f"{photo}: the CRF of {pixels} pixels and {labels - 1} classes takes up to {needed / 2**30:.1f} GiB "
                f"of memory, of which {self._budget.size / 2**30:.1f} are at hand: save the photo smaller, or use a "
                "machine with more memory"
            )

        def marginals(
            image: np.ndarray, probabilities: np.ndarray, *, iterations: int = 10, **kernels: Any
        ) -> np.ndarray:
            crf = DenseCRF(image if compiled else torch.from_numpy(image).to(self._device), **kernels)
            if compiled:
                count = len(probabilities) if probabilities.ndim == 4 else 1
                known = DenseCRF.memory_needed(pixels, labels=labels, sets=count, vertices=crf.vertices)
                if known > self._budget.size:
                    raise refusal(known)
                hold(known)
            return crf.marginals(probabilities, iterations=iterations)

        needed = DenseCRF.memory_needed(pixels, labels=labels, sets=sets, compiled=compiled)
        if needed > self._budget.size:
            raise refusal(needed)
        with self._budget.reserve(needed) as hold, gpu_memory_told(photo, ON_CPU):
            yield marginals
