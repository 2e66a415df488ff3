"""Tensors under other names than their file's, none of them lost on the way."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from torch import Tensor

from sbnet.errors import SBNetError


def by_new_name(renamed: Iterable[tuple[str, str, Tensor]]) -> dict[str, Tensor]:
    """(name in the file, new name, tensor) -> the tensors by new name. SBNetError where two names become one."""
    tensors: dict[str, Tensor] = {}
    for name, new, value in renamed:
        if new in tensors:
            raise SBNetError(
                f"{name}: another tensor of the file is {new} already; give a file of one network"
            )
        tensors[new] = value
    return tensors


def without_parallel(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """`state` without DataParallel's `module.`; errors as above."""
    return by_new_name((name, name.removeprefix("module."), value) for name, value in state.items())
