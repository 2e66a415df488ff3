"""What runs again after a change, and what does not: settings, methods, files, and the ids of artifacts."""

from __future__ import annotations

import io
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from fake_steps import STEPS, FakeSteps, make_data, small_recipe
from sbnet.config.recipe import load_recipe
from sbnet.data.io.files import read_json, read_label, stored_json, write_json, write_label
from sbnet.pipeline import run, state


def ids(folder: Path, step: str) -> dict[str, str]:
    found: dict[str, str] = read_json(folder / step / "done.json")["ids"]
    return found


def printed(*arguments: Any) -> str:
    """What a run prints."""
    text = io.StringIO()
    run(*arguments, console=Console(file=text, width=400))
    return text.getvalue()


@pytest.mark.parametrize(
    ("override", "ran"),
    [
        ("predict.crf=no", ["predict"]),
        ("segmenter.epochs=777", ["train_segmenter", "predict"]),
        ("refine.propagate.background_alpha=6.21", STEPS[7:]),
        ("refine.train.epochs=777", STEPS[6:]),
        ("refine.train.jitter=no", STEPS[6:]),
        ("crf.low_alpha=3.21", STEPS[5:]),
        ("crf.mask_alpha=6.21", ["crf"]),  # later steps read its seeds, not its masks
        ("seeds.train.boundary_weight=0.521", STEPS[3:]),
        ("seeds.infer.boundaries=yes", ["infer_cam"]),  # which no step reads
        ("seeds.bootstrap.crf.mask_alpha=6.21", ["bootstrap_crf"]),
        ("seeds.bootstrap.crf.low_alpha=3.21", STEPS[2:]),
        ("runtime.seed=777", STEPS),
        ("backbone.freeze=5", STEPS),
        ("backbone.dilate=no", STEPS),
        ("seeds.train.checkpoint_every=777", []),
        ("runtime.workers=0", []),
        ("runtime.inference_batch=3", []),
        ("runtime.crf_device=device", []),
        ("runtime.device=cpu", []),
        ("runtime.compile=yes", []),
        ("about=later", []),
    ],
)
def test_what_changed_runs_again_with_all_that_follows(
    done: Path, shared_data: Path, steps: FakeSteps, override: str, ran: list[str]
) -> None:
    for expected in (ran, []):
        run(small_recipe(shared_data, override), done)
        assert steps.take() == expected


def test_what_is_done_is_skipped(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    before = read_json(done / "metrics.json")
    text = printed(small_recipe(shared_data), done)
    assert text.count(": skipped (already done in ") == len(STEPS)
    assert (steps.take(), read_json(done / "metrics.json")) == ([], before)


def test_each_step_is_looked_at_once(
    done: Path, shared_data: Path, steps: FakeSteps, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []

    def watched(path: Path) -> dict[str, Any]:
        read.append(path)
        return stored_json(path)

    monkeypatch.setattr(state, "stored_json", watched)
    run(small_recipe(shared_data), done)
    assert sorted(path.parent.name for path in read if path.name == "state.json") == sorted(STEPS)


def test_a_stale_step_says_why_and_its_old_files_go(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    (done / "crf" / "masks" / "old.png").write_text("")
    alpha = small_recipe(shared_data).crf.mask_alpha
    text = printed(small_recipe(shared_data, "crf.mask_alpha=6.21"), done)
    assert f"seeds and masks: re-running (mask_alpha {alpha} -> 6.21)" in text
    assert steps.take() == ["crf"]
    assert not (done / "crf" / "masks" / "old.png").exists()
    assert not [path for path in done.iterdir() if path.name.endswith(".old")]
    text = printed(small_recipe(shared_data, "seeds.train.jitter=no", "backbone.dilate=no"), done)
    assert "re-running (dilate True -> False, its inputs changed, jitter True -> False)" in text


def test_an_output_keeps_its_id_where_it_does_not_depend_on_what_changed(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    first = ids(done, "crf")
    assert set(first) == {"Seeds", "PseudoMasks"}
    run(small_recipe(shared_data, "crf.mask_alpha=6.21"), done)
    second = ids(done, "crf")
    assert (second["Seeds"] == first["Seeds"], second["PseudoMasks"] == first["PseudoMasks"]) == (True, False)
    assert steps.take() == ["crf"]
    run(small_recipe(shared_data, "crf.mask_alpha=6.21", "crf.low_alpha=3.21"), done)
    third = ids(done, "crf")
    assert (third["Seeds"] == second["Seeds"], third["PseudoMasks"] == second["PseudoMasks"]) == (False, True)
    run(small_recipe(shared_data, "crf.mask_alpha=5.21", "crf.low_alpha=2.21"), done)
    assert not set(ids(done, "crf").values()) & set(third.values())
    maps = ids(done, "infer_cam")
    run(small_recipe(shared_data, "crf.iterations=3", "seeds.infer.boundaries=yes"), done)
    assert ids(done, "infer_cam")["Scores"] == maps["Scores"]
    assert ids(done, "infer_cam")["Boundaries"] != maps["Boundaries"]


def test_who_reads_the_crf_masks_follows_them_alone(out: Path, shared_data: Path, steps: FakeSteps) -> None:
    settings = ["refine.method=none"]
    run(small_recipe(shared_data, *settings), out)
    assert steps.take() == [*STEPS[:6], *STEPS[8:]]
    run(small_recipe(shared_data, *settings, "crf.low_alpha=3.21"), out)
    assert steps.take() == ["crf"]
    run(small_recipe(shared_data, *settings, "crf.low_alpha=3.21", "crf.mask_alpha=6.21"), out)
    assert steps.take() == ["crf", "train_segmenter", "predict"]


def test_the_bootstrap_masks_matter_where_boundaries_are_taken_from_them(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    labels = "seeds.train.boundary_labels=masks"
    run(small_recipe(shared_data, labels), done)
    assert steps.take() == STEPS[3:]
    run(small_recipe(shared_data, labels, "seeds.bootstrap.crf.mask_alpha=6.21"), done)
    assert steps.take() == STEPS[2:]


def test_another_method_of_seeds(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    text = printed(small_recipe(shared_data, "seeds.method=seam"), done)
    assert steps.take() == STEPS[3:]
    assert "re-running (" in text
    assert "network sbnet -> seam" in text
    assert "None" not in text  # settings that only one of the two has
    metrics = run(small_recipe(shared_data), done)
    assert steps.take() == STEPS[3:]  # the bootstrap is still what it was
    assert "bootstrap_crf" in metrics


def test_another_refinement(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    text = printed(small_recipe(shared_data, "refine.method=irn"), done)
    assert steps.take() == STEPS[6:]
    assert "re-running (its inputs changed, the method changed" in text  # the propagation
    metrics = run(small_recipe(shared_data, "refine.method=none"), done)
    assert steps.take() == STEPS[8:]
    assert "propagation" not in metrics
    metrics = run(small_recipe(shared_data, "refine.method=irn"), done)
    assert steps.take() == STEPS[8:]  # its own steps are still done
    assert "propagation" in metrics


def test_another_decoder_with_the_same_settings(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    for method, before in (("deeplabv3plus", "segformer"), ("upernet", "deeplabv3plus")):
        text = printed(small_recipe(shared_data, f"segmenter.method={method}"), done)
        assert steps.take() == STEPS[8:]
        assert f"(network {before} -> {method}" in text


def test_figures_follow_masks_and_ground_truth(tmp_path: Path, out: Path, steps: FakeSteps) -> None:
    data = make_data(tmp_path / "images")
    forged = run(small_recipe(data, "seeds.method=seam"), out)
    forged["crf"]["miou"] = 0.123
    write_json(out / "metrics.json", forged)
    steps.take()
    changed = small_recipe(data, "seeds.method=seam", "crf.mask_alpha=6.21")
    metrics = run(changed, out)
    assert steps.take() == ["crf"]
    assert metrics["crf"]["miou"] == 1
    name = (data / "ImageSets/Segmentation/val.txt").read_text().split()[0]
    mask = data / "SegmentationClass" / f"{name}.png"
    write_label(mask, np.roll(read_label(mask), 5, axis=1))  # the same classes elsewhere
    assert run(changed, out)["segmenter"]["miou"] < 1


def test_neither_place_nor_time_of_images_counts(tmp_path: Path, out: Path, steps: FakeSteps) -> None:
    data = make_data(tmp_path / "images")
    run(small_recipe(data), out)
    steps.take()
    name = (data / "ImageSets/Segmentation/train.txt").read_text().split()[0]
    image = next((data / "JPEGImages").glob(f"{name}.*"))
    os.utime(image, (1, 1))
    moved = data.rename(tmp_path / "elsewhere")
    run(small_recipe(moved), out)
    assert steps.take() == []
    image = moved / image.relative_to(data)
    image.write_bytes(image.read_bytes() + b" ")
    run(small_recipe(moved), out)
    assert steps.take() == STEPS


def test_files_count_by_what_is_in_them(
    tmp_path: Path, out: Path, finished: Path, shared_data: Path, steps: FakeSteps
) -> None:
    for name in ("here", "there"):
        shutil.copytree(finished / "bootstrap_crf" / "seeds", tmp_path / name)
    run(small_recipe(shared_data, f"seeds.train.boundaries={tmp_path / 'here'}"), out)
    assert steps.take() == STEPS[3:]
    moved = small_recipe(shared_data, f"seeds.train.boundaries={tmp_path / 'there'}")
    run(moved, out)
    assert steps.take() == []
    (tmp_path / "there" / "a.png").write_bytes(b"x")
    run(moved, out)
    assert steps.take() == STEPS[3:]


def test_networks_made_elsewhere_need_no_weights(
    steps: FakeSteps, shared_data: Path, tmp_path: Path, out: Path
) -> None:
    networks = {role: tmp_path / f"{role}.pth" for role in ("seeds", "refine")}
    for path in networks.values():
        path.write_bytes(b"weights")
    settings = [f"{role}.train.network={path}" for role, path in networks.items()]
    run(small_recipe(shared_data, *settings, name="voc12-resnet38"), out, stop="propagate")
    assert steps.take() == ["train_cam", "infer_cam", "train_affinity", "propagate"]
    moved = networks["seeds"].rename(tmp_path / "moved.pth")
    settings += [f"seeds.train.network={moved}", "seeds.train.epochs=777"]  # which nothing is trained with
    settings.append(f"seeds.train.boundaries={tmp_path / 'none'}")
    recipe = small_recipe(shared_data, *settings, name="voc12-resnet38")
    run(recipe, out, stop="propagate")
    assert steps.take() == []
    moved.write_bytes(b"other weights")
    run(recipe, out, stop="infer_cam")
    assert steps.take() == ["train_cam", "infer_cam"]


def test_a_step_made_again_makes_its_readers_stale(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    shutil.rmtree(done / "train_affinity")
    run(small_recipe(shared_data), done, stop="train_affinity")
    assert steps.take() == ["train_affinity"]
    run(small_recipe(shared_data), done)
    assert steps.take() == STEPS[7:]


def test_a_broken_state_file_counts_as_stale(done: Path, shared_data: Path, steps: FakeSteps) -> None:
    (done / "predict" / "state.json").write_text("{")
    assert "re-running (its state.json is missing or broken)" in printed(small_recipe(shared_data), done)
    assert steps.take() == ["predict"]


def test_the_reference_s_quirks_are_settings_of_its_trainings_alone(
    done: Path, shared_data: Path, steps: FakeSteps
) -> None:
    def of(step: str) -> dict[str, Any]:
        settings: dict[str, Any] = read_json(done / step / "state.json")["made_from"]["settings"]
        return settings

    run(small_recipe(shared_data, "reference=true"), done)
    assert steps.take() == STEPS
    for name in ("bootstrap_train_cam", "train_cam", "train_affinity"):
        assert of(name)["momentum"] == 5e-4, name
    assert of("train_cam")["canny"] == "normalized"
    assert of("train_segmenter")["momentum"] == 0.9
    assert load_recipe(done).seeds.settings.train.momentum == 0.9  # so that reference=false takes them back
    run(small_recipe(shared_data, "reference=false"), done)
    assert of("train_cam")["momentum"] == 0.9


def test_the_reference_counts_absent_classes_as_0(out: Path, tmp_path: Path, steps: FakeSteps) -> None:
    data = make_data(tmp_path / "data")
    for path in (data / "SegmentationClass").glob("*.png"):  # class 7 in no image of either list
        mask = read_label(path)
        write_label(path, np.where(mask == 7, 0, mask).astype(np.uint8))
    settings = ("segmenter.labels=truth",)
    left_out = run(small_recipe(data, *settings), out)["segmenter"]
    counted = run(small_recipe(data, *settings, "reference=true"), out)["segmenter"]
    assert (left_out["miou"], left_out["absent"]) == (1.0, "ignored")
    assert (counted["absent"], counted["per_class"]) == (
        "counted as 0",
        {name: 1.0 if iou is not None else 0.0 for name, iou in left_out["per_class"].items()},
    )
    absent = [iou for iou in left_out["per_class"].values() if iou is None]
    assert absent
    assert counted["miou"] == pytest.approx(1 - len(absent) / 8)
    assert steps.take() == ["train_segmenter", "predict"]  # measured again, not made again
