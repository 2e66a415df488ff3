"""Networks: backbones with CAM, affinity and segmentation heads. `build` makes them by name."""

from sbnet.methods.affinitynet.network import AffinityNetwork, AffinityOutput
from sbnet.methods.cam.network import CamNetwork, CamOutput
from sbnet.segmenters.deeplab import DeepLab
from sbnet.methods.irn.network import IrnNetwork, IrnOutput
from sbnet.backbones.network import Backbone, Network
from sbnet.backbones.normalization import Normalization
from sbnet.engine.networks import BACKBONES, SEGMENTERS, build, build_backbone, model_names, same_backbone
from sbnet.segmenters.segmenter import Segmenter, SegmenterOutput

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
