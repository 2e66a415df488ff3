"""Readers, transforms, built-in scenes, and the typed files that pass between stages.

Class ids are whole-dataset ids everywhere: 0 background, 1..C-1 foreground, 255 ignore.
"""

IGNORE = 255
"""The label of pixels that count neither in a loss nor in a score."""
