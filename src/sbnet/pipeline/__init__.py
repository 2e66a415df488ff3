"""Runs a recipe's steps in order; knows which are done, stale or half done."""

from sbnet.pipeline.graph import recipe_steps
from sbnet.pipeline.run import run

__all__ = ["recipe_steps", "run"]
