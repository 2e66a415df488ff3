"""Networks: backbones with CAM, affinity and segmentation heads. `build` makes them by name."""

from .affinity_network import AffinityNetwork, AffinityOutput
from .cam_network import CamNetwork, CamOutput
from .deeplab import DeepLab
from .irn_network import IrnNetwork, IrnOutput
from .network import Backbone, Network
from .normalization import Normalization
from .registry import BACKBONES, SEGMENTERS, build, build_backbone, model_names, same_backbone
from .segmenter import Segmenter, SegmenterOutput

__all__ = [
    "BACKBONES",
    "SEGMENTERS",
    "AffinityNetwork",
    "AffinityOutput",
    "Backbone",
    "CamNetwork",
    "CamOutput",
    "DeepLab",
    "IrnNetwork",
    "IrnOutput",
    "Network",
    "Normalization",
    "Segmenter",
    "SegmenterOutput",
    "build",
    "build_backbone",
    "model_names",
    "same_backbone",
]
