"""Values that a recipe's types cannot rule out, refused before anything runs."""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import Any

from sbnet.errors import SBNetError, did_you_mean
from sbnet.backbones.options import OPTIONS

CHOICES: dict[str, tuple[Any, ...]] = {
    "data.source": ("scenes", "voc", "coco"),
    "model.stride": (8, 16),
    "bootstrap.method": ("cam", "seam"),
}
SMALLEST_CROP = 8  # pixels; view 2 must have one, and the features, too
SMALLEST_WIDTH = 0.5  # pixels or grey levels of a CRF kernel; finer lattices outgrow their whole numbers
LARGEST = 1e6  # of a CRF kernel's numbers; the kernels compute in float32
TRAINING = ("bootstrap", "train_cam", "train_affinity", "train_segmenter")
CAM = ("bootstrap", "train_cam")
LABELS = ("refine", "bootstrap_refine")
CRF = (*LABELS, "predict")
POSITIVE = [
    *("data.scenes.train", "data.scenes.val", "data.scenes.size", "infer_cam.scales"),
    *(
        f"{stage}.{name}"
        for stage in LABELS
        for name in ("low_alpha", "high_alpha", "mask_alpha", "score_power")
    ),
    *(
        "random_walk.background_alpha",
        "random_walk.score_power",
        "random_walk.sharpness",
        "random_walk.scale",
    ),
    *("train_segmenter.scales", "train_segmenter.head_rate", "predict.scales"),
    *(f"{stage}.{name}" for stage in TRAINING for name in ("epochs", "batch", "accumulate")),
    *(f"{stage}.{name}" for stage in TRAINING for name in ("learning_rate", "checkpoint_every")),
    *(f"{stage}.boundary_width" for stage in CAM),
]
NOT_NEGATIVE = [
    *("data.white", "model.freeze", "runtime.inference_batch", "random_walk.steps"),
    "train_segmenter.channels",
    *(f"{stage}.weight_decay" for stage in TRAINING),
    *(f"{stage}.{name}" for stage in CAM for name in ("boundary_weight", "smoothness_weight")),
    *(f"{stage}.iterations" for stage in CRF),
]
SEEDS = ("runtime.seed", "data.scenes.seed")  # what PyTorch's generators take
SHARES = ["random_walk.background_score", *(f"{stage}.warmup" for stage in CAM)]
# Beyond these a photo takes no longer hours but days, or its size at a scale is beyond any number.
AT_MOST = {
    **{f"{stage}.scales": 16 for stage in ("infer_cam", "predict")},
    "train_segmenter.channels": OPTIONS["channels"].high,
    **{f"{stage}.iterations": 1000 for stage in CRF},
}
MOST_SCALES = OPTIONS["scales"].most
RISING = ("bootstrap.long_side", "train_cam.long_side", "train_affinity.long_side", "train_segmenter.scale")


def check_values(recipe: Any, where: Callable[[str], str]) -> None:
    """Raise SBNetError for a value out of its range or choices; `where` says the place of a dotted key."""
    for key, choices in CHOICES.items():
        value = _get(recipe, key)
        if value not in choices:
            raise SBNetError(
                f"{where(key)}{key} is {value!r}; expected one of {', '.join(map(str, choices))}"
                f"{did_you_mean(value, map(str, choices))}"
            )
    for key in ("infer_cam.scales", "predict.scales"):
        if len(_get(recipe, key)) > MOST_SCALES:
            raise SBNetError(
                f"{where(key)}{key} are {len(_get(recipe, key))}; expected {MOST_SCALES} at most"
            )
    for key in POSITIVE:
        _check(recipe, key, where, lambda value: value > 0, "more than 0")
    for key in NOT_NEGATIVE:
        _check(recipe, key, where, lambda value: value >= 0, "0 or more")
    for key in SHARES:
        _check(recipe, key, where, lambda value: 0 <= value <= 1, "0 to 1")
    for key, most in AT_MOST.items():
        _check(recipe, key, where, partial(operator.ge, most), f"at most {most:g}")
    for stage in TRAINING:
        _check(recipe, f"{stage}.momentum", where, lambda value: 0 <= value < 1, "0 or more and less than 1")
    for stage in TRAINING:
        _check(
            recipe, f"{stage}.crop", where, lambda value: value >= SMALLEST_CROP, f"{SMALLEST_CROP} or more"
        )
    key, scales = "train_segmenter.scales", recipe.train_segmenter.scales
    if not OPTIONS["scales"].admits(scales):
        raise SBNetError(
            f"{where(key)}{key} is {scales!r:.60}; expected {OPTIONS['scales']}, the size that the others' logits are "
            "brought to"
        )
    for key in SEEDS:
        _check(recipe, key, where, lambda value: 0 <= value < 2**63, "0 or more and less than 2^63")
    for stage in CAM:
        _check_shrink(recipe, stage, where)
    for stage in CRF:
        _check_kernels(recipe, stage, where)
    for stage in LABELS:
        key, least = f"{stage}.high_alpha", f"{stage}.low_alpha"
        low, high = _get(recipe, least), _get(recipe, key)
        if low > high:
            raise SBNetError(f"{where(key)}{key} is {high!r}; expected {least}, {low!r}, or more")
    for key in RISING:
        low, high = _get(recipe, key)
        if not 0 < low <= high:
            raise SBNetError(
                f"{where(key)}{key} is {low}, {high}; expected the smaller one first, both above 0"
            )
    if recipe.infer_cam.scores and recipe.train_affinity.start == "cam" and not recipe.train_affinity.network:
        key = "train_affinity.start"
        raise SBNetError(
            f"{where(key)}{key} is 'cam', and with infer_cam.scores there is no CAM network; set {key}=imagenet"
        )
    if recipe.data.source != "scenes" and not recipe.data.root:
        layout = "the VOC layout with JPEGImages and ImageSets/Segmentation/train.txt"
        if recipe.data.source == "coco":
            layout = "COCO's layout with annotations/instances_train2014.json and train2014"
        raise SBNetError(
            f"recipe '{recipe.name}' needs photos: --data FOLDER (or data.root=FOLDER), a folder of {layout}"
        )


def _check_shrink(recipe: Any, stage: str, where: Callable[[str], str]) -> None:
    crop = _get(recipe, f"{stage}.crop")
    expected = f"more than 0, at most 1, and of the crop's {crop} pixels one at least"
    _check(recipe, f"{stage}.shrink", where, lambda value: value <= 1 and int(value * crop) > 0, expected)


def _check_kernels(recipe: Any, stage: str, where: Callable[[str], str]) -> None:
    """Gaussian (sxy, weight) and bilateral (sxy, srgb, weight)."""
    for name in ("gaussian", "bilateral"):
        key = f"{stage}.{name}"
        *widths, weight = _get(recipe, key)
        if min(widths) < SMALLEST_WIDTH or weight < 0 or max(*widths, weight) > LARGEST:
            raise SBNetError(
                f"{where(key)}{key} is {_get(recipe, key)!r}; expected widths of {SMALLEST_WIDTH} or more, and last a "
                f"weight of 0 or more; {LARGEST:g} at most"
            )


def _check(
    recipe: Any, key: str, where: Callable[[str], str], good: Callable[[float], bool], expected: str
) -> None:
    value = _get(recipe, key)
    if not all(good(item) for item in (value if isinstance(value, tuple) else (value,))):
        raise SBNetError(f"{where(key)}{key} is {value!r}; expected {expected}")


def _get(recipe: Any, key: str) -> Any:
    for name in key.split("."):
        recipe = getattr(recipe, name)
    return recipe
