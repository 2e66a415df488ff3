"""Our networks as files: safetensors, with everything needed to build the network again in the header."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.compat.reference import misfits
from sbnet.data.io.files import atomic_write
from sbnet.errors import SBNetError
from sbnet.networks import build as networks
from sbnet.networks.header import FORMAT, Header, parse_header, write_header

# What reading a header raises, whoever wrote it: JSON may be nested too deep, numbers too large.
BROKEN = (
    *(SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError),
    *(ArithmeticError, RecursionError),
)


def save_model(model: Network, path: Path | str, *, meta: dict[str, Any]) -> None:
    """Write `model`, as `networks.build` made it, and `meta` (values that JSON has) to `path`.

    The file is written under a temporary name and renamed, so a file that exists is whole. Raises SBNetError where
    that fails, and for anything that `load_model` would refuse.
    """
    path = Path(path)
    try:
        header = write_header(model, meta)
        _check_fits(parse_header(header), model.state_dict())
    except Exception as error:  # a plug-in's network may raise anything
        raise SBNetError(f"{path}: not written, as it could not be loaded again ({error})") from error
    _write(path, model, header)


def save_backbone(backbone: Backbone, path: Path | str, *, name: str, meta: dict[str, Any]) -> None:
    """Write a backbone alone, for weights=file:PATH; otherwise as `save_model`."""
    normalization = dataclasses.asdict(backbone.normalization)
    header = {"format": FORMAT, "backbone": name, "normalization": normalization, "meta": meta}
    _write(Path(path), backbone, json.dumps(header))


def _write(path: Path, module: nn.Module, header: str) -> None:
    # safetensors takes no channels-last tensors.
    tensors = {name: value.detach().cpu().contiguous() for name, value in module.state_dict().items()}
    try:
        with atomic_write(path, durable=True) as temporary:
            temporary.touch()
            usual = temporary.stat().st_mode  # safetensors makes its files private
            save_file(tensors, temporary, metadata={"sbnet": header})
            temporary.chmod(usual)
    except (OSError, SafetensorError) as error:
        raise SBNetError(
            f"{path}: cannot be written ({error}); free space or choose another folder"
        ) from error


def is_ours(path: Path | str) -> bool:
    """Whether `path` has a readable header of ours, of a network or a backbone."""
    try:
        with safe_open(path, framework="pt") as file:
            return "sbnet" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def network_name(path: Path | str) -> str:
    """FAMILY-BACKBONE of the network in a `save_model` file, from its header; '' for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["sbnet"])
            return str(header["name"]) if "classes" in header else ""
    except BROKEN:
        return ""


def load_model(path: Path | str) -> tuple[Network, dict[str, Any]]:
    """The network of a `save_model` file, on the CPU, in eval mode, and its `meta`.

    Needs no other file. Raises SBNetError for a file that is missing, damaged or not ours.
    """
    path = Path(path)
    if not path.is_file():
        raise SBNetError(f"{path}: no such model file; give the model.safetensors of a run's training step")
    try:
        with safe_open(path, framework="pt") as file:
            text = (file.metadata() or {})["sbnet"]
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        found = json.loads(text)
        if "backbone" in found:
            raise SBNetError(
                f"{path}: only the backbone {found['backbone']!s:.40}, not a network; give it as weights=file:{path}"
            )
        if found.get("format") != FORMAT:
            raise SBNetError(
                f"{path}: format {found.get('format')!r:.40}, expected {FORMAT}; use the sbnet version that wrote it"
            )
        header = parse_header(text)
    except BROKEN as error:
        raise SBNetError(
            f"{path}: not a model file of sbnet, or a damaged one ({type(error).__name__}: {error}); "
            "train it again; for weights of other origin: sbnet convert-weights, or weights=file:PATH"
        ) from error
    try:
        _check_fits(header, state)
        model = networks.build(header.name, header.classes, weights="none", **header.options)
        model.load_state_dict(state)
    except SBNetError as error:
        raise SBNetError(f"{path}: {error}") from error
    except Exception as error:  # with options that sbnet never writes a constructor may raise anything
        raise SBNetError(
            f"{path}: its header does not describe a network ({type(error).__name__}: {error}); train it again"
        ) from error
    model.normalization = header.normalization  # as trained, even if timm has changed this backbone's
    return model.eval(), header.meta


def _check_fits(header: Header, state: Mapping[str, Tensor]) -> None:
    """Raises SBNetError where the network of that header has other tensors than `state`, by names, shapes and types."""
    own = networks.outline(header.name, header.classes, **header.options).state_dict()
    if state.keys() != own.keys() or misfits(state, own):
        raise SBNetError(
            "its tensors are not those of the network in its header; use the sbnet version that wrote it"
        )
