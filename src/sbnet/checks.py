"""What this installation and machine have: networks, weights, versions, device, memory."""

from __future__ import annotations

import os
import platform
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from sbnet.work.parallel import cpu_count
from sbnet.errors import SBNetError
from sbnet.backbones.weights import LITES, lite_path

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
DECODER = "segmenter; its decoder: pip install 'sbnet[smp]'"
FAMILIES = {  # name -> what it is, how a recipe chooses it
    "sbnet": ("CAM network: pixel correlation, boundary head", "train_cam, bootstrap"),
    "affinitynet": ("affinities of pixel pairs", "train_affinity.method=affinitynet"),
    "irn": ("class boundaries and displacements", "train_affinity.method=irn"),
    "deeplabv2": ("segmenter", "train_segmenter.family=deeplabv2"),
    **{
        name: (DECODER, f"train_segmenter.family={name}")
        for name in ("deeplabv3plus", "upernet", "segformer")
    },
}
BACKBONES = {  # name -> what it is, where its weights come from
    "resnet38": ("ResNet-38", "weights=file:PATH"),
    "resnet101": ("DeepLab v2's ResNet-101", "weights=file:PATH"),
    "lite0": ("EfficientNet-Lite0", "ImageNet's come along"),
    "lite2": ("EfficientNet-Lite2", "ImageNet's come along"),
    "timm:NAME": ("a timm model with features by stride", "timm's, which it downloads, or weights=file:PATH"),
}


def describe_models() -> list[list[tuple[str, str, str]]]:
    """Tables of families and of backbones, a row for each after the headings. Names are FAMILY-BACKBONE."""
    return [
        [("FAMILY", "WHAT IT IS", "IN A RECIPE"), *((name, *about) for name, about in FAMILIES.items())],
        [("BACKBONE", "WHAT IT IS", "WEIGHTS"), *((name, *about) for name, about in BACKBONES.items())],
    ]


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
