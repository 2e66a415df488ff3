"""Models of timm by name, with what goes wrong in words."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import timm
from torch import Tensor

from sbnet.errors import SBNetError, did_you_mean


def check_name(name: str, *, listing: str = "timm.list_models()") -> None:
    """Raises SBNetError for a name that timm does not know."""
    if not timm.is_model(name):
        near = did_you_mean(name, timm.list_models())
        raise SBNetError(f"timm has no model '{name}'{near}; {listing} lists them")


@contextmanager
def creating(what: str) -> Iterator[None]:
    """timm, and the download of its weights, raise many kinds of error: one of ours instead."""
    try:
        yield
    except Exception as error:
        raise SBNetError(
            f"{what} cannot be built ({type(error).__name__}: {error}); try another backbone or stride, or weights=none "
            "or weights=file:PATH where the download of its weights failed"
        ) from error


def pretrained_state(name: str) -> dict[str, Tensor]:
    """The weights that timm has for its model `name`, which timm downloads where they are not cached.

    Raises SBNetError for a name without weights and for a failed download.
    """
    check_name(name, listing="timm.list_models(pretrained=True)")
    with creating(f"timm:{name} with its weights"):
        state: dict[str, Tensor] = timm.create_model(name, pretrained=True).state_dict()
    return state
