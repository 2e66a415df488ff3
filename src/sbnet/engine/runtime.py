"""The machine that a run uses: device, precision, worker processes, seed. Imports no PyTorch before it is needed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import BeforeValidator, Field

from sbnet.errors import SBNetError
from sbnet.settings import Natural, Seed, Settings
from sbnet.work.parallel import cpu_count

if TYPE_CHECKING:
    import torch
    from lightning_fabric import Fabric
    from torch import nn

Precision = Literal["32", "bf16"]
ON_GPU = 4  # images of VOC's size, at scale 2 with mirror images, are 6 million pixels at once
CPU_FACTS = Path("/proc/cpuinfo")
CPU_FLAGS = frozenset({"avx512_bf16", "amx_bf16"})  # x86 instructions that multiply bfloat16


class Runtime(Settings):
    """The machine that a run uses."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` (a GPU if there is one), `cpu` or `cuda`."""
    precision: Annotated[Literal["auto", "32", "bf16"], BeforeValidator(str)] = "auto"
    """`32`, `bf16` (autocast; losses stay float32), or `auto`, the faster one for device and network."""
    workers: Annotated[int, Field(ge=-1)] = -1
    """Processes or threads that load and post-process images; -1: one per CPU core."""
    inference_batch: Natural = 0
    """Images of the same size in one forward pass of inference, fewer if they are large; 0: 4 on a GPU, 1 on the
    CPU, whose cores one image keeps busy.
    """
    crf_device: Literal["cpu", "device"] = "cpu"
    """Where the dense CRF runs: `cpu`, compiled, one image per core; or `device`, where networks run. Which is faster
    depends on the machine; their labels agree on 99.9 % of the pixels.
    """
    seed: Seed = 0
    """Seed of all random choices."""
    tensorboard: bool = False
    """Also write TensorBoard event files beside the CSV logs (extra `tensorboard`)."""
    compile: bool = False
    """Compile the networks that are trained: takes minutes before the first step, pays off in long trainings on a GPU.
    Needs a C++ compiler, or Triton on a GPU.
    """

    @property
    def worker_count(self) -> int:
        return cpu_count() if self.workers < 0 else self.workers

    @property
    def images_at_once(self) -> int:
        """`inference_batch`, with 0 resolved for the device."""
        return self.inference_batch or (ON_GPU if self.torch_device().type == "cuda" else 1)

    def torch_device(self) -> torch.device:
        """Raises SBNetError for `cuda` where PyTorch sees no GPU."""
        import torch

        available = torch.cuda.is_available()
        if self.device == "cuda" and not available:
            raise SBNetError("runtime.device: 'cuda', but PyTorch sees no GPU; use device=auto or cpu")
        return torch.device("cuda" if available and self.device != "cpu" else "cpu")

    def precision_for(self, network: nn.Module) -> Precision:
        return faster_precision(network, self.torch_device()) if self.precision == "auto" else self.precision

    def fabric(self, network: nn.Module) -> Fabric:
        """Lightning Fabric for that network on that device, one process."""
        from lightning_fabric import Fabric

        return Fabric(
            accelerator=self.torch_device().type,
            devices=1,
            precision="bf16-mixed" if self.precision_for(network) == "bf16" else "32-true",
        )


def faster_precision(network: nn.Module, device: torch.device) -> Precision:
    """bf16 on a GPU that computes in it. On a CPU with instructions for it, for networks of dense convolutions alone:
    measured, a ResNet takes half the time there, and the depthwise convolutions of an EfficientNet take more.
    """
    import torch

    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "32"
    return "bf16" if _cpu_has_bf16() and not has_depthwise(network) else "32"


def has_depthwise(network: nn.Module) -> bool:
    """Whether some convolution mixes only groups of its channels."""
    from torch import nn

    return any(isinstance(module, nn.Conv2d) and module.groups > 1 for module in network.modules())


def _cpu_has_bf16() -> bool:
    """As Linux says; False elsewhere, and on Arm, where nothing was measured."""
    try:
        lines = CPU_FACTS.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "")
    return not CPU_FLAGS.isdisjoint(flags.split())
