"""Checks that a plug-in's own tests can call: does it keep the contracts? Each raises AssertionError that says what not.

from sbnet.testing import check_method
from my_package import MyMethod

def test_contract():
    check_method(MyMethod())
"""

from __future__ import annotations

import copy
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from sbnet.backbones.base import Backbone
from sbnet.backbones.network import Network
from sbnet.data.datasets.base import Dataset
from sbnet.data.datasets.collection import Photo
from sbnet.data.io.image import read_mask
from sbnet.engine.inference import Batch, Job
from sbnet.engine.objective import FunctionObjective, Losses, Objective
from sbnet.engine.views import stacked
from sbnet.errors import SBNetError
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
    """Channels and strides are those of its features, at any size; `want` computes what is asked for; tokens, prefix and
    attention fit the features, or there are none.
    """
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
        _check_tokens(backbone, images, features)


def _check_tokens(backbone: Backbone, images: torch.Tensor, features: list[torch.Tensor]) -> None:
    try:
        rows, columns = backbone.tokens((images.shape[2], images.shape[3]))
    except SBNetError:
        assert not backbone.prefix, f"prefix is {backbone.prefix}, but tokens() gives none"
        assert backbone.attention is None, f"attention is {backbone.attention}, but tokens() gives none"
        return
    blocks, heads = backbone.attention or (0, 0)
    with torch.no_grad():
        found = backbone.forward_tokens(images, attention=range(blocks))
    count = backbone.prefix + rows * columns
    for feature, tokens, expected in zip(found.features, found.prefix, features, strict=True):
        assert torch.allclose(feature, expected, atol=1e-5), "forward_tokens() and forward() differ"
        size = tuple(feature.shape[2:])
        assert size == (rows, columns), f"a feature of {size} cells, but tokens() gives {(rows, columns)}"
        shape, wanted = tuple(tokens.shape), (1, backbone.prefix, feature.shape[1])
        assert shape == wanted, f"prefix tokens of shape {shape}, not {wanted}"
    assert len(found.attention) == blocks, f"attention of {len(found.attention)} blocks, not {blocks}"
    for attention in found.attention:
        grid, square = tuple(attention.shape), (1, heads, count, count)
        assert grid == square, f"attention of shape {grid}, not {square}"
        assert torch.allclose(attention.sum(-1), torch.ones(()), atol=1e-4), (
            "rows of attention do not sum to 1"
        )


def check_job(job: Job[Any, Any], image: Photo) -> None:
    """`load` gives pixels and views, `forward` a result for each image of a batch, and `write` needs no views.

    It writes the image's files, twice.
    """
    loaded = job.load(image)
    assert loaded.photo is image, "load() gives another image"
    for what, pixels in (("pixels", loaded.pixels), *(("a view", view) for view in loaded.views)):
        given = (pixels.ndim, pixels.shape[-1], pixels.dtype)
        assert given == (3, 3, np.uint8), (
            f"load(): {what} are (H, W, 3) uint8, not {pixels.shape} {pixels.dtype}"
        )
    cpu = torch.device("cpu")
    for count in (1, 2):
        views = tuple(stacked([view] * count, device=cpu) for view in loaded.views)
        bare = replace(loaded, views=())
        with torch.inference_mode(not job.gradients):
            results = job.forward(Batch((bare,) * count, views))
        assert len(results) == count, f"forward(): {len(results)} results of {count} images"
    for result in results:
        job.write(bare, result)


def check_objective(
    make: Callable[[], Objective | Losses], network: nn.Module, batch: Mapping[str, Any]
) -> None:
    """Its terms are scalars that train the network, and a training that resumes sees the same terms.

    make: gives the objective, new each time. network: as it is built; batch: as `TrainingSet.on_device` gives it.
    """

    def start(net: nn.Module) -> Objective:
        made = make()
        objective = made if isinstance(made, Objective) else FunctionObjective(made)
        objective.prepare(net, batch["image"].device)
        return objective

    def terms(objective: Objective, net: nn.Module, progress: float) -> dict[str, torch.Tensor]:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return objective(net, batch, progress)

    trained, resumed = copy.deepcopy(network).train(), copy.deepcopy(network).train()
    first = start(trained)
    for step in (1, 2):  # after the first, a memory differs from its beginning
        found = terms(first, trained, step / 4)
        assert found, "there are no terms"
        for name, term in found.items():
            assert term.ndim == 0, f"the term '{name}' has the shape {tuple(term.shape)}; give a scalar"
            assert term.isfinite(), f"the term '{name}' is {term.item()}"
        trained.zero_grad()
        torch.stack(list(found.values())).sum().backward()
        with torch.no_grad():
            for weight in trained.parameters():
                if weight.grad is not None:
                    weight.sub_(0.1 * weight.grad)
            first.after_step(trained, step)
    assert any(weight.grad is not None for weight in trained.parameters()), "no term trains the network"
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    second = start(resumed)
    resumed.load_state_dict(trained.state_dict())
    second.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
    kept, again = terms(first, trained, 0.75), terms(second, resumed, 0.75)
    for name, term in kept.items():
        assert torch.equal(term, again[name]), (
            f"the term '{name}' is {term.item():g}, but {again[name].item():g} in a training that resumes: "
            "state_dict() lacks what it depends on"
        )


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
