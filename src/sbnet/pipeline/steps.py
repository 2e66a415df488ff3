"""The steps of a run: which stage each one calls, with which settings, on which steps' outputs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from types import ModuleType
from typing import Any

from sbnet.errors import SBNetError, did_you_mean
from sbnet.config.recipe import Recipe
from sbnet.methods.cam import infer as infer_cam, train as train_cam
from sbnet.steps import predict, propagate as random_walk, crf as refine, train_segmenter
from sbnet.methods.affinitynet import train as train_affinity

LAST = ("evaluate", "report")  # always brought up to date, never 'done'
BOUNDARY_SETTINGS = tuple(
    one.name
    for one in fields(train_cam.Settings)
    if one.name.startswith(("boundar", "smooth", "canny"))  # of the terms that SBNet alone has
)
# Method of train_affinity -> the background of the other one's walk.
OTHER_BACKGROUND = {"affinitynet": "background_score", "irn": "background_alpha"}


@dataclass(frozen=True)
class Step:
    """name: its folder in the run. does: told to the user. inputs: the stage's input name -> step.
    photos: the list it works on. trains: starts from the run's network and seed. network: runs one at all.
    idle: names of settings that this run's methods do not read.
    """

    name: str
    does: str
    module: ModuleType
    settings: Any
    inputs: Mapping[str, str] = field(default_factory=dict)
    photos: str = "train"
    trains: bool = False
    network: bool = True
    idle: Collection[str] = ()


def recipe_steps(recipe: Recipe) -> list[Step]:
    """The steps of a recipe in order, `evaluate` and `report` left out.

    The bootstrap steps make boundary labels, so only the `sbnet` method without a folder of its own has them.
    CAMs, networks or pseudo masks that were made elsewhere need no step before them.
    Under `reference` the settings are those with the reference code's quirks, which the fingerprints so see.
    A segmenter trained on the true masks (the ceiling) needs no step before it. Without a val list `predict` is left
    the report's training photos.
    """
    recipe = recipe.with_quirks()
    chain: list[Step] = []
    if recipe.train_segmenter.labels == "pseudo" and recipe.random_walk.masks:
        chain.append(
            Step("random_walk", "pseudo masks made elsewhere", random_walk, recipe.random_walk, network=False)
        )
    elif recipe.train_segmenter.labels == "pseudo":
        boundaries = {}
        train, brought = recipe.train_cam, recipe.train_cam.network or recipe.infer_cam.scores
        if train.method == "sbnet" and not train.boundaries and not brought:
            chain += _cam_steps(recipe, recipe.bootstrap, recipe.bootstrap_refine, {}, prefix="bootstrap_")
            boundaries = {"boundaries": "bootstrap_refine"}
        chain += _cam_steps(recipe, recipe.train_cam, recipe.refine, boundaries, prefix="")
        chain += _pseudo_mask_steps(recipe)
    chain.append(
        Step(
            "train_segmenter",
            _segmenter_does(recipe),
            train_segmenter,
            recipe.train_segmenter,
            {"labels": "random_walk"} if chain and not recipe.train_segmenter.network else {},
            trains=True,
        )
    )
    photos = "val" if recipe.data.val else "train"
    whose = "val" if recipe.data.val else "report's"
    inputs = {"network": "train_segmenter"}
    chain.append(
        Step("predict", f"masks of the {whose} photos", predict, recipe.predict, inputs, photos=photos)
    )
    return chain


def _segmenter_does(recipe: Recipe) -> str:
    if recipe.train_segmenter.network:
        return "segmenter made elsewhere"
    masks = "pseudo masks" if recipe.train_segmenter.labels == "pseudo" else "true masks"
    return f"train the segmenter on the {masks}"


def _cam_steps(
    recipe: Recipe,
    settings: train_cam.Settings,
    crf: refine.Settings,
    boundaries: Mapping[str, str],
    *,
    prefix: str,
) -> list[Step]:
    what = {"cam": "plain CAM", "seam": "SEAM", "sbnet": "SBNet"}[settings.method]
    why = " (for boundaries)" if prefix else ""
    train, infer, last = (prefix + name for name in ("train_cam", "infer_cam", "refine"))
    does = f"dense CRF, confident labels{why}"
    refined = Step(last, does, refine, crf, {"scores": infer}, network=False)
    if recipe.infer_cam.scores:
        return [Step(infer, "CAMs made elsewhere", infer_cam, recipe.infer_cam, network=False), refined]
    does = "CAM network made elsewhere" if settings.network else f"train the {what} network{why}"
    idle = () if settings.method == "sbnet" else BOUNDARY_SETTINGS
    return [
        Step(train, does, train_cam, settings, boundaries, trains=True, idle=idle),
        Step(infer, f"class activation maps{why}", infer_cam, recipe.infer_cam, {"network": train}),
        refined,
    ]


def _pseudo_mask_steps(recipe: Recipe) -> list[Step]:
    walk = {"scores": "infer_cam", "network": "train_affinity"}
    inputs = {"labels": "refine"}
    if recipe.train_affinity.start == "cam":
        inputs["cam"] = "train_cam"
    brought = recipe.train_affinity.network
    what = train_affinity.METHODS[recipe.train_affinity.method]
    return [
        Step(
            "train_affinity",
            f"{what} made elsewhere" if brought else f"train {what}",
            train_affinity,
            recipe.train_affinity,
            {} if brought else inputs,
            trains=True,
        ),
        Step(
            "random_walk",
            "random walk: the pseudo masks",
            random_walk,
            recipe.random_walk,
            walk,
            idle=(OTHER_BACKGROUND[recipe.train_affinity.method],),
        ),
    ]


def choose(
    steps: list[Step], start: str | None, stop: str | None, only: str | None
) -> tuple[list[Step], set[str]]:
    """The steps to bring up to date, and the names of those that must be done already.

    start, stop: the first and last of them; only: that step and what it needs. `evaluate` and `report` are
    names too.
    Raises SBNetError for a name that is no step of this recipe, or a stop before the start.
    """
    names = [step.name for step in steps] + list(LAST)
    for name in (start, stop, only):
        if name is not None and name not in names:
            raise SBNetError(
                f"there is no step '{name}' in this run{did_you_mean(name, names)}; "
                f"its steps are {', '.join(names)}"
            )
    if only is not None:
        needed = upstream(steps, only)
        return [step for step in steps if step.name in needed], set()
    first = names.index(start) if start else 0
    last = names.index(stop) if stop else len(names) - 1
    if last < first:
        raise SBNetError(f"the run would end ({stop}) before it begins ({start}); exchange --from and --to")
    chosen = steps[first : last + 1]
    before = set().union(*(upstream(steps, step.name) for step in chosen)) - {step.name for step in chosen}
    return chosen, before


def upstream(steps: list[Step], name: str) -> set[str]:
    """`name` and every step whose output it needs, near or far; nothing for `evaluate` and `report`."""
    inputs = {step.name: step.inputs.values() for step in steps}
    if name not in inputs:
        return set()
    return {name}.union(*(upstream(steps, needed) for needed in inputs[name]))
