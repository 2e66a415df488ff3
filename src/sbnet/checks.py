"""What this installation and machine have: versions, device, kernels, weights, cores, memory."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, requires, version

from sbnet.work.parallel import cpu_count


def describe_machine() -> dict[str, str]:
    """Name -> value, for a person to read. What cannot be found out says why: nothing is raised."""
    looks = {"device": _device, "compiled kernels": _kernels, "packaged weights": _weights}
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "python": f"{platform.python_version()} on {platform.platform()}",
        **{name: _version(name) for name in ("sbnet", *_requirements())},
        **{name: _told(look) for name, look in looks.items()},
        "cores": str(cpu_count()),
        "memory": f"{memory:.1f} GiB",
    }


def _requirements() -> list[str]:
    """The packages that sbnet requires, its extras included but for those of developers."""
    try:
        lines = requires("sbnet") or []
    except PackageNotFoundError:  # run from a source tree
        lines = ["torch", "timm", "numpy"]
    names = (re.match(r"[\w.-]+", line) for line in lines if not re.search(r"extra == .dev.", line))
    return list(dict.fromkeys(name[0] for name in names if name))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _told(look: Callable[[], str]) -> str:
    try:
        return look()
    except Exception as error:  # a broken installation is what this is for
        return f"failed: {error}"


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


def _weights() -> str:
    from sbnet.backbones.weights import LITES, lite_path

    for name in LITES:
        lite_path(name)
    return f"found, and the files are whole ({', '.join(LITES)})"
