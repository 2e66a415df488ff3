"""Slow and short implementations that the ops are held to."""
