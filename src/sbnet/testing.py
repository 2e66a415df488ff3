"""Checks that a plug-in's own tests can call: does it keep the contracts? Each raises AssertionError that says what not.

from sbnet.testing import check_method
from my_package import MyMethod

def test_contract():
    check_method(MyMethod())
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.data.datasets.base import Dataset
from sbnet.data.io.image import read_mask
from sbnet.exports.base import Export, NamedMask
from sbnet.methods.base import Method
from sbnet.registry import ROLES
from sbnet.report.cells import DRAW
from sbnet.settings import Settings, plain
from sbnet.steps.spec import StepSpec, load_object


def check_method(method: Method, settings: Settings | None = None) -> None:
    """Names, settings, steps and networks. settings: needed where some are required, by default the defaults."""
    assert method.name.isidentifier(), f"name '{method.name}': use letters, digits and _"
    assert method.role in ROLES, f"role '{method.role}': it is one of {', '.join(ROLES)}"
    assert all((method.title, method.about)), "title and about are what `sbnet methods` shows"
    settings = method.Settings() if settings is None else settings
    check_settings(settings)
    for spec in method.checked_steps(settings):
        _check_step(spec, method)
    for family, place in method.networks.items():
        network = load_object(place)
        assert issubclass(network, Network), f"{place} is not a Network"
        assert network.family == family, f"{place}: its family is '{network.family}', not '{family}'"
        assert method.role != "segmenter" or hasattr(network, "logits"), (
            f"{place} has no method `logits`, as a network that predicts masks has"
        )


def check_settings(settings: Settings) -> None:
    """Every field has a docstring, and the settings survive being written to a recipe and read again."""
    kind = type(settings)
    for name, info in kind.model_fields.items():
        assert info.description, f"{kind.__name__}.{name} has no docstring below it"
        if isinstance(value := getattr(settings, name), Settings):
            check_settings(value)
    assert kind.model_validate(plain(settings)) == settings, (
        f"{kind.__name__} is not the same when read again"
    )


def _check_step(spec: StepSpec, method: Method) -> None:
    where = f"step '{spec.name}'"
    assert all((spec.title, spec.does)), f"{where}: title and does are shown to users"
    assert spec.writes, f"{where} writes nothing"
    assert callable(load_object(spec.run)), f"{where}: {spec.run} is not a function"
    if spec.variants:
        assert callable(load_object(spec.variants)), f"{where}: {spec.variants} is not a function"
        assert len({measure.kind for measure in spec.measures}) == 1, (
            f"{where}: a sweep needs one kind of measure"
        )
    if spec.trains:
        assert spec.trains in method.networks, f"{where} trains '{spec.trains}', which networks does not name"
    known = type(spec.settings).model_fields
    for names in spec.only.values():
        assert set(names) <= set(known), f"{where}: only names settings that it does not have: {names}"
    for picture in spec.pictures:
        assert picture.draw in DRAW, f"{where}: picture '{picture.title}': draw is one of {', '.join(DRAW)}"
        assert not picture.read or picture.read in spec.reads, f"{where}: picture reads '{picture.read}'"
    for measure in spec.measures:
        assert measure.folder or measure.kind in spec.writes, (
            f"{where}: measure '{measure.name}' has no output"
        )
        assert not measure.swept or spec.images == "train", f"{where}: scores are of training images"


def check_backbone(backbone: Backbone, *, sizes: Sequence[tuple[int, int]] = ((64, 96), (65, 97))) -> None:
    """Channels and strides are those of its features, at any size; `want` computes what is asked for."""
    backbone.eval()
    for height, width in sizes:
        images = torch.zeros(1, 3, height, width)
        with torch.no_grad():
            features = backbone(images)
            (deepest,) = backbone(images, want=[backbone.deepest])
        assert len(features) == len(backbone.channels) == len(backbone.strides)
        for feature, channels, stride in zip(features, backbone.channels, backbone.strides, strict=True):
            rows = feature.shape[2]
            assert feature.shape[1] == channels, f"{feature.shape[1]} channels, not {channels}"
            assert rows - 1 <= -(-height // stride) <= rows, (
                f"{rows} rows of {height} pixels at stride {stride}"
            )
        assert torch.equal(deepest, features[backbone.deepest]), "`want` changes what is computed"


def check_dataset(dataset: Dataset, settings: Any, *, work: Path) -> None:
    """Its lists open, with images that can be read, ids within the classes, and masks of the images' sizes."""
    check_settings(settings)
    assert dataset.lists(settings), "lists() must tell runs on other images apart"
    train, val = dataset.open(settings, work=work)
    assert (val is not None) == dataset.has_val(settings), "has_val() does not agree with open()"
    assert len(train), "no images to train on"
    assert val is None or val.classes == train.classes, "train and val have different classes"
    for image in (*train, *(val or ())):
        pixels = image.pixels()
        assert (pixels.ndim, pixels.dtype) == (3, np.uint8), f"{image.path}: pixels are (H, W, 3) uint8"
        if image.mask is not None:
            read_mask(image.mask, classes=len(train.classes), size=pixels.shape[:2])


def check_export(form: Export, *, out: Path) -> None:
    """It writes masks of any size, with unknown pixels, and says how many."""
    masks = [
        NamedMask("first", np.array([[0, 1], [2, 255]], np.uint8)),
        NamedMask("a second, with blanks", np.zeros((3, 5), np.uint8)),
    ]
    out.mkdir(parents=True)
    count = form.write(iter(masks), ("background", "cat", "rock & roll"), out)
    assert count == len(masks), f"{count} masks written, not {len(masks)}"
    assert any(out.iterdir()), "nothing was written"
