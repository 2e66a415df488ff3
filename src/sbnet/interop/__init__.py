"""Foreign weights in, our own checkpoints in and out."""

from .checkpoint import load_model, save_model
from .reference import load_reference

__all__ = ["load_model", "load_reference", "save_model"]
