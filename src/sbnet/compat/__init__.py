"""Weights and CAM files of other implementations: reading them without trusting them, and their names and ours."""

from sbnet.compat.reference import load_reference

__all__ = ["load_reference"]
