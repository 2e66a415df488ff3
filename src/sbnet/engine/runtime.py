"""The machine that a run uses: device, precision, worker processes, seed."""

from __future__ import annotations

import os
from dataclasses import dataclass

import torch
from lightning_fabric import Fabric
from torch import nn

from sbnet.engine.precision import faster_precision
from sbnet.errors import SBNetError, check_choice

DEVICES = ("auto", "cpu", "cuda")
PRECISIONS = ("auto", "32", "bf16")
CRF_DEVICES = ("cpu", "device")
PHOTOS_ON_GPU = 4  # of VOC's size, at scale 2 with mirror images, 6 million pixels at once


@dataclass(frozen=True)
class Runtime:
    """device: `auto` (a GPU where there is one), `cpu` or `cuda`.
    precision: `32`, `bf16` (autocast; losses stay float32), or `auto`, the faster one for device and network (see
    `faster_precision`).
    workers: processes that load and post-process photos; -1 for one a CPU core.
    inference_batch: photos of one size that pass a network together where none is trained, fewer where they are large;
    0 for 4 on a GPU and 1 on the CPU, whose cores one photo keeps busy.
    crf_device: where the stages' dense CRF runs: `cpu`, compiled, a photo a core; or `device`, where networks do.
    Which of the two is faster depends on the machine; their labels are equal on 99.9 % of the pixels.
    seed: every random choice of the run follows from it.
    tensorboard: write TensorBoard event files beside the CSV logs (extra `tensorboard`).
    compile: have PyTorch compile the networks that are trained: minutes before the first step, for long trainings on a
    GPU. Needs a C++ compiler, or Triton on a GPU.
    """

    device: str = "auto"
    precision: str = "auto"
    workers: int = -1
    inference_batch: int = 0
    crf_device: str = "cpu"
    seed: int = 0
    tensorboard: bool = False
    compile: bool = False

    def __post_init__(self) -> None:
        check_choice("runtime.device", self.device, DEVICES)
        check_choice("runtime.precision", str(self.precision), PRECISIONS)
        if self.workers < -1:
            raise SBNetError(
                f"runtime.workers is {self.workers}; expected a number, or -1 for one a CPU core"
            )
        check_choice("runtime.crf_device", self.crf_device, CRF_DEVICES)

    @property
    def worker_count(self) -> int:
        return cpu_count() if self.workers < 0 else self.workers

    @property
    def photos_at_once(self) -> int:
        """`inference_batch`, as it is for the device."""
        return self.inference_batch or (PHOTOS_ON_GPU if self.torch_device().type == "cuda" else 1)

    def torch_device(self) -> torch.device:
        if self.device == "cuda" and not torch.cuda.is_available():
            raise SBNetError(
                "runtime.device: 'cuda' is asked for, but PyTorch sees no GPU; use device=auto or cpu"
            )
        if self.device == "auto":
            return torch.device("cuda" if torch.cuda.is_available() else "cpu")
        return torch.device(self.device)

    def seed_torch(self) -> None:
        """Make what PyTorch draws from here on (initial weights, dropout) follow from the seed."""
        torch.manual_seed(self.seed)

    def precision_for(self, network: nn.Module) -> str:
        """`32` or `bf16`, for that network on that device."""
        asked = str(self.precision)
        return faster_precision(network, self.torch_device()) if asked == "auto" else asked

    def fabric(self, network: nn.Module) -> Fabric:
        """Lightning Fabric for that network on that device, one process."""
        return Fabric(
            accelerator="cuda" if self.torch_device().type == "cuda" else "cpu",
            devices=1,
            precision="bf16-mixed" if self.precision_for(network) == "bf16" else "32-true",
        )


def cpu_count() -> int:
    """Cores this process may use (respects affinity masks and containers)."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
