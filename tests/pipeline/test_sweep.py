"""Sweeps over a run's stored scores, and what the command says."""

from __future__ import annotations

import dataclasses
import json
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from fake_steps import STEPS, FakeSteps, small_recipe
from refusals import GPU_IS_FULL
from sbnet import metrics
from sbnet.cli import execute
from sbnet.cli.sweep import _advice
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import read_label
from sbnet.engine import crf as engine_crf
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF
from sbnet.pipeline import run
from sbnet.pipeline.graph import recipe_steps
from sbnet.pipeline.sweep import SweepResult, Trial, _unmeasured, sweep
from sbnet.steps import crf
from sbnet.steps.context import Context
from sbnet.work.parallel import MemoryBudget


def crf_context(run_folder: Path, data: Path) -> Context:
    recipe = load_recipe(run_folder)
    inputs = {"scores": run_folder / "infer_cam" / "scores"}
    return Context(run_folder, inputs, read_voc(data, "train"), None, recipe.backbone, recipe.runtime)


def test_every_combination_is_measured_on_other_images(done: Path, shared_data: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file() and path.name != ".lock"
    }
    result = sweep(done, ["crf.mask_alpha=1,30", "crf.bilateral=80,13,10", "crf.bilateral=9,9,9"])
    assert (result.chosen_on, result.reported_on, result.step) == (12, 12, "crf")
    own = load_recipe(done).crf
    assert result.recipe.values == {
        "crf.mask_alpha": own.mask_alpha,
        "crf.bilateral": list(own.bilateral),
    }
    assert len(result.trials) == 5
    figures = [trial.miou for trial in result.trials]
    assert figures == sorted(figures, reverse=True)
    assert result.best is result.trials[0]
    assert {path: path.stat().st_mtime_ns for path in before} == before

    table = json.loads(result.table.read_text())
    assert table["trials"][0]["values"] == result.best.values
    context = crf_context(done, shared_data)
    masks = crf.variants([own], context)
    order = sorted(context.train, key=lambda image: (zlib.crc32(image.name.encode()), image.name))
    for part, miou in ((order[0::2], result.recipe.miou), (order[1::2], result.recipe.held_out)):
        matrices = [
            metrics.confusion(masks(one)[0], read_label(one.mask), classes=len(context.train.classes))
            for one in part
        ]
        assert metrics.mean_iou(sum(matrices)) == pytest.approx(miou, abs=1e-3)
    assert Image.open(result.picture).size[0] > 300


@pytest.mark.parametrize("workers", [1, 3])
def test_images_share_cores_and_memory(done: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the step itself: a thread of PyTorch's each, and no more of them at once than memory holds."""
    one = DenseCRF.memory_needed(48 * 64, labels=5, sets=2)
    monkeypatch.setattr(engine_crf, "available_memory", lambda: int(1.5 * one / engine_crf.MEMORY_SHARE))
    recipe = done / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("workers: -1", f"workers: {workers}"))
    asked: list[tuple[int, int]] = []
    reserve = MemoryBudget.reserve

    def watched(self: MemoryBudget, needed: int) -> Any:
        asked.append((needed, torch.get_num_threads()))
        return reserve(self, needed)

    monkeypatch.setattr(MemoryBudget, "reserve", watched)
    before = torch.get_num_threads()
    sweep(done, ["crf.mask_alpha=1"])
    assert len(asked) == 24
    assert {threads for _, threads in asked} == {1}
    assert max(needed for needed, _ in asked) <= one
    assert torch.get_num_threads() == before
    monkeypatch.setattr(engine_crf, "available_memory", lambda: one // 9)
    with pytest.raises(SBNetError, match=r"the CRF of 3072 pixels .* make the image smaller"):
        sweep(done, ["crf.mask_alpha=1"])


def test_a_gpu_without_enough_memory_has_a_remedy(done: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_image: Any) -> None:
        raise torch.OutOfMemoryError(GPU_IS_FULL)

    monkeypatch.setattr(crf, "variants", lambda *_: full)
    with pytest.raises(SBNetError, match=r"\.jpg: not enough GPU memory .*: try fewer values at once"):
        sweep(done, ["crf.mask_alpha=1"])


def test_a_list_to_choose_on(done: Path, shared_data: Path, tmp_path: Path) -> None:
    names = (shared_data / "ImageSets/Segmentation/train.txt").read_text().split()
    (tmp_path / "choose.txt").write_text("\n".join(names[:5]))
    result = sweep(done, ["crf.mask_alpha=1"], choose_on=tmp_path / "choose.txt", out=tmp_path / "here")
    assert (result.chosen_on, result.reported_on) == (5, len(names) - 5)
    assert result.table == tmp_path / "here" / "sweep.json"
    assert not (done / "sweeps").exists()
    assert sweep(done, ["crf.mask_alpha=1"], images=7).chosen_on == 4


def test_a_list_to_choose_on_names_training_images(done: Path, shared_data: Path, tmp_path: Path) -> None:
    """A misspelled name would not be chosen on and its image be reported on; a val image is not of this run's CAMs."""
    lists = shared_data / "ImageSets/Segmentation"
    names = (lists / "train.txt").read_text().split()
    path = tmp_path / "choose.txt"
    for wrong, near in (
        (f"{names[2]}x", rf" \(did you mean '{names[2]}'"),
        ((lists / "val.txt").read_text().split()[0], ""),
    ):
        path.write_text("\n".join([*names[:2], "", wrong, *names[3:5]]))
        with pytest.raises(
            SBNetError, match=rf"choose\.txt, line 4: this run has no training image '{wrong}'.*{near}"
        ):
            sweep(done, ["crf.mask_alpha=1"], choose_on=path, out=tmp_path / "here")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "nothing to try; give KEY=VALUE,VALUE, for example .*mask_alpha=1,2"),
        (["seeds.train.epochs=1,2"], "'seeds.train.epochs=1,2': .* crf and refine.propagate can be tried"),
        (["crf.mask_alpha=1", "refine.propagate.steps=3"], "one step at a time; crf is being swept"),
        (["crf.mask_alfa=1"], "did you mean 'mask_alpha'"),
        (["crf.mask_alpha=1,wide"], "crf.mask_alpha is 'wide'; expected .* number"),
        (["crf.mask_alpha=-1"], "crf.mask_alpha is '-1'"),
        (["crf"], "'crf' is not a setting"),
        (["crf.low_alpha=1,4"], "changes only the seeds, and the masks are measured; try crf.mask_alpha"),
        (["crf.mask_alpha=1,4", "crf.high_alpha=16,32"], "'crf.high_alpha=16,32': it changes only the seeds"),
        (
            ["refine.propagate.background_score=0.2"],  # IRN's
            "no setting 'background_score'.*available: .*background_alpha",
        ),
    ],
)
def test_what_cannot_be_swept(finished: Path, settings: list[str], message: str) -> None:
    with pytest.raises(SBNetError, match=message):
        sweep(finished, settings)


def test_every_key_that_is_taken_can_change_the_mask(finished: Path, shared_data: Path) -> None:
    """What is neither refused nor read would tie: the masks of one setting changed against those of the others."""
    recipe = load_recipe(finished)
    own = recipe.crf.model_copy(update={"iterations": 3, "mask_alpha": 8.0, "score_power": 1.0})
    changed: dict[str, Any] = {"iterations": 0, "gaussian": (20.0, 30.0), "bilateral": (9.0, 90.0, 30.0)}
    changed |= {"mask_alpha": 0.01, "score_power": 9.0}
    step = next(step for step in recipe_steps(recipe) if step.name == "crf")
    assert changed.keys() == type(own).model_fields.keys() - _unmeasured(step).keys()
    context = crf_context(finished, shared_data)
    masks = crf.variants(
        [own, *(own.model_copy(update={key: value}) for key, value in changed.items())], context
    )
    differ = dict.fromkeys(changed, False)
    for image in context.train.photos[:6]:
        plain, *others = masks(image)
        for key, mask in zip(changed, others, strict=True):
            differ[key] |= bool((mask != plain).any())
    assert all(differ.values()), differ


def test_taking_the_best_over_trains_no_cam_network_again(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    """The figure that it was chosen by is of the CAMs that the run has."""
    sweep(done, ["crf.mask_alpha=9.5", "crf.bilateral=9,9,9"])
    run(load_recipe(done, ["crf.mask_alpha=9.5"]), done)
    assert steps.take() == ["crf"]
    run(load_recipe(done, ["crf.bilateral=9,9,9"]), done)
    assert steps.take() == STEPS[5:]


def test_a_best_that_the_held_out_images_do_not_confirm_comes_with_a_warning(tmp_path: Path) -> None:
    own, best = Trial({"crf.mask_alpha": 8.0}, 0.5, 0.62), Trial({"crf.mask_alpha": 4.0}, 0.6, 0.61)
    result = SweepResult("crf", [best, own], own, 9, 9, tmp_path / "a.json", tmp_path / "a.png")
    take_over, counted, warned = _advice(tmp_path, result)
    assert take_over.endswith(f": sbnet run {tmp_path} crf.mask_alpha=4")
    assert "also includes the 9 images that it was chosen on" in counted
    assert "report the held-out 61.0 %" in counted
    assert "the run's own settings are better (62.0 %)" in warned
    worse = dataclasses.replace(own, held_out=0.6)
    result = dataclasses.replace(result, trials=[best, worse], recipe=worse)
    assert "better" not in " ".join(_advice(tmp_path, result))


def test_steps_that_are_not_done(out: Path, shared_data: Path, steps: FakeSteps) -> None:
    run(small_recipe(shared_data, "refine.method=irn"), out, stop="bootstrap_crf")
    with pytest.raises(
        SBNetError, match=r"'crf' .* output of 'infer_cam', which is not done; .*--to infer_cam"
    ):
        sweep(out, ["crf.mask_alpha=1"])
    run(load_recipe(out), out, stop="infer_cam")
    with pytest.raises(SBNetError, match="'propagate' is tried on the output of 'train_affinity'"):
        sweep(out, ["refine.propagate.background_score=0.2,0.3"])


def test_the_command(done: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert execute(["sweep", str(done), "crf.mask_alpha=0.5,1,30", "--top", "1"]) == 0
    printed = capsys.readouterr().out
    assert "12 images" in printed
    assert "best recipe" in printed  # all are alike here
    assert "the run's own settings are the best of these" in printed
    assert f"table: {done / 'sweeps/crf/sweep.json'}\n" in printed
    assert execute(["sweep", str(tmp_path), "crf.mask_alpha=1"]) == 2
    assert "is not a run folder" in capsys.readouterr().err
