"""The recipe's backbone. Imports no PyTorch."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from sbnet.errors import SBNetError
from sbnet.settings import Natural, Settings, Weights

IN_PACKAGE, FROM_FILE = "ImageNet's, installed with sbnet", "none; give weights=file:PATH"

BACKBONES = {
    "lite0": ("EfficientNet-Lite0", IN_PACKAGE),
    "lite2": ("EfficientNet-Lite2", IN_PACKAGE),
    "resnet38": ("ResNet-38 of the published CAM methods", FROM_FILE),
    "resnet101": ("ResNet-101 of DeepLab v2, for segmenters", FROM_FILE),
    "timm:NAME": ("a CNN or vision transformer of timm", "downloaded by timm, or weights=file:PATH"),
}
"""Name -> what it is, where its weights come from."""
WITHOUT_WEIGHTS = ("resnet38", "resnet101")  # nobody packages theirs


class BackboneSettings(Settings):
    """The network that every training starts from."""

    name: str = "lite0"
    """`lite0`, `lite2`, `resnet38`, `resnet101` (segmenters only) or `timm:NAME`, vision transformers included."""
    weights: Weights = "auto"
    """`auto` (the backbone's own ImageNet weights; ResNet-38 and -101 have none), `none`, `file:PATH` or `timm:NAME`."""
    stride: Annotated[int, Field(ge=4, le=32)] = 16
    """Output stride: 8 or 16 for CNNs (ResNet-38 and -101: 8), the patch size for vision transformers."""
    freeze: Natural = 2
    """Number of stages (blocks), from the image on, that are not trained; the stem is part of the first."""
    dilate: bool = True
    """Dilate the kernels of stages whose stride was removed, so that they see as much as before."""

    @property
    def options(self) -> dict[str, Any]:
        """What `networks.build` takes of these, beside name and weights."""
        return {"stride": self.stride, "freeze": self.freeze, "dilate": self.dilate}


def check_weights(key: str, backbone: str, weights: str) -> None:
    """Raises SBNetError for a backbone that has no packaged weights, where none were chosen: nobody means to train it
    from random ones by oversight.
    """
    if backbone in WITHOUT_WEIGHTS and weights == "auto":
        raise SBNetError(
            f"{key}: {backbone} comes without weights; give {key}=file:PATH (.safetensors, .pth under the reference's "
            f"names, or MXNet's .params), or {key}=none to start from random weights"
        )
