"""Weights and CAM files of other implementations, in and out."""

from sbnet.compat.reference import load_reference
from sbnet.compat.reference_out import write_reference

__all__ = ["load_reference", "write_reference"]
