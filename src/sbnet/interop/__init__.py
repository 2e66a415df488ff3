"""Foreign weights in, our own checkpoints in and out."""

from .checkpoint import load_model, save_model
from .convert import convert_weights
from .reference import load_reference
from .reference_out import write_reference

__all__ = ["convert_weights", "load_model", "load_reference", "save_model", "write_reference"]
