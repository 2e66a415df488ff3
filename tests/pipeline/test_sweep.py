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
from sbnet.steps.workspace import Workspace

from fake_stages import STEPS, FakeStages
from refusals import GPU_IS_FULL
from sbnet import metrics
from sbnet.cli import execute
from sbnet.cli.runs import _advice
from sbnet.config.recipe import load_recipe
from sbnet.data.datasets.voc.folder import read_voc
from sbnet.data.io.files import read_label
from sbnet.engine import photo_crf
from sbnet.errors import SBNetError
from sbnet.ops import DenseCRF
from sbnet.pipeline import run
from sbnet.pipeline.sweep import UNMEASURED, SweepResult, Trial, sweep
from sbnet.steps import crf as refine
from sbnet.work.parallel import MemoryBudget


@pytest.fixture
def done(tmp_path: Path, shared_data: Path, stages: FakeStages) -> Path:
    out = tmp_path / "run"
    run(
        load_recipe("quickstart", ["data.source=voc", f"data.root={shared_data}", "refine.iterations=2"]), out
    )
    return out


def test_every_combination_is_measured_on_photos_apart(done: Path, shared_data: Path) -> None:
    before = {
        path: path.stat().st_mtime_ns for path in done.rglob("*") if path.is_file() and path.name != ".lock"
    }
    result = sweep(done, ["refine.mask_alpha=1,30", "refine.bilateral=80,13,10", "refine.bilateral=9,9,9"])
    assert (result.chosen_on, result.reported_on, result.step) == (12, 12, "refine")
    own = load_recipe(done).refine
    assert result.recipe.values == {
        "refine.mask_alpha": own.mask_alpha,
        "refine.bilateral": list(own.bilateral),
    }
    assert len(result.trials) == 5
    figures = [trial.miou for trial in result.trials]
    assert figures == sorted(figures, reverse=True)
    assert result.best is result.trials[0]
    assert {path: path.stat().st_mtime_ns for path in before} == before

    table = json.loads(result.table.read_text())
    assert table["trials"][0]["values"] == result.best.values
    recipe = load_recipe(done)
    photos = read_voc(shared_data, "train")
    workspace = Workspace(done, {"scores": done / "infer_cam"}, photos, None, recipe.model, recipe.runtime)
    masks = refine.variants([own], workspace)
    order = sorted(photos, key=lambda photo: (zlib.crc32(photo.name.encode()), photo.name))
    for part, miou in ((order[0::2], result.recipe.miou), (order[1::2], result.recipe.held_out)):
        matrices = [
            metrics.confusion(masks(p)[0], read_label(p.mask), classes=len(photos.classes)) for p in part
        ]
        assert metrics.mean_iou(sum(matrices)) == pytest.approx(miou, abs=1e-3)
    assert Image.open(result.picture).size[0] > 300


@pytest.mark.parametrize("workers", [1, 3])
def test_photos_share_cores_and_memory(done: Path, workers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the step itself: a thread of PyTorch's each, and no more of them at once than memory holds."""
    one = DenseCRF.memory_needed(48 * 64, labels=5, sets=2)
    monkeypatch.setattr(photo_crf, "available_memory", lambda: int(1.5 * one / photo_crf.MEMORY_SHARE))
    recipe = done / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("workers: -1", f"workers: {workers}"))
    asked: list[tuple[int, int]] = []
    reserve = MemoryBudget.reserve

    def watched(self: MemoryBudget, needed: int) -> Any:
        asked.append((needed, torch.get_num_threads()))
        return reserve(self, needed)

    monkeypatch.setattr(MemoryBudget, "reserve", watched)
    before = torch.get_num_threads()
    sweep(done, ["refine.mask_alpha=1"])
    assert len(asked) == 24
    assert {threads for _, threads in asked} == {1}
    assert max(needed for needed, _ in asked) <= one
    assert torch.get_num_threads() == before
    monkeypatch.setattr(photo_crf, "available_memory", lambda: one // 9)
    with pytest.raises(SBNetError, match=r"the CRF of 3072 pixels .* save the photo smaller"):
        sweep(done, ["refine.mask_alpha=1"])


def test_a_gpu_without_enough_memory_is_told_with_the_remedy(
    done: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_photo: Any) -> None:
        raise torch.OutOfMemoryError(GPU_IS_FULL)

    monkeypatch.setattr(refine, "variants", lambda *_: full)
    with pytest.raises(SBNetError, match=r"\.jpg: the GPU's memory does not .*: try fewer values at once"):
        sweep(done, ["refine.mask_alpha=1"])


def test_a_list_to_choose_on(done: Path, shared_data: Path, tmp_path: Path) -> None:
    names = (shared_data / "ImageSets/Segmentation/train.txt").read_text().split()
    (tmp_path / "choose.txt").write_text("\n".join(names[:5]))
    result = sweep(done, ["refine.mask_alpha=1"], choose_on=tmp_path / "choose.txt", out=tmp_path / "here")
    assert (result.chosen_on, result.reported_on) == (5, len(names) - 5)
    assert result.table == tmp_path / "here" / "sweep.json"
    assert not (done / "sweeps").exists()
    assert sweep(done, ["refine.mask_alpha=1"], photos=7).chosen_on == 4


def test_a_list_to_choose_on_names_training_photos(done: Path, shared_data: Path, tmp_path: Path) -> None:
    """A misspelt name would not be chosen on and its photo be reported on; a photo of val is not of this run's CAMs."""
    lists = shared_data / "ImageSets/Segmentation"
    names = (lists / "train.txt").read_text().split()
    path = tmp_path / "choose.txt"
    for wrong, near in (
        (f"{names[2]}x", rf" \(did you mean '{names[2]}'"),
        ((lists / "val.txt").read_text().split()[0], ""),
    ):
        path.write_text("\n".join([*names[:2], "", wrong, *names[3:5]]))
        with pytest.raises(
            SBNetError, match=rf"choose\.txt, line 4: there is no training photo '{wrong}' .*{near}"
        ):
            sweep(done, ["refine.mask_alpha=1"], choose_on=path, out=tmp_path / "here")
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ([], "nothing to try; give KEY=VALUE,VALUE"),
        (["train_cam.epochs=1,2"], "'train_cam.epochs=1,2': refine and random_walk are the steps"),
        (["refine.mask_alpha=1", "random_walk.steps=3"], "one step at a time; refine is swept already"),
        (["refine.mask_alfa=1"], "did you mean 'mask_alpha'"),
        (["refine.mask_alpha=1,wide"], "expected a number"),
        (["refine.mask_alpha=-1"], "refine.mask_alpha"),
        (["refine"], "is not a setting"),
        (
            ["refine.low_alpha=1,4"],
            "nothing to choose by; it makes the confident labels; .* refine.mask_alpha",
        ),
        (
            ["refine.mask_alpha=1,4", "refine.high_alpha=16,32"],
            "'refine.high_alpha=16,32': nothing to choose by",
        ),
        (["random_walk.masks=a,b"], "nothing to choose by; a walk is measured"),
        (
            ["random_walk.background_score=0.2"],
            r"nothing .*=affinitynet\) .* but random_walk.background_alpha",
        ),
    ],
)
def test_what_cannot_be_swept(done: Path, settings: list[str], message: str) -> None:
    with pytest.raises(SBNetError, match=message):
        sweep(done, settings)


def test_the_background_that_irn_does_not_read(tmp_path: Path, shared_data: Path, stages: FakeStages) -> None:
    out = tmp_path / "irn"
    data = ["data.source=voc", f"data.root={shared_data}"]
    run(load_recipe("quickstart", [*data, "train_affinity.method=irn"]), out, stop="infer_cam")
    with pytest.raises(SBNetError, match=r"=irn\) does not read it, but random_walk.background_score"):
        sweep(out, ["random_walk.steps=2,4", "random_walk.background_alpha=8,16"])
    with pytest.raises(SBNetError, match="'random_walk' is tried on the output of 'train_affinity'"):
        sweep(out, ["random_walk.background_score=0.2,0.3"])  # this one is read


def test_every_key_that_is_taken_can_change_the_mask(done: Path, shared_data: Path) -> None:
    """What is neither refused nor read would tie: the masks of one setting changed against those of the others."""
    recipe, photos = load_recipe(done), read_voc(shared_data, "train")
    own = dataclasses.replace(recipe.refine, iterations=3, mask_alpha=8.0, score_power=1.0)
    changed: dict[str, Any] = {"iterations": 0, "gaussian": (20.0, 30.0), "bilateral": (9.0, 90.0, 30.0)}
    changed |= {"mask_alpha": 0.01, "score_power": 9.0}
    taken = {one.name for one in dataclasses.fields(own)} - {key.partition(".")[2] for key in UNMEASURED}
    assert changed.keys() == taken
    workspace = Workspace(done, {"scores": done / "infer_cam"}, photos, None, recipe.model, recipe.runtime)
    masks = refine.variants(
        [own, *(dataclasses.replace(own, **{k: v}) for k, v in changed.items())], workspace
    )
    differ = dict.fromkeys(changed, False)
    for photo in photos.photos[:6]:
        plain, *others = masks(photo)
        for key, mask in zip(changed, others, strict=True):
            differ[key] |= bool((mask != plain).any())
    assert all(differ.values()), differ


def test_taking_the_best_over_trains_no_cam_network_anew(
    tmp_path: Path, shared_data: Path, stages: FakeStages
) -> None:
    """The figure that it was chosen by is of the CAMs that the run has."""
    out = tmp_path / "run"
    run(load_recipe("voc12-lite", [f"data.root={shared_data}"]), out)
    stages.take()
    sweep(out, ["refine.mask_alpha=9.5", "refine.bilateral=9,9,9"])
    run(load_recipe(out, ["refine.mask_alpha=9.5"]), out)
    assert stages.take() == ["refine"]
    run(load_recipe(out, ["refine.bilateral=9,9,9"]), out)
    assert stages.take() == STEPS[5:]


def test_a_best_that_the_held_out_photos_do_not_bear_out_is_told(tmp_path: Path) -> None:
    own, best = Trial({"refine.mask_alpha": 8.0}, 0.5, 0.62), Trial({"refine.mask_alpha": 4.0}, 0.6, 0.61)
    result = SweepResult("refine", [best, own], own, 9, 9, tmp_path / "a.json", tmp_path / "a.png")
    take_over, counted, warned = _advice(tmp_path, result)
    assert take_over.endswith(f": sbnet run {tmp_path} refine.mask_alpha=4")
    assert "metrics.json then counts the 9 photos that it was chosen on, too" in counted
    assert "the figure to report is the held out 61.0 %" in counted
    assert "the run's own settings are better (62.0 %)" in warned
    worse = dataclasses.replace(own, held_out=0.6)
    result = dataclasses.replace(result, trials=[best, worse], recipe=worse)
    assert "better" not in " ".join(_advice(tmp_path, result))


def test_steps_that_are_not_done(tmp_path: Path, shared_data: Path, stages: FakeStages) -> None:
    recipe = load_recipe("quickstart", ["data.source=voc", f"data.root={shared_data}"])
    run(recipe, tmp_path / "run", stop="bootstrap_refine")
    with pytest.raises(
        SBNetError, match=r"on the output of 'infer_cam', which is not done; .*--to infer_cam"
    ):
        sweep(tmp_path / "run", ["refine.mask_alpha=1"])


def test_the_command(done: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert execute(["sweep", str(done), "refine.mask_alpha=0.5,1,30", "--top", "1"]) == 0
    printed = capsys.readouterr().out
    assert "12 photos" in printed
    assert "best recipe" in printed  # all are alike here
    assert "the run's own settings are the best of these" in printed
    assert f"table: {done / 'sweeps/refine/sweep.json'}\n" in printed
    assert execute(["sweep", str(tmp_path), "refine.mask_alpha=1"]) == 2
    assert "is no run folder" in capsys.readouterr().err
