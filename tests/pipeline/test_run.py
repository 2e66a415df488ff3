from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fake_stages import STEPS, FakeStages, make_data, small_recipe
from sbnet.config.recipe import load_recipe
from sbnet.data.io.files import read_json, read_label, write_json, write_label
from sbnet.engine.model_file import save_model
from sbnet.engine.networks import build
from sbnet.errors import SBNetError
from sbnet.pipeline import run
from sbnet.pipeline.folder import open_folder


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture
def done(out: Path, shared_data: Path, stages: FakeStages) -> Path:
    """A finished run."""
    run(small_recipe(shared_data), out)
    stages.take()
    return out


def refusal(*arguments: Any, **keywords: Any) -> str:
    with pytest.raises(SBNetError) as error:
        run(*arguments, **keywords)
    return str(error.value)


def test_a_whole_run(out: Path, shared_data: Path, stages: FakeStages) -> None:
    text = io.StringIO()
    recipe = small_recipe(shared_data)
    metrics = run(recipe, out, console=Console(file=text))
    assert stages.ran == STEPS
    for name in STEPS:
        finished, state = read_json(out / name / "done.json"), read_json(out / name / "state.json")
        assert finished["fingerprint"] == state["fingerprint"]
        assert finished["facts"] == {"photos": 24}
        assert finished["device"] == "cpu"
        assert finished["seconds"] >= 0
        assert "settings" in state
    assert load_recipe(out) == recipe
    assert metrics == read_json(out / "metrics.json")
    names = [
        "cam",
        "refine",
        "random_walk",
        "segmenter",
        "segmenter_crf",
        "bootstrap_cam",
        "bootstrap_refine",
    ]
    assert sorted(metrics) == sorted(names)
    assert metrics["segmenter"]["list"] == "val"
    assert metrics["cam"]["list"] == "train"
    assert metrics["random_walk"]["miou"] == 1.0
    assert metrics["random_walk"]["absent"] == "left out"
    assert (out / "report.html").exists()
    lines = text.getvalue().splitlines()
    assert lines[0].startswith(f"quickstart in {out}: 24 photos to learn from, 3 to measure on, 7 classes")
    assert lines[-1].startswith("10/10 predict             masks of the val photos: done, 0.")
    assert lines[-1].endswith("mIoU 100.0 %, with CRF 100.0 %")


def test_what_is_done_is_kept_and_told(done: Path, shared_data: Path, stages: FakeStages) -> None:
    text = io.StringIO()
    before = read_json(done / "metrics.json")
    assert run(small_recipe(shared_data), done, console=Console(file=text)) == before
    assert stages.take() == []
    assert text.getvalue().count("done before") == len(STEPS)


@pytest.mark.parametrize(
    ("override", "ran"),
    [
        ("predict.crf=no", ["predict"]),
        ("train_segmenter.epochs=777", ["train_segmenter", "predict"]),
        ("random_walk.background_alpha=6.21", STEPS[7:]),
        ("train_affinity.epochs=777", STEPS[6:]),
        ("train_affinity.method=irn", STEPS[6:]),
        ("train_cam.boundary_weight=0.521", STEPS[3:]),
        ("refine.mask_alpha=6.21", ["refine"]),
        ("refine.low_alpha=3.21", STEPS[5:]),
        ("bootstrap_refine.mask_alpha=6.21", ["bootstrap_refine"]),
        ("bootstrap_refine.low_alpha=3.21", STEPS[2:]),
        ("runtime.seed=777", STEPS),
        ("model.freeze=777", STEPS),
        ("model.dilate=no", STEPS),
        ("train_affinity.jitter=no", STEPS[6:]),
        ("train_cam.checkpoint_every=777", []),
        ("runtime.workers=0", []),
        ("runtime.inference_batch=3", []),
        ("runtime.crf_device=device", []),
        ("infer_cam.boundaries=yes", ["bootstrap_infer_cam", "infer_cam"]),  # which no step reads
        ("runtime.device=cpu", []),
        ("runtime.compile=yes", []),
        ("bootstrap.boundary_weight=3", []),  # SEAM has no such term
        ("about=later", []),
    ],
)
def test_what_changed_is_redone_with_all_that_follows(
    done: Path, shared_data: Path, stages: FakeStages, override: str, ran: list[str]
) -> None:
    run(small_recipe(shared_data, override), done)
    assert stages.take() == ran
    run(small_recipe(shared_data, override), done)
    assert stages.take() == []


def test_a_stale_step_is_told_and_its_old_files_go(done: Path, shared_data: Path, stages: FakeStages) -> None:
    text = io.StringIO()
    (done / "refine" / "masks" / "old.png").write_text("")
    run(small_recipe(shared_data, "refine.mask_alpha=6.21"), done, console=Console(file=text, width=200))
    alpha = small_recipe(shared_data).refine.mask_alpha
    line = f"refine              dense CRF, confident labels: is redone (mask_alpha {alpha} -> 6.21)"
    assert line in text.getvalue()
    assert stages.take() == ["refine"]  # later steps read its labels, not its masks
    assert not (done / "refine" / "masks" / "old.png").exists()
    assert not [path for path in done.iterdir() if path.name.endswith(".old")]


def test_the_bootstrap_masks_matter_where_boundaries_are_taken_from_them(
    out: Path, shared_data: Path, stages: FakeStages
) -> None:
    labels = "train_cam.boundary_labels="
    run(small_recipe(shared_data, labels + "confident"), out)
    stages.take()
    run(small_recipe(shared_data, labels + "crf"), out)
    assert stages.take() == STEPS[3:]
    run(small_recipe(shared_data, labels + "crf", "refine.mask_alpha=6.21"), out)
    assert stages.take() == ["refine"]
    run(small_recipe(shared_data, labels + "crf", "bootstrap_refine.mask_alpha=6.21"), out)
    assert stages.take() == STEPS[2:]


def stop(workspace: Any) -> None:
    """An interrupt after the first output."""
    (workspace.folder / "part").write_text("")
    raise KeyboardInterrupt


def refuse(workspace: Any) -> None:
    raise SBNetError("no such thing")


def test_a_refused_setting_costs_no_finished_training(
    done: Path, shared_data: Path, stages: FakeStages
) -> None:
    stages.before["train_cam"] = refuse
    with pytest.raises(SBNetError, match="no such thing"):
        run(small_recipe(shared_data, "train_cam.epochs=777"), done)
    stages.before.clear()
    stages.take()
    run(small_recipe(shared_data), done)
    assert stages.take() == []
    assert not list(done.glob(".*.replaced"))


def test_a_training_that_was_to_be_replaced_comes_back_with_its_settings(
    done: Path, shared_data: Path, stages: FakeStages
) -> None:
    stages.before["train_cam"] = stop
    for epochs in (777, 778):
        with pytest.raises(KeyboardInterrupt):
            run(small_recipe(shared_data, f"train_cam.epochs={epochs}"), done)
    stages.before.clear()
    stages.take()
    run(small_recipe(shared_data), done)
    assert stages.take() == []
    assert not list(done.glob(".*.replaced"))


def test_a_refused_start_changes_no_recipe(out: Path, shared_data: Path, stages: FakeStages) -> None:
    run(small_recipe(shared_data), out)
    before = (out / "recipe.yaml").read_text()
    with pytest.raises(SBNetError, match="needed first"):
        run(small_recipe(shared_data, "refine.low_alpha=3.21"), out, start="train_segmenter")
    assert (out / "recipe.yaml").read_text() == before


def test_an_interrupted_redo_that_no_reader_sees_stays_unseen(
    done: Path, shared_data: Path, stages: FakeStages
) -> None:
    stages.before["refine"] = stop
    with pytest.raises(KeyboardInterrupt):
        run(small_recipe(shared_data, "refine.mask_alpha=6.21"), done)
    stages.before.clear()
    stages.take()
    run(small_recipe(shared_data), done)
    assert stages.take() == ["refine"]


def test_figures_follow_masks_and_truth(tmp_path: Path, out: Path, stages: FakeStages) -> None:
    data = make_data(tmp_path / "photos")
    settings = ["train_cam.method=seam"]

    forged = run(small_recipe(data, *settings), out)
    forged["refine"]["miou"] = 0.123
    write_json(out / "metrics.json", forged)
    stages.take()
    metrics = run(small_recipe(data, *settings, "refine.mask_alpha=6.21"), out)
    assert stages.take() == ["refine"]
    assert metrics["refine"]["miou"] == 1
    name = (data / "ImageSets" / "Segmentation" / "val.txt").read_text().split()[0]
    mask = data / "SegmentationClass" / f"{name}.png"
    write_label(mask, np.roll(read_label(mask), 5, axis=1))  # the same classes elsewhere
    metrics = run(small_recipe(data, *settings, "refine.mask_alpha=6.21"), out)
    assert metrics["segmenter"]["miou"] < 1


def test_moving_weights_and_boundaries_makes_nothing_stale(
    tmp_path: Path, out: Path, shared_data: Path, stages: FakeStages
) -> None:
    run(small_recipe(shared_data), tmp_path / "first")
    for name in ("here", "there"):
        shutil.copytree(tmp_path / "first" / "bootstrap_refine" / "labels", tmp_path / name)
    stages.take()
    run(small_recipe(shared_data, f"train_cam.boundaries={tmp_path / 'here'}"), out)
    stages.take()
    run(small_recipe(shared_data, f"train_cam.boundaries={tmp_path / 'there'}"), out)
    assert stages.take() == []


@pytest.mark.parametrize(
    ("method", "read", "idle"),
    [
        ("affinitynet", "background_alpha", "background_score"),
        ("irn", "background_score", "background_alpha"),
    ],
)
def test_the_background_of_the_other_walk_makes_nothing_stale(
    method: str, read: str, idle: str, out: Path, shared_data: Path, stages: FakeStages
) -> None:
    chosen = f"train_affinity.method={method}"
    run(small_recipe(shared_data, chosen), out)
    stages.take()
    run(small_recipe(shared_data, chosen, f"random_walk.{idle}=0.77"), out)
    assert stages.take() == []
    run(small_recipe(shared_data, chosen, f"random_walk.{idle}=0.77", f"random_walk.{read}=0.66"), out)
    assert stages.take() == ["random_walk", "train_segmenter", "predict"]


def test_settings_that_older_runs_do_not_know_make_nothing_stale(
    done: Path, shared_data: Path, stages: FakeStages
) -> None:
    for name in ("train_cam", "train_affinity", "train_segmenter"):
        made_from = read_json(done / name / "state.json")["made_from"]
        assert not {"jitter", "dilate"} & {*made_from["settings"], *made_from["model"]}
    text = io.StringIO()
    overrides = ("train_cam.jitter=no", "model.dilate=no")
    run(small_recipe(shared_data, *overrides), done, console=Console(file=text, width=200))
    assert "is redone (dilate True -> False, its inputs changed, jitter True -> False)" in text.getvalue()
    assert stages.take() == STEPS
    run(small_recipe(shared_data), done)
    assert stages.take() == STEPS


def test_leftovers_of_a_killed_run_go(done: Path, shared_data: Path, stages: FakeStages) -> None:
    (done / ".refine.1234.old").mkdir()
    (done / "refine" / ".x.png.1234.tmp").write_text("")
    run(small_recipe(shared_data), done)
    assert not (done / ".refine.1234.old").exists()
    assert not (done / "refine" / ".x.png.1234.tmp").exists()


def test_a_folder_that_looks_like_markup(tmp_path: Path, shared_data: Path, stages: FakeStages) -> None:
    text = io.StringIO()
    folder = tmp_path / "[red]a"
    run(small_recipe(shared_data), folder, console=Console(file=text, width=300))
    assert f"quickstart in {folder}" in text.getvalue()


def test_a_step_made_again_makes_its_readers_stale(done: Path, shared_data: Path, stages: FakeStages) -> None:
    shutil.rmtree(done / "train_affinity")
    run(small_recipe(shared_data), done, stop="train_affinity")
    assert stages.take() == ["train_affinity"]
    run(small_recipe(shared_data), done)
    assert stages.take() == ["random_walk", "train_segmenter", "predict"]


def test_a_broken_state_file_counts_as_stale(done: Path, shared_data: Path, stages: FakeStages) -> None:
    (done / "predict" / "state.json").write_text("{")
    run(small_recipe(shared_data), done)
    assert stages.take() == ["predict"]


def test_photos(tmp_path: Path, out: Path, stages: FakeStages) -> None:
    data = make_data(tmp_path / "photos")
    recipe = small_recipe(data)
    run(recipe, out)
    stages.take()
    name = (data / "ImageSets/Segmentation/train.txt").read_text().split()[0]
    photo = next((data / "JPEGImages").glob(f"{name}.*"))
    os.utime(photo, (1, 1))
    moved = data.rename(tmp_path / "elsewhere")
    run(small_recipe(moved), out)
    assert stages.take() == []  # neither time nor place counts
    photo = moved / photo.relative_to(data)
    photo.write_bytes(photo.read_bytes() + b" ")
    run(small_recipe(moved), out)
    assert stages.take() == STEPS


@pytest.mark.parametrize("error", [KeyboardInterrupt(), RuntimeError("a bug"), SBNetError("bad photo")])
def test_an_interrupted_step_goes_on(
    out: Path, shared_data: Path, stages: FakeStages, error: BaseException
) -> None:
    def stop(workspace: Any) -> None:
        (workspace.folder / "part").write_text("")
        raise error

    def check(workspace: Any) -> None:
        assert (workspace.folder / "part").exists()

    text = io.StringIO()
    stages.before["refine"] = stop
    with pytest.raises(type(error)):
        run(small_recipe(shared_data), out, console=Console(file=text, width=200))
    assert stages.take() == STEPS[:6]
    assert f"refine stopped; finished work is kept. Go on with: sbnet run {out}" in text.getvalue()
    assert not (out / "refine" / "done.json").exists()
    assert "cam" in read_json(out / "metrics.json")
    stages.before["refine"] = check
    run(load_recipe(out), out)
    assert stages.take() == STEPS[5:]


def test_a_half_done_step_with_other_settings_begins_anew(
    out: Path, shared_data: Path, stages: FakeStages
) -> None:
    stages.before["refine"] = stop
    with pytest.raises(KeyboardInterrupt):
        run(small_recipe(shared_data), out)
    stages.before.clear()
    run(small_recipe(shared_data, "refine.mask_alpha=6.21"), out)
    assert not (out / "refine" / "part").exists()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_killed_run_goes_on(out: Path, shared_data: Path, stages: FakeStages) -> None:
    def die(workspace: Any) -> None:
        (workspace.folder / "part").write_text("")
        os._exit(9)

    stages.before["train_affinity"] = die
    child = os.fork()
    if child == 0:
        try:
            run(small_recipe(shared_data), out)
        finally:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    stages.before["train_affinity"] = lambda workspace: (workspace.folder / "part").unlink()
    run(small_recipe(shared_data), out)
    assert stages.take() == STEPS[6:]


def test_seconds_add_up_over_an_interruption(out: Path, shared_data: Path, stages: FakeStages) -> None:
    stages.before["refine"] = stop
    with pytest.raises(KeyboardInterrupt):
        run(small_recipe(shared_data), out)
    state = read_json(out / "refine" / "state.json")
    (out / "refine" / "state.json").write_text(
        (out / "refine" / "state.json")
        .read_text()
        .replace(f'"seconds": {state["seconds"]}', '"seconds": 50000')
    )
    stages.before.clear()
    run(small_recipe(shared_data), out)
    assert 50000 <= read_json(out / "refine" / "done.json")["seconds"] < 60000


def test_from_to_and_only(out: Path, shared_data: Path, stages: FakeStages) -> None:
    recipe = small_recipe(shared_data)
    run(recipe, out, stop="bootstrap_infer_cam")
    assert stages.take() == STEPS[:2]
    assert "needed first, and it is not done; begin with it (--from bootstrap_refine)" in refusal(
        recipe, out, start="train_cam"
    )
    run(recipe, out, only="infer_cam")
    assert stages.take() == STEPS[2:5]
    run(recipe, out, start="refine", stop="random_walk")
    assert stages.take() == STEPS[5:8]
    changed = small_recipe(shared_data, "refine.low_alpha=2.21")
    assert "'refine' is needed first, and it is stale: low_alpha" in refusal(
        changed, out, start="train_segmenter"
    )
    run(recipe, out, start="evaluate")
    assert stages.take() == []


def test_step_names(out: Path, shared_data: Path, stages: FakeStages) -> None:
    recipe = small_recipe(shared_data)
    assert "there is no step 'refin' in this run (did you mean 'refine'?)" in refusal(
        recipe, out, start="refin"
    )
    assert "exchange --from and --to" in refusal(recipe, out, start="predict", stop="refine")
    seam = small_recipe(shared_data, "train_cam.method=seam")
    assert "there is no step 'bootstrap_refine'" in refusal(seam, out, only="bootstrap_refine")
    assert not out.exists()


def test_methods_without_bootstrap(out: Path, shared_data: Path, stages: FakeStages, tmp_path: Path) -> None:
    run(small_recipe(shared_data, "train_cam.method=seam"), out)
    assert stages.take() == STEPS[3:]
    folder = tmp_path / "boundaries"
    missing = small_recipe(shared_data, f"train_cam.boundaries={folder}")
    assert f"there is no folder {folder}" in refusal(missing, tmp_path / "other")
    folder.mkdir()
    run(small_recipe(shared_data, f"train_cam.boundaries={folder}"), tmp_path / "other")
    assert stages.take() == STEPS[3:]
    (folder / "a.png").write_bytes(b"x")
    run(small_recipe(shared_data, f"train_cam.boundaries={folder}"), tmp_path / "other")
    assert stages.take() == STEPS[3:]


def test_the_ceiling_needs_no_pseudo_masks(tmp_path: Path, out: Path, stages: FakeStages) -> None:
    data = make_data(tmp_path / "photos")
    recipe = small_recipe(data, "train_segmenter.labels=truth")
    assert list(run(recipe, out)) == ["segmenter", "segmenter_crf"]
    assert stages.take() == ["train_segmenter", "predict"]
    name = (data / "ImageSets/Segmentation/train.txt").read_text().split()[0]
    mask = data / "SegmentationClass" / f"{name}.png"
    truth = np.zeros((48, 64), np.uint8)
    truth[:9] = 1
    write_label(mask, truth)
    run(recipe, out)
    assert stages.take() == ["train_segmenter", "predict"]
    mask.unlink()
    labels = tmp_path / "labels.txt"
    labels.write_text(
        "".join(f"{n} car\n" for n in (data / "ImageSets/Segmentation/train.txt").read_text().split())
    )
    bare = small_recipe(data, "train_segmenter.labels=truth", f"data.labels={labels}")
    assert f"1 photos have no mask ('{name}' is the first)" in refusal(bare, out)


def test_without_a_val_list_nothing_is_predicted_for_measuring(
    out: Path, shared_data: Path, stages: FakeStages
) -> None:
    metrics = run(small_recipe(shared_data, "data.val="), out)
    assert stages.take() == STEPS
    assert "random_walk" in metrics
    assert "segmenter" not in metrics


def test_a_run_without_any_true_mask_says_so_first(tmp_path: Path, out: Path, stages: FakeStages) -> None:
    data, labels, text = make_data(tmp_path / "photos"), tmp_path / "labels.txt", io.StringIO()
    shutil.rmtree(data / "SegmentationClass")
    classes = (data / "classes.txt").read_text().split()
    names = (data / "ImageSets/Segmentation/train.txt").read_text().split()
    labels.write_text("".join(f"{name} {' '.join(classes)}\n" for name in names))
    recipe = small_recipe(data, f"data.labels={labels}", "data.val=")
    assert run(recipe, out, only="report", console=Console(file=text, width=300)) == {}
    assert "no photo has a true mask, so nothing is measured" in text.getvalue().splitlines()[1]


def test_scenes_are_made_in_the_run(out: Path, stages: FakeStages) -> None:
    settings = ["data.scenes.train=24", "data.scenes.val=3", "data.scenes.size=48,64"]
    run(load_recipe("quickstart", settings), out)
    assert (out / "data" / "JPEGImages").is_dir()
    run(load_recipe("quickstart", settings), out)
    assert stages.take() == STEPS
    run(load_recipe("quickstart", [*settings, "data.scenes.seed=3"]), out)
    assert stages.take() == STEPS


def test_another_recipe_is_refused(done: Path, shared_data: Path) -> None:
    before = (done / "recipe.yaml").read_text()
    refused = refusal(small_recipe(shared_data, name="voc12-lite"), done)
    assert "is a run of recipe 'quickstart', not of 'voc12-lite'; choose another --out" in refused
    assert "is a run on other photos" in refusal(small_recipe(shared_data, "data.train=val"), done)
    assert (done / "recipe.yaml").read_text() == before


def test_other_folders_are_refused(tmp_path: Path, shared_data: Path, stages: FakeStages) -> None:
    recipe = small_recipe(shared_data)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("")
    assert "holds files but no run" in refusal(recipe, tmp_path / "mine")
    assert "is a file; a run needs a folder" in refusal(recipe, tmp_path / "mine" / "thesis.txt")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "recipe.yaml").write_text("[")
    assert "is not a run's recipe" in refusal(recipe, tmp_path / "broken")
    assert stages.ran == []


def test_two_runs_at_once_are_refused(done: Path, shared_data: Path) -> None:
    recipe = small_recipe(shared_data)
    with open_folder(done, recipe):
        assert f"another run (process {os.getpid()}) works in this folder" in refusal(recipe, done)
    run(recipe, done)


def test_untrainable_photos_are_refused_before_anything_runs(
    tmp_path: Path, out: Path, shared_data: Path, stages: FakeStages
) -> None:
    names = (shared_data / "ImageSets/Segmentation/train.txt").read_text().split()
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{name} car\n" for name in names))
    assert "'house'" in refusal(small_recipe(shared_data, f"data.labels={labels}"), out)
    assert stages.ran == []
    assert not out.exists()
    refusal(small_recipe(shared_data, f"data.labels={labels}"), tmp_path / "x" / "y")
    assert not (tmp_path / "x").exists()
    (tmp_path / "mine").mkdir()
    refusal(small_recipe(shared_data, f"data.labels={labels}"), tmp_path / "mine")
    assert (tmp_path / "mine").is_dir()


def test_a_bad_true_mask_ends_no_run_before_its_time(
    tmp_path: Path, out: Path, stages: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make_data(tmp_path / "photos")
    recipe = small_recipe(data)
    name = (data / "ImageSets/Segmentation/val.txt").read_text().split()[0]
    text = io.StringIO()

    def spoil(workspace: Any) -> None:
        write_label(data / "SegmentationClass" / f"{name}.png", np.ones((9, 9), np.uint8))

    stages.before["train_segmenter"] = spoil
    monkeypatch.setattr("sbnet.steps.predict.run", _predict_background)
    with pytest.raises(SBNetError, match="9 x 9"):
        run(recipe, out, console=Console(file=text, width=300))
    assert "masks of the val photos: done" in text.getvalue()
    assert "not measured" in text.getvalue()
    assert (out / "predict" / "done.json").exists()
    assert "random_walk" in read_json(out / "metrics.json")


def _predict_background(settings: Any, workspace: Any) -> dict[str, Any]:
    for photo in workspace.val:
        for folder in ("masks", "masks_crf"):
            write_label(workspace.folder / folder / f"{photo.name}.png", np.zeros((48, 64), np.uint8))
    return {}


def test_a_failing_report_ends_no_run_before_its_time(
    out: Path, shared_data: Path, stages: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*arguments: Any) -> Path:
        raise ValueError("a bug in the page")

    monkeypatch.setattr("sbnet.steps.report.write", fail)
    with pytest.raises(ValueError, match="a bug in the page"):
        run(small_recipe(shared_data), out)
    assert stages.take() == STEPS
    assert (out / "predict" / "done.json").exists()


def test_a_backbone_without_weights_is_not_trained_by_oversight(
    stages: FakeStages, shared_data: Path, out: Path
) -> None:
    recipe = small_recipe(shared_data, name="voc12-resnet38")
    assert "model.weights: resnet38 comes without weights; give model.weights=file:PATH" in refusal(
        recipe, out
    )
    recipe = small_recipe(shared_data, "model.weights=none", name="voc12-resnet38")
    assert "train_segmenter.weights: resnet101 comes without weights" in refusal(recipe, out)
    assert not out.exists()
    run(recipe, out, stop="random_walk")  # trains no segmenter
    assert stages.take() == STEPS[:8]


def test_networks_made_elsewhere_need_no_weights(
    stages: FakeStages, shared_data: Path, tmp_path: Path, out: Path
) -> None:
    networks = {stage: tmp_path / f"{stage}.pth" for stage in ("train_cam", "train_affinity")}
    for path in networks.values():
        path.write_bytes(b"weights")
    settings = [f"{stage}.network={path}" for stage, path in networks.items()]
    recipe = small_recipe(shared_data, *settings, name="voc12-resnet38")
    run(recipe, out, stop="random_walk")
    assert stages.take() == STEPS[3:8]
    moved = networks["train_cam"].rename(tmp_path / "moved.pth")
    recipe = small_recipe(shared_data, *settings, f"train_cam.network={moved}", name="voc12-resnet38")
    run(recipe, out, stop="random_walk")
    assert stages.take() == []
    moved.write_bytes(b"other weights")
    run(recipe, out, stop="refine")
    assert stages.take() == STEPS[3:6]


def test_a_network_that_affinitynet_cannot_start_from_is_refused_before_the_run(
    stages: FakeStages, shared_data: Path, tmp_path: Path, out: Path
) -> None:
    path = tmp_path / "cam.safetensors"
    save_model(build("sbnet-timm:resnet18", 8, weights="none"), path, meta={})
    settings = ("train_affinity.start=cam", f"train_cam.network={path}")
    message = refusal(small_recipe(shared_data, *settings), out)
    assert (
        "lite0 cannot start from the CAM network, which is sbnet-timm:resnet18; set train_affinity" in message
    )
    assert "model.backbone=timm:resnet18" in message
    assert not out.exists()
    run(small_recipe(shared_data, *settings), out, stop="refine")  # which does not start from it
    for remedy in ("train_affinity.start=imagenet", "model.backbone=timm:resnet18"):
        run(small_recipe(shared_data, *settings, remedy), out, stop="train_affinity")
        assert stages.take()[-1] == "train_affinity"


@pytest.mark.parametrize(
    ("key", "step", "kept"),
    [
        ("infer_cam.scores", "infer_cam", "scores"),
        ("random_walk.masks", "random_walk", "masks"),
        ("train_segmenter.network", "train_segmenter", "model.safetensors"),
        ("train_segmenter.weights", "train_segmenter", "model.safetensors"),
    ],
)
@pytest.mark.parametrize("linked", [False, True])
def test_what_a_step_takes_over_is_not_deleted_by_it(
    key: str,
    step: str,
    kept: str,
    linked: bool,
    done: Path,
    shared_data: Path,
    tmp_path: Path,
    stages: FakeStages,
) -> None:
    """A step's own output as what it is to take: its folder is emptied before it begins."""
    own = done / step / kept
    before = {path: path.read_bytes() for path in (own.iterdir() if own.is_dir() else [own])}
    named = own
    if linked:
        named = tmp_path / "elsewhere"
        named.symlink_to(own)
    value = f"file:{named}" if key.endswith("weights") else named
    message = refusal(small_recipe(shared_data, f"{key}={value}", "train_affinity.start=imagenet"), done)
    assert f"lies in the folder of the step that is to take it, {step}, and would be deleted" in message
    assert stages.take() == []
    assert {path: path.read_bytes() for path in before} == before
    run(small_recipe(shared_data), done)
    assert stages.take() == []


def test_photos_too_large_for_the_scales_are_refused(
    shared_data: Path, out: Path, stages: FakeStages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sbnet.data.io.image.MAX_PIXELS", 48 * 64 * 9)
    run(small_recipe(shared_data, "infer_cam.scales=1,2", "infer_cam.mirror=yes"), out)
    message = refusal(small_recipe(shared_data, "infer_cam.scales=1,2.5", "infer_cam.mirror=yes"), out)
    assert "64 x 48 pixels exceed the bound of 2211" in message
    assert "lower the scales" in message
    walk = ("infer_cam.scales=1,2", "infer_cam.mirror=yes", "random_walk.scale=2.5")
    run(small_recipe(shared_data, *walk), out, stop="refine")
    message = refusal(small_recipe(shared_data, *walk, "train_affinity.method=irn"), out)
    assert "64 x 48 pixels exceed the bound of 2211" in message  # IRN sees the mirror image, too


def test_the_reference_s_quirks_are_settings_of_its_trainings_alone(
    done: Path, shared_data: Path, stages: FakeStages
) -> None:
    run(small_recipe(shared_data, "reference=true"), done)
    assert stages.take() == STEPS
    for name in ("bootstrap_train_cam", "train_cam", "train_affinity"):
        assert read_json(done / name / "state.json")["settings"]["momentum"] == 5e-4, name
    assert read_json(done / "train_cam" / "state.json")["settings"]["canny"] == "normalized"
    assert read_json(done / "train_segmenter" / "state.json")["settings"]["momentum"] == 0.9
    assert load_recipe(done).train_cam.momentum == 0.9  # so that reference=false takes them back
    run(small_recipe(shared_data, "reference=false"), done)
    assert read_json(done / "train_cam" / "state.json")["settings"]["momentum"] == 0.9


def test_the_reference_counts_absent_classes_as_0(out: Path, tmp_path: Path, stages: FakeStages) -> None:
    data = make_data(tmp_path / "data")
    for photo in (data / "SegmentationClass").glob("*.png"):  # class 7 in no photo of either list
        mask = read_label(photo)
        write_label(photo, np.where(mask == 7, 0, mask).astype(np.uint8))
    settings = ("train_segmenter.labels=truth",)
    left_out = run(small_recipe(data, *settings), out)["segmenter"]
    counted = run(small_recipe(data, *settings, "reference=true"), out)["segmenter"]
    assert (left_out["miou"], left_out["absent"]) == (1.0, "left out")
    assert (counted["absent"], counted["per_class"]) == (
        "counted as 0",
        {name: 1.0 if iou is not None else 0.0 for name, iou in left_out["per_class"].items()},
    )
    absent = [iou for iou in left_out["per_class"].values() if iou is None]
    assert absent
    assert counted["miou"] == pytest.approx(1 - len(absent) / 8)
    assert stages.take() == ["train_segmenter", "predict"]  # measured anew, not made anew


def test_a_folder_that_no_step_reads_is_not_looked_for(
    tmp_path: Path, out: Path, shared_data: Path, stages: FakeStages
) -> None:
    boundaries = f"train_cam.boundaries={tmp_path / 'none'}"
    run(small_recipe(shared_data, "train_cam.method=seam", boundaries), out)
    assert "train_cam" in stages.take()
