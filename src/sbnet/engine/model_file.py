"""Our own networks as files: safetensors, with what it takes to build the network again in the header."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from sbnet import models
from sbnet.data.io.files import atomic_write
from sbnet.errors import SBNetError
from sbnet.engine.header import FORMAT, parse_header, write_header
from sbnet.compat.tensors import misfits

# What reading a header raises, whoever wrote it: JSON may be nested too deep, numbers too large.
BROKEN = (
    *(SafetensorError, OSError, KeyError, TypeError, ValueError, AttributeError),
    *(ArithmeticError, RecursionError),
)


def save_model(model: models.Network, path: Path | str, *, meta: dict[str, Any]) -> None:
    """Write `model`, as `models.build` made it, and `meta` (what JSON can hold) to `path`.

    Written beside and renamed, so that a file that exists is whole. Raises SBNetError where that fails, and for what
    `load_model` would refuse.
    """
    path = Path(path)
    try:
        header = write_header(model, meta)
    except ValueError as error:
        raise SBNetError(f"{path}: not written, as it could not be loaded again ({error})") from error
    _write(path, model, header)


def save_backbone(backbone: models.Backbone, path: Path | str, *, name: str, meta: dict[str, Any]) -> None:
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
            usual = temporary.stat().st_mode  # safetensors lets nobody else read its files
            save_file(tensors, temporary, metadata={"sbnet": header})
            temporary.chmod(usual)
    except (OSError, SafetensorError) as error:
        raise SBNetError(
            f"{path}: cannot be written ({error}); free some space or choose another folder"
        ) from error


def is_ours(path: Path | str) -> bool:
    """Whether `path` has a readable header of ours, be it a network's or a backbone's."""
    try:
        with safe_open(path, framework="pt") as file:
            return "sbnet" in (file.metadata() or {})
    except (SafetensorError, OSError):
        return False


def is_model(path: Path | str) -> bool:
    """Whether `path` is a whole file that `save_model` wrote, or looks like one."""
    return bool(network_name(path))


def network_name(path: Path | str) -> str:
    """FAMILY-BACKBONE of the network in a `save_model` file, as its header has it; '' for any other file."""
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["sbnet"])
            return str(header["name"]) if "classes" in header else ""
    except BROKEN:
        return ""


def load_model(path: Path | str) -> tuple[models.Network, dict[str, Any]]:
    """The network of a `save_model` file, on the CPU, in eval mode, and its `meta`.

    Needs no other file. Raises SBNetError for a file that is missing, broken or not ours.
    """
    path = Path(path)
    if not path.is_file():
        raise SBNetError(
            f"{path}: no such model file; give a file that sbnet wrote, such as RUN/train_segmenter/model.safetensors"
        )
    try:
        with safe_open(path, framework="pt") as file:
            found = json.loads((file.metadata() or {})["sbnet"])
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if "backbone" in found:
            raise SBNetError(
                f"{path}: the backbone {found['backbone']!s:.40} alone, no network; give it as weights=file:{path}"
            )
        if found.get("format") != FORMAT:
            raise SBNetError(
                f"{path}: format {found.get('format')!r:.40} is not {FORMAT}; use the sbnet that wrote it"
            )
        header = parse_header(found)
    except BROKEN as error:
        raise SBNetError(
            f"{path}: not a model written by sbnet, or a damaged one ({type(error).__name__}: {error}); "
            "train it again; weights of other origin: sbnet convert-weights, or weights=file:PATH"
        ) from error
    try:
        check = _holds(path, state)
        model = models.build(header.name, header.classes, weights="none", check=check, **header.options)
        model.load_state_dict(state)
    except SBNetError as error:
        raise error if str(error).startswith(str(path)) else SBNetError(f"{path}: {error}") from error
    except Exception as error:  # options that no sbnet writes make a constructor raise what they like
        raise SBNetError(
            f"{path}: its header describes no network ({type(error).__name__}: {error}); train it again"
        ) from error
    model.normalization = header.normalization  # as trained, whatever timm says of this backbone by now
    return model.eval(), header.meta


def _holds(path: Path, state: Mapping[str, Tensor]) -> Callable[[models.Network], None]:
    """Refuses a network whose tensors are not those of the file, by names, shapes and kinds of number."""

    def check(network: models.Network) -> None:
        own = network.state_dict()
        if state.keys() != own.keys() or misfits(state, own):
            raise SBNetError(
                f"{path}: its tensors are not those of the network in its header; use the sbnet version that wrote it"
            )

    return check
