"""Networks: backbones with CAM, affinity and segmentation heads. `build` makes them by name."""

from .cam_network import CamNetwork, CamOutput
from .network import Backbone, Network
from .normalization import Normalization
from .registry import build

__all__ = ["Backbone", "CamNetwork", "CamOutput", "Network", "Normalization", "build"]
