"""A recipe's steps in order, resolved from the kinds of artifacts that they read and write. No step is named here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sbnet.config.recipe import Recipe
from sbnet.errors import SBNetError, did_you_mean
from sbnet.registry import DATASETS, METHODS, ROLES
from sbnet.steps.shared import crf_step, predict_step
from sbnet.steps.spec import ALWAYS, SCORES, Images, Kind, StepSpec


@dataclass(frozen=True)
class Step:
    """A step of this run. inputs: the name under which it reads -> the step that provides it, and the kind."""

    spec: StepSpec
    inputs: Mapping[str, tuple[str, Kind]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return self.spec.name

    def needs(self) -> set[str]:
        return {name for name, _ in self.inputs.values()}


def recipe_steps(recipe: Recipe) -> list[Step]:
    """The steps of a recipe in order. What no later step needs is left out: ground truth or masks made elsewhere need no
    maps, a bootstrap is needed where its labels are read.

    Raises SBNetError, with the method's name, for steps that cannot be put in order.
    """
    recipe = recipe.with_quirks()
    images: Images = "val" if DATASETS[recipe.data.name].has_val(recipe.data.settings) else "train"
    seeds = role_steps(recipe, "seeds")
    crf = [crf_step(recipe.crf, key="crf")] if any(SCORES in spec.writes for spec in seeds) else []
    refine, segmenter = role_steps(recipe, "refine"), role_steps(recipe, "segmenter")
    try:
        return resolve([*seeds, *crf, *refine, *segmenter, predict_step(recipe.predict, images=images)])
    except SBNetError as error:
        methods = ", ".join(f"{role} '{getattr(recipe, role).name}'" for role in ROLES)
        raise SBNetError(f"{methods}: {error}") from error


def role_steps(recipe: Recipe, role: str) -> list[StepSpec]:
    choice = getattr(recipe, role)
    method = METHODS[choice.name]
    backbone = method.backbone(choice.settings, recipe.backbone)
    specs = method.checked_steps(choice.settings)
    return [replace(spec, backbone=backbone, weights=method.weights) for spec in specs]


def resolve(specs: Sequence[StepSpec]) -> list[Step]:
    """The last of the specs and all that it needs. Who reads a kind gets it from the nearest step before it that writes
    it; where there is none, from the first one after it, which then runs earlier.
    """
    _check_names(specs)
    done: dict[str, Step] = {}
    under_way: list[tuple[int, Kind, int]] = []  # reader, kind, provider

    def visit(index: int) -> None:
        spec = specs[index]
        if spec.name in done:
            return
        readers = [reader for reader, *_ in under_way]
        if index in readers:
            _refuse_ring(specs, under_way[readers.index(index) :])
        inputs = {}
        for name, kind in spec.reads.items():
            provider = _provider(specs, index, kind)
            under_way.append((index, kind, provider))
            visit(provider)
            under_way.pop()
            inputs[name] = (specs[provider].name, kind)
        done[spec.name] = Step(spec, inputs)

    visit(len(specs) - 1)
    return list(done.values())


def _provider(specs: Sequence[StepSpec], index: int, kind: Kind) -> int:
    writers = [place for place, spec in enumerate(specs) if kind in spec.writes and place != index]
    before = [place for place in writers if place < index]
    if not writers:
        spec = specs[index]
        raise SBNetError(
            f"the step '{spec.name}' ({spec.key}) reads {kind.name}, which no step of this recipe writes; choose another "
            "method or other settings there"
        )
    return before[-1] if before else writers[0]


def _refuse_ring(specs: Sequence[StepSpec], ring: Sequence[tuple[int, Kind, int]]) -> None:
    """Somewhere in it a step reads from a later one."""
    reader, kind, provider = next(edge for edge in ring if edge[0] < edge[2])
    spec, later = specs[reader], specs[provider]
    raise SBNetError(
        f"the step '{spec.name}' ({spec.key}) reads {kind.name}, which only '{later.name}' ({later.key}) writes, and that "
        f"needs '{spec.name}' itself; choose another method or other settings in one of the two"
    )


def _check_names(specs: Sequence[StepSpec]) -> None:
    seen: dict[str, StepSpec] = {}
    measured: dict[str, StepSpec] = {}
    for spec in specs:
        for measure in spec.measures:
            if (other := measured.setdefault(measure.name, spec)) is not spec:
                raise SBNetError(
                    f"two steps measure '{measure.name}' ({other.key} and {spec.key}); rename one"
                )
        other = seen.setdefault(spec.name, spec)
        if other is not spec or spec.name in ALWAYS:
            raise SBNetError(
                f"two steps are named '{spec.name}' ({other.key} and {spec.key}); rename the one of the plug-in"
            )


def choose(
    steps: Sequence[Step], start: str | None, stop: str | None, only: str | None
) -> tuple[list[Step], set[str]]:
    """The steps to bring up to date, and the names of those that must be done already.

    start, stop: the first and last of them; only: that step and what it needs. `evaluate` and `report` are names too.
    Raises SBNetError for a name that is no step of this recipe, or a stop before the start.
    """
    names = [step.name for step in steps] + list(ALWAYS)
    for name in (start, stop, only):
        if name is not None and name not in names:
            raise SBNetError(
                f"this run has no step '{name}'{did_you_mean(name, names)}; its steps: {', '.join(names)}"
            )
    if only is not None:
        needed = upstream(steps, only)
        return [step for step in steps if step.name in needed], set()
    first = names.index(start) if start else 0
    last = names.index(stop) if stop else len(names) - 1
    if last < first:
        raise SBNetError(f"--to {stop} comes before --from {start}; swap them")
    chosen = list(steps[first : last + 1])
    before = set().union(*(upstream(steps, step.name) for step in chosen)) - {step.name for step in chosen}
    return chosen, before


def upstream(steps: Iterable[Step], name: str) -> set[str]:
    """`name` and every step whose output it needs, directly or not; nothing for `evaluate` and `report`."""
    needs = {step.name: step.needs() for step in steps}
    if name not in needs:
        return set()
    return {name}.union(*(upstream(steps, needed) for needed in needs[name]))
