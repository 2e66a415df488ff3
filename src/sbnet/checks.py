"""What this installation and machine have: networks, weights, versions, device, memory."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from sbnet.engine.runtime import cpu_count
from sbnet.errors import SBNetError
from sbnet.interop.backbone_weights import LITES, lite_path
from sbnet.models import model_names

PACKAGES = (
    "sbnet",
    "torch",
    "torchvision",
    "timm",
    "lightning-fabric",
    "numpy",
    "scipy",
    "pillow",
    "cyclopts",
    "segmentation-models-pytorch",
)
FAMILIES = {
    "sbnet": "CAM network: pixel correlation, boundary head",
    "affinitynet": "affinities of pixel pairs",
    "irn": "class boundaries and displacements, the second refinement",
    "deeplabv2": "segmenter",
    "deeplabv3plus": "segmenter of the extra smp",
    "upernet": "segmenter of the extra smp",
    "segformer": "segmenter of the extra smp",
}
BACKBONES = {
    "resnet38": "ResNet-38 (weights: file:PATH)",
    "resnet101": "ResNet-101 (weights: file:PATH)",
    "lite0": "EfficientNet-Lite0 (ImageNet weights come along)",
    "lite2": "EfficientNet-Lite2 (ImageNet weights come along)",
    "timm:NAME": "a timm backbone with features by stride (weights: timm's, or file:PATH)",
}


def describe_models() -> dict[str, str]:
    """Name that `models.build` takes -> what it is."""
    names = [*model_names(), *(f"{family}-timm:NAME" for family in FAMILIES)]
    described = {}
    for name in names:
        family, _, backbone = name.partition("-")
        described[name] = f"{FAMILIES[family]}; {BACKBONES[backbone]}"
    return described


def describe_machine() -> dict[str, str]:
    """Versions, device, compiled kernels, weights, cores and memory, for a person to read."""
    facts = {"python": f"{platform.python_version()} on {platform.platform()}"}
    facts |= {name: _version(name) for name in PACKAGES}
    facts["device"] = _device()
    facts["compiled kernels"] = _kernels()
    facts |= {f"{name} weights": _weights(name) for name in LITES}
    facts["cores"] = str(cpu_count())
    facts["memory"] = _memory()
    return facts


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _device() -> str:
    import torch

    if not torch.cuda.is_available():
        return "cpu (PyTorch sees no GPU)"
    memory = torch.cuda.get_device_properties(0).total_memory / 2**30
    return f"cuda ({torch.cuda.get_device_name(0)}, {memory:.0f} GiB)"


def _kernels() -> str:
    try:
        return f"found ({import_module('sbnet._kernels').__file__})"
    except ImportError as error:
        return f"not found ({error}); pip install . builds them"


def _weights(backbone: str) -> str:
    try:
        lite_path(backbone)
    except SBNetError as error:
        return f"not found: {error}"
    return "found, and the file is whole"


def _memory() -> str:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{total:.1f} GiB"
