"""Values that a recipe's types cannot rule out, refused before anything runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sbnet.errors import SBNetError, did_you_mean

CHOICES: dict[str, tuple[Any, ...]] = {
    "data.source": ("scenes", "voc"),
    "model.stride": (8, 16),
    "bootstrap.method": ("cam", "seam"),
}
TRAINING = ("bootstrap", "train_cam", "train_affinity", "train_segmenter")
POSITIVE = [
    *("data.scenes.train", "data.scenes.val", "data.scenes.size", "infer_cam.scales"),
    *("refine.low_alpha", "refine.high_alpha", "refine.mask_alpha", "refine.gaussian", "refine.bilateral"),
    *("random_walk.background_alpha", "random_walk.sharpness", "train_segmenter.scales"),
    *("refine.score_power", "random_walk.score_power"),
    *("predict.scales", "predict.gaussian", "predict.bilateral"),
]
for _stage in TRAINING:
    for _name in ("epochs", "batch", "accumulate", "crop", "learning_rate", "checkpoint_every"):
        POSITIVE.append(f"{_stage}.{_name}")
RISING = ("bootstrap.long_side", "train_cam.long_side", "train_affinity.long_side", "train_segmenter.scale")
NOT_NEGATIVE = ("model.freeze", "runtime.seed", "random_walk.steps", "refine.iterations")


def check_values(recipe: Any, where: Callable[[str], str]) -> None:
    """Raise SBNetError for a value out of its range or choices; `where` says the place of a dotted key."""
    for key, choices in CHOICES.items():
        value = _get(recipe, key)
        if value not in choices:
            raise SBNetError(
                f"{where(key)}{key} is {value!r}; expected one of {', '.join(map(str, choices))}"
                f"{did_you_mean(value, map(str, choices))}"
            )
    for key in POSITIVE:
        _check(recipe, key, where, lambda value: value > 0, "more than 0")
    for key in NOT_NEGATIVE:
        _check(recipe, key, where, lambda value: value >= 0, "0 or more")
    for key in RISING:
        low, high = _get(recipe, key)
        if not 0 < low <= high:
            raise SBNetError(
                f"{where(key)}{key} is {low}, {high}; expected the smaller one first, both above 0"
            )
    if recipe.data.source == "voc" and not recipe.data.root:
        raise SBNetError(
            f"recipe '{recipe.name}' needs photos: --data FOLDER (or data.root=FOLDER), a folder of the VOC "
            "layout with JPEGImages and ImageSets/Segmentation/train.txt"
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
