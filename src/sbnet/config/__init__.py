"""Recipes: everything that a run needs, one YAML file each."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent / "recipes"


def names() -> list[str]:
    """Names of the packaged recipes."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))
