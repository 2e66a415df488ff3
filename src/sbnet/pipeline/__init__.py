"""Runs a recipe's steps in order; knows which are done, stale or half done."""

from sbnet.pipeline.run import run

__all__ = ["run"]
