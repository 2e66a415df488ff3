"""The compiled extension."""

from __future__ import annotations

from types import ModuleType


def kernels() -> ModuleType:
    """`sbnet._kernels`; imported late, so that all else works in a tree where it is not built."""
    try:
        from sbnet import _kernels
    except ImportError as error:
        raise ImportError(
            f"sbnet's compiled kernels cannot be imported ({error}); "
            "build them with `pip install .` in a clone of the repository"
        ) from error
    return _kernels
