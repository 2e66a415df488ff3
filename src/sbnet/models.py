"""Networks by name (`build`), model files (`load_model`, `save_model`), weights of other origin (`convert_weights`)."""

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.engine.foreign import convert_weights
from sbnet.engine.model_file import load_model, save_model
from sbnet.engine.networks import build, build_backbone, model_names

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
