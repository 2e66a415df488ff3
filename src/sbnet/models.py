"""Networks by name (`build`), model files (`load_model`, `save_model`), weights of other origin (`convert_weights`)."""

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.networks.build import build, build_backbone, model_names
from sbnet.networks.foreign import convert_weights
from sbnet.networks.model_file import load_model, save_model

__all__ = [
    "Backbone",
    "Network",
    "build",
    "build_backbone",
    "convert_weights",
    "load_model",
    "model_names",
    "save_model",
]
