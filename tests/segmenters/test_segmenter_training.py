"""Training of the papers' segmenters: a step beside a plain transcription of the reference's."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sbnet.backbones.settings import BackboneSettings
from sbnet.config.recipe import load_recipe
from sbnet.data.io.files import read_label
from sbnet.data.io.image import read_photo
from sbnet.engine.optimization import POWER
from sbnet.registry import METHODS
from sbnet.segmenters.deeplabv2.network import DeepLab
from sbnet.segmenters.train import run
from sbnet.steps import training
from step_context import first_images, make_context, masks_as, trained

SMALL: dict[str, Any] = {"weights": "none", "crop": 49, "epochs": 1}
BGR_MEAN = (104.008, 116.669, 122.675)


class Seen:
    """What the step gave to its training: copies from before the first step."""

    model: DeepLab
    settings: Any
    hold: int
    batches: list[Mapping[str, Tensor]]


def watched_training(
    recipe: str,
    data: Path,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    only_batches: bool = False,
    **changes: Any,
) -> tuple[Seen, dict[str, Tensor]]:
    """The step with the recipe's settings but for SMALL, and what it wrote.

    only_batches: the network neither sees the batches nor learns.
    """
    seen, fit = Seen(), training.fit
    settings = load_recipe(recipe).segmenter.settings.model_copy(update={**SMALL, **changes})

    def watched(model: Any, samples: Any, objective: Callable[..., Any], **others: Any) -> Any:
        seen.model, seen.batches = copy.deepcopy(model), []
        seen.settings, seen.hold = others["settings"], others["hold"]

        def losses(network: nn.Module, batch: Mapping[str, Tensor], done: float) -> Any:
            seen.batches.append({key: value for key, value in batch.items() if isinstance(value, Tensor)})
            if only_batches:
                return {"none": 0 * next(one for one in network.parameters() if one.requires_grad).sum()}
            return objective(network, batch, done)

        return fit(model, samples, losses, **others)

    monkeypatch.setattr(training, "fit", watched)
    images = first_images(data, settings.batch * settings.accumulate)
    context = make_context(
        *(folder / "train_segmenter", images, {"labels": masks_as(folder / "masks", images)}),
        backbone=METHODS["deeplabv2"].backbone(settings, BackboneSettings(stride=8)),
        **{"family": "deeplabv2", "workers": 0},
    )
    return seen, trained(run, settings, context)


def sgd(weights: Mapping[str, Tensor], grads: Mapping[str, Tensor], rates: Mapping[str, float]) -> dict:
    """One first step: momentum has nothing to add yet; biases take no weight decay."""
    return {
        name: value - rates[name] * (grads[name] + (0 if name.endswith("bias") else 5e-4) * value)
        if name in rates
        else value
        for name, value in weights.items()
    }


def assert_same(
    found: Mapping[str, Tensor], expected: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> None:
    """Equal to a hundredth of the step that was made."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        step = (value - before[name]).abs().max() if value.is_floating_point() else 0
        worst = (found[name].double() - value.double()).abs().max()
        assert worst <= 0.01 * step + 1e-7, name


def test_a_step_of_deeplab_v2(shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ResNet-101: 2 x 5 images (here 2 x 2), four cross entropies, 1x, 10x, 20x, batch norm frozen, BGR minus the
    mean.
    """
    assert load_recipe("voc12-resnet38").segmenter.settings.batch == 5
    seen, found = watched_training("voc12-resnet38", shared_data, tmp_path, monkeypatch, batch=2)
    model = seen.model
    assert (seen.settings.batch, seen.settings.accumulate, seen.hold) == (2, 2, 10)
    assert (seen.settings.schedule, POWER) == ("poly", 0.9)
    assert [len(batch["image"]) for batch in seen.batches] == [2, 2]
    before = {name: value.clone() for name, value in model.state_dict().items()}
    convolutions = {
        f"{name}.weight"
        for name, module in model.backbone.named_modules(prefix="backbone")
        if isinstance(module, nn.Conv2d)
    }
    rates = dict.fromkeys(convolutions, 2.5e-4)
    rates |= {f"aspp.c{index}.weight": 10 * 2.5e-4 for index in range(4)}
    rates |= {f"aspp.c{index}.bias": 20 * 2.5e-4 for index in range(4)}

    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    for batch in seen.batches:
        images, label = batch["image"], batch["label"]
        answers = []
        for scale in (1, 0.75, 0.5):
            size = [int(side * scale) for side in images.shape[2:]]
            scaled = F.interpolate(images, scale_factor=scale, mode="bilinear", recompute_scale_factor=False)
            assert list(scaled.shape[2:]) == size
            feature = model.backbone(scaled)[-1]
            answers.append(
                sum(
                    F.conv2d(feature, layer.weight, layer.bias, padding=rate, dilation=rate)
                    for layer, rate in zip(model.aspp.children(), (6, 12, 18, 24), strict=True)
                )
            )
        enlarged = [F.interpolate(answer, answers[0].shape[2:], mode="bilinear") for answer in answers]
        answers.append(torch.stack(enlarged).max(0).values)
        loss = torch.zeros(())
        for answer in answers:
            height, width = answer.shape[2:]
            rows = ((torch.arange(height) + 0.5) * label.shape[1] / height).long()
            columns = ((torch.arange(width) + 0.5) * label.shape[2] / width).long()
            target = label[:, rows][:, :, columns].long()
            loss = loss + F.cross_entropy(answer, target, ignore_index=255)
        (loss / 2).backward()
    grads = {name: value.grad for name, value in model.named_parameters() if value.grad is not None}
    assert_same(found, sgd(before, grads, rates), before)


def test_deeplab_v2_sees_blue_green_red_minus_the_mean(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Undone, the batch is whole levels of the images; where no image is, zeros and unknown labels."""
    changes = {"batch": 3, "accumulate": 1, "scale": (1.0, 1.0), "only_batches": True}
    seen, _ = watched_training("voc12-resnet38", shared_data, tmp_path, monkeypatch, **changes)
    (batch,) = seen.batches
    levels = batch["image"] + torch.tensor(BGR_MEAN).view(3, 1, 1)
    empty = (batch["image"] == 0).all(1)
    inside = levels.permute(0, 2, 3, 1)[~empty]
    torch.testing.assert_close(inside, inside.round(), rtol=0, atol=1e-3)
    assert (batch["label"][empty] == 255).all()
    colors = {tuple(pixel) for pixel in inside.round().int().flip(-1).unique(dim=0).tolist()}
    images = first_images(shared_data, 3)
    known = {tuple(pixel) for image in images for pixel in read_photo(image.path).reshape(-1, 3).tolist()}
    assert colors <= known


def test_a_step_of_deeplab_on_resnet38(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SEAM's: 4096 -> 512 dilated by 12 -> 512 -> C, one scale, one cross entropy; new layers at 10x and 20x."""
    seen, found = watched_training(
        "voc12-resnet38-seam", shared_data, tmp_path, monkeypatch, batch=1, crop=33
    )
    model = seen.model
    assert (seen.settings.accumulate, seen.settings.learning_rate) == (1, 1e-3)
    new = {name for name in found if name.startswith("fov.")}
    assert [tuple(found[name].shape) for name in sorted(new) if found[name].dim() == 4] == [
        (512, 4096, 3, 3),
        (512, 512, 1, 1),
        (8, 512, 1, 1),
    ]
    groups = model.parameter_groups()
    assert {name for group in groups[2:] for name, _ in group} == new
    assert not groups[1]
    moved = {name for name, value in found.items() if not torch.equal(value, model.state_dict()[name])}
    assert not any("bn" in name for name in moved)
    assert new <= moved
    assert {"backbone.conv1a.weight", "backbone.b7.conv_branch2b2.weight"} <= moved  # freeze: 0


def test_it_learns_the_pseudo_masks_or_the_ground_truth(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = {"batch": 24, "accumulate": 1, "scale": (1.0, 1.0), "crop": 64, "backbone": "lite0"}
    changes["only_batches"] = True
    images = first_images(shared_data, 24)
    masks = torch.stack([torch.from_numpy(read_label(image.mask)) for image in images if image.mask])
    for labels in ("pseudo", "truth"):
        seen, _ = watched_training(
            "voc12-resnet38", shared_data, tmp_path / labels, monkeypatch, labels=labels, **changes
        )
        monkeypatch.undo()
        counts = [torch.bincount(batch["label"].flatten(), minlength=256) for batch in seen.batches]
        assert torch.equal(counts[0][:255], torch.bincount(masks.flatten(), minlength=256)[:255])


def test_the_model_file_carries_the_prediction_settings(
    shared_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "fit", lambda *_args, **_keywords: {})
    saved: dict[str, Any] = {}
    monkeypatch.setattr(training, "save_model", lambda _model, path, meta: saved.update(meta, path=path))
    context = make_context(tmp_path, first_images(shared_data, 1), family="segformer")
    context = dataclasses.replace(context, predict={"crf": False}, recipe={"name": "a"})
    settings = load_recipe("quickstart", ["segmenter.method=segformer", "segmenter.labels=truth"]).segmenter
    run(settings.settings, context)
    assert saved["predict"] == {"crf": False}
    assert (saved["recipe"], saved["classes"]) == ({"name": "a"}, list(context.train.classes))
    assert saved["path"] == tmp_path / "model.safetensors"
