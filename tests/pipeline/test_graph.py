"""A recipe's steps in order, from the kinds of artifacts that they read and write."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from fake_steps import STEPS
from sbnet.config.recipe import load_recipe
from sbnet.errors import SBNetError
from sbnet.methods.base import Method
from sbnet.pipeline.graph import Step, choose, recipe_steps, resolve, upstream
from sbnet.registry import METHODS
from sbnet.settings import Settings
from sbnet.steps.spec import MASKS, MODEL, PSEUDO_MASKS, SCORES, SEEDS, Kind, StepSpec

FILES = ("seeds.method=cam_files", "seeds.folder=maps", "refine.train.start=imagenet")


def steps_of(*overrides: str) -> list[Step]:
    return recipe_steps(load_recipe("quickstart", overrides))


def names_of(*overrides: str) -> list[str]:
    return [step.name for step in steps_of(*overrides)]


def inputs_of(*overrides: str) -> dict[str, dict[str, tuple[str, Kind]]]:
    return {step.name: dict(step.inputs) for step in steps_of(*overrides)}


def spec(name: str, *, reads: dict[str, Kind] | None = None, writes: tuple[Kind, ...] = ()) -> StepSpec:
    return StepSpec(
        name, name, name, "nowhere:run", Settings(), reads=reads or {}, writes=writes, key=f"of.{name}"
    )


def test_the_whole_chain_reads_from_the_nearest_step_before() -> None:
    assert names_of() == STEPS
    assert inputs_of() == {
        "bootstrap_train_cam": {},
        "bootstrap_infer_cam": {"network": ("bootstrap_train_cam", MODEL)},
        "bootstrap_crf": {"scores": ("bootstrap_infer_cam", SCORES)},
        "train_cam": {"labels": ("bootstrap_crf", SEEDS)},
        "infer_cam": {"network": ("train_cam", MODEL)},
        "crf": {"scores": ("infer_cam", SCORES)},
        "train_affinity": {"seeds": ("crf", SEEDS), "cam": ("train_cam", MODEL)},
        "propagate": {"scores": ("infer_cam", SCORES), "network": ("train_affinity", MODEL)},
        "train_segmenter": {"labels": ("propagate", PSEUDO_MASKS)},
        "predict": {"network": ("train_segmenter", MODEL)},
    }


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        (["seeds.method=seam"], STEPS[3:]),
        (["seeds.method=cam"], STEPS[3:]),
        (["seeds.train.boundaries=labels"], STEPS[3:]),
        (["seeds.train.network=cam.pth"], STEPS[3:]),
        (FILES, STEPS[4:]),
        (["refine.method=irn"], STEPS),
        (["refine.train.network=affinity.pth"], [*STEPS[:5], *STEPS[6:]]),
        (["refine.method=mask_files", "refine.folder=masks"], STEPS[7:]),
        (["refine.method=none"], [*STEPS[:6], *STEPS[8:]]),
        (["segmenter.labels=truth"], STEPS[8:]),
        (["segmenter.network=segmenter.pth"], STEPS[8:]),
        (["segmenter.labels=truth", "data.val="], STEPS[8:]),
    ],
)
def test_what_no_later_step_needs_is_left_out(overrides: list[str], names: list[str]) -> None:
    data = ["data.source=voc", "data.root=images"]
    assert names_of(*data, *overrides) == names


def test_inputs_follow_settings() -> None:
    assert inputs_of("seeds.train.boundary_labels=masks")["train_cam"] == {
        "labels": ("bootstrap_crf", PSEUDO_MASKS)
    }
    assert inputs_of("refine.method=none")["train_segmenter"] == {"labels": ("crf", PSEUDO_MASKS)}
    assert "cam" not in inputs_of("refine.train.start=imagenet")["train_affinity"]
    assert inputs_of("segmenter.labels=truth")["train_segmenter"] == {}


def test_seeds_without_a_network_are_none_to_start_from() -> None:
    with pytest.raises(SBNetError) as error:
        steps_of(*FILES[:2])
    for part in ("'train_affinity' (refine.train)", "reads Model", "'train_segmenter' (segmenter)"):
        assert part in str(error.value)


def test_the_nearest_writer_before_provides() -> None:
    specs = [
        spec("one", writes=(SCORES,)),
        spec("two", writes=(SCORES, MODEL)),
        spec("last", reads={"maps": SCORES, "net": MODEL}),
    ]
    (two, last) = resolve(specs)
    assert (two.name, last.inputs) == ("two", {"maps": ("two", SCORES), "net": ("two", MODEL)})
    assert last.needs() == {"two"}


def test_a_step_that_a_former_one_needs_runs_earlier() -> None:
    """One that makes labels from the maps of a later network, say: each step once, in the order of need."""
    specs = [
        spec("student", reads={"labels": SEEDS}, writes=(MODEL,)),
        spec("teacher", writes=(SCORES,)),
        spec("unread", writes=(PSEUDO_MASKS,)),
        spec("labels", reads={"maps": SCORES}, writes=(SEEDS,)),
        spec("last", reads={"net": MODEL, "labels": SEEDS}, writes=(MASKS,)),
    ]
    assert [step.name for step in resolve(specs)] == ["teacher", "labels", "student", "last"]


def test_a_ring_is_refused_where_it_reads_from_a_later_step() -> None:
    specs = [
        spec("first", writes=(SCORES,)),
        spec("maps", reads={"net": MODEL}, writes=(SEEDS,)),
        spec("net", reads={"labels": SEEDS}, writes=(MODEL,)),
        spec("last", reads={"net": MODEL}),
    ]
    with pytest.raises(SBNetError, match=r"'maps' \(of\.maps\) reads Model.*'net' \(of\.net\).*choose"):
        resolve(specs)


def test_what_nothing_writes_is_refused() -> None:
    with pytest.raises(SBNetError, match=r"'last' \(of\.last\) reads Seeds, which no step .* choose another"):
        resolve([spec("first", writes=(SCORES,)), spec("last", reads={"labels": SEEDS})])
    with pytest.raises(SBNetError, match="reads Masks, which no step"):  # its own output is none
        resolve([spec("last", reads={"masks": MASKS}, writes=(MASKS,))])


@pytest.mark.parametrize("name", ["crf", "evaluate", "report"])
def test_two_steps_of_one_name_are_refused(name: str) -> None:
    with pytest.raises(SBNetError, match=rf"named '{name}'.*of\.{name}.*rename"):
        resolve([spec("crf", writes=(SEEDS,)), spec(name, reads={"labels": SEEDS})])


@pytest.mark.parametrize("kind", [Kind("Saliency", "saliency", ".png"), "Scores", None])
def test_a_kind_that_there_is_not_is_refused(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class Odd(Method):
        name = "odd"
        title = "Odd"
        role = "refine"
        about = "writes what nobody knows"
        Settings: ClassVar = Settings

        def steps(self, settings: Settings) -> list[StepSpec]:
            return [spec("odd", writes=(PSEUDO_MASKS, kind))]

    assert "odd" not in METHODS
    monkeypatch.setitem(METHODS._entries, "odd", Odd())
    with pytest.raises(SBNetError) as error:
        steps_of("refine.method=odd")
    for part in ("method 'odd'", "step 'odd'", getattr(kind, "name", str(kind)), "available: Scores, Seeds"):
        assert part in str(error.value)


def test_every_recipe_has_an_order() -> None:
    from sbnet.config import names

    for name in names():
        specs = [step.spec for step in recipe_steps(load_recipe(name))]
        assert specs[-1].name == "predict", name
        assert {step.key.partition(".")[0] for step in specs} <= {
            *("seeds", "crf", "refine", "segmenter", "predict")
        }


def test_steps_are_chosen_by_name() -> None:
    steps = steps_of()
    names = [step.name for step in steps]

    def chosen(**limits: Any) -> tuple[list[str], set[str]]:
        found, before = choose(steps, *(limits.get(key) for key in ("start", "stop", "only")))
        return [step.name for step in found], before

    assert chosen() == (names, set())
    assert chosen(start="train_segmenter") == (STEPS[8:], {*STEPS[:8]})
    assert chosen(start="crf", stop="crf") == (["crf"], {*STEPS[:5]})
    assert chosen(only="crf") == (STEPS[:6], set())
    assert chosen(only="report") == chosen(start="evaluate") == ([], set())
    assert upstream(steps, "infer_cam") == {*STEPS[:5]}
    for wrong, match in (
        ({"start": "crff"}, r"no step 'crff' \(did you mean 'crf'\?\); its steps: bootstrap_train_cam,"),
        ({"start": "predict", "stop": "crf"}, "--to crf comes before --from predict"),
        ({"only": "toy_maps"}, "no step 'toy_maps'"),
    ):
        with pytest.raises(SBNetError, match=match):
            chosen(**wrong)
