from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from fake_steps import STEPS, FakeSteps
from sbnet import models
from sbnet.cli import execute
from sbnet.config import source
from sbnet.config.recipe import load_recipe
from sbnet.data.io.files import read_json, read_label, write_label
from sbnet.errors import SBNetError
from sbnet.networks.model_file import save_model
from sbnet.registry import METHODS


def shell(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sbnet.cli", *arguments]
    return subprocess.run(
        command, capture_output=True, encoding="utf-8", env={**os.environ, **variables}, timeout=300
    )


@pytest.fixture(scope="session")
def segmenter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an untrained segmenter of three classes."""
    folder = tmp_path_factory.mktemp("run")
    model = models.build("deeplabv2-lite0", classes=3, weights="none")
    meta = {"classes": ["background", "cat", "dog"]}
    save_model(model, folder / "train_segmenter" / "model.safetensors", meta=meta)
    load_recipe("quickstart").write(folder / "recipe.yaml")
    return folder


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (40, 56, 3), np.uint8)
    Image.fromarray(pixels).save(folder / "a.jpg")
    Image.fromarray(pixels[:, :33]).save(folder / "b.png")
    return folder


def test_help_shows_where_to_start(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["--help"]) == 0
    printed = capsys.readouterr().out
    for word in ("sbnet run quickstart", "sbnet predict", "methods", "export", "Steps of a run"):
        assert word in printed


def test_the_shell_sees_status_and_message() -> None:
    ended = shell("rum")
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr == 'sbnet: Unknown command "rum". Did you mean "run"?; see sbnet --help\n'
    assert "Traceback" in shell("recipes", "nothing", "--debug").stderr
    assert "Traceback" in shell("recipes", "nothing", SBNET_DEBUG="1").stderr


@pytest.mark.parametrize(
    "verb", ["run", "crf", "train-cam", "sweep", "predict", "eval", "export", "recipes", "methods", "checks"]
)
def test_every_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert execute([verb, "--help"]) == 0
    assert f"Usage: sbnet {verb}" in capsys.readouterr().out


def test_mistypings(refused: Any, tmp_path: Path) -> None:
    assert "Did you mean --from?" in refused("run", "quickstart", "--frm", "x")
    assert "(did you mean 'quickstart'?)" in refused("run", "quikstart")
    assert "(did you mean 'propagate'?)" in refused(
        "run", "quickstart", "--from", "propagat", "--out", tmp_path / "o"
    )
    assert "(did you mean 'epochs'?)" in refused("run", "quickstart", "seeds.train.epoch=3")
    assert "--data FOLDER" in refused("run", "voc12-lite")
    assert "no such folder" in refused("run", "voc12-lite", "--data", tmp_path / "none")
    assert f"--out {tmp_path}" in refused("propagate", tmp_path)
    assert not (tmp_path / "o").exists()


@pytest.mark.parametrize(
    ("words", "what"),
    [
        ("data check", "ROOT requires an argument: the folder that holds JPEGImages"),
        ("run", "RECIPE requires an argument: a recipe (see `sbnet recipes`)"),
        ("predict a.jpg --out x", "--model requires an argument: a run folder"),
        ("export a --out x", "--to requires an argument: the format"),
        ("data fetch voc12", "--out requires an argument: the folder to unpack into"),
        ("convert-cams", "FOLDER requires an argument: "),
    ],
)
def test_a_forgotten_argument_is_reported_with_what_it_is(words: str, what: str, refused: Any) -> None:
    error = refused(*words.split())
    assert what in error
    verb = words if words == "data check" else words.split()[0]
    assert error.endswith(f"; see sbnet {'data fetch' if 'fetch' in words else verb} --help\n")


def test_an_unknown_verb_of_a_group(refused: Any) -> None:
    assert refused("data", "chek").endswith('Did you mean "check"?; see sbnet data --help\n')


def test_run_and_the_verbs_of_steps(
    steps: FakeSteps, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], refused: Any
) -> None:
    out = tmp_path / "out"
    begin = ["run", "voc12-lite", "--data", str(shared_data), "--out", str(out), "predict.crf=no"]
    assert execute([*begin, "--to", "train-cam"]) == 0
    assert steps.take() == STEPS[:4]
    assert execute(["propagate", str(out), "refine.propagate.steps=3"]) == 0
    assert steps.take() == STEPS[4:8]
    assert execute(["run", str(out)]) == 0
    assert steps.take() == STEPS[8:]
    printed = capsys.readouterr().out
    assert "Propagation" in printed
    assert f"report: {out / 'report.html'}" in printed
    assert read_json(out / "propagate" / "state.json")["made_from"]["settings"]["steps"] == 3
    (out / "report.html").unlink()
    assert execute(["report", str(out)]) == 0
    assert (out / "report.html").exists()
    mask = next((out / "predict" / "masks").iterdir())
    write_label(mask, np.zeros_like(read_label(mask)))
    assert read_json(out / "metrics.json")["segmenter"]["miou"] == 1
    assert execute(["evaluate", str(out)]) == 0
    assert read_json(out / "metrics.json")["segmenter"]["miou"] < 1
    assert steps.take() == []
    assert execute(["export", str(out), "--to", "areas", "--out", str(tmp_path / "areas")]) == 0
    rows = (tmp_path / "areas" / "areas.csv").read_text().splitlines()
    assert {row.split(",")[0] for row in rows[1:]} == {
        path.stem for path in (out / "predict/masks").iterdir()
    }
    assert "is a run of recipe 'voc12-lite', not of 'quickstart'" in refused(
        "run", "quickstart", "--out", out
    )


def test_every_step_has_a_verb(
    steps: FakeSteps, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also those of methods that the run does not have: they are refused by the run, with its own steps."""
    out = str(tmp_path / "out")
    begin = ["run", "voc12-lite", "--data", str(shared_data), "--out", out, "--to", STEPS[0]]
    assert execute(begin) == 0
    assert steps.take() == STEPS[:1]
    for number, name in enumerate(STEPS):
        verb = {"predict": "predict-val"}.get(name, name.replace("_", "-"))
        assert execute([verb, out]) == 0
        assert steps.take() == STEPS[max(1, number) : number + 1]
    capsys.readouterr()
    assert execute(["--help"]) == 0
    listed = capsys.readouterr().out
    specs = [spec for method in METHODS.entries() for spec in _steps(method)]
    assert all(f" {spec.name.replace('_', '-')} " in listed for spec in specs)


def _steps(method: Any) -> list[Any]:
    """The steps of a method's defaults; none where it has required settings."""
    required = any(field.is_required() for field in method.Settings.model_fields.values())
    return [] if required else method.steps(method.Settings())


def test_another_method_for_a_packaged_recipe(
    steps: FakeSteps, shared_data: Path, tmp_path: Path, refused: Any
) -> None:
    """The recipe's settings of its own method are dropped, those that both have stay, unknown ones are refused."""
    out = tmp_path / "seam"
    begin = ("run", "quickstart", "--data", shared_data, "--out", out, "seeds.method=seam")
    error = refused(*begin, "seeds.train.boundary_weight=1")
    assert "'seeds.train.boundary_weight=1': 'seeds.train' has no setting 'boundary_weight'" in error
    assert not out.exists()
    assert execute([*map(str, begin), "seeds.train.epochs=3"]) == 0
    assert steps.take() == STEPS[3:]
    made = read_json(out / "train_cam" / "state.json")["made_from"]["settings"]
    assert (made["epochs"], made["batch"]) == (3, 8)
    assert "smoothness_weight" not in made
    assert execute(["run", str(out)]) == 0
    assert steps.take() == []


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("seeds.method=seem", "seeds.method: there is no method 'seem' (did you mean 'seam'?); available: "),
        (
            "segmenter.method=upernt",
            "'segmenter.method=upernt': segmenter.method: |(did you mean 'upernet'?)",
        ),
        ("seeds.method=irn", "seeds.method is 'irn', which is a method for `refine`; available: |sbnet"),
        ("refine.method=seam", "refine.method is 'seam', which is a method for `seeds`; available: |irn"),
        ("seeds.method=cam_files", "'seeds.method=cam_files': seeds.folder is required"),
        (
            "seeds.method=cam_files seeds.folder=mine",  # the recipe's affinities start with the seeds' network
            "'train_affinity' (refine.train) reads Model|choose another method or other settings",
        ),
        ("data.source=vok", "data.source: there is no dataset 'vok' (did you mean 'voc'?)"),
        (
            "refine.method=irn backbone.name=timm:vit_tiny_patch16_224 backbone.weights=none",
            "refine.train: IRN requires |this backbone has strides 16; |choose another backbone, such as |method",
        ),
    ],
)
def test_methods_that_cannot_be_used(settings: str, words: str, refused: Any, tmp_path: Path) -> None:
    error = refused("run", "quickstart", "--out", tmp_path / "run", *settings.split())
    for word in words.split("|"):
        assert word in error
    assert not (tmp_path / "run").exists()


def test_a_recipe_s_file_that_chooses_badly(refused: Any, tmp_path: Path) -> None:
    mine = tmp_path / "mine.yaml"
    mine.write_text("base: quickstart\nrefine:\n  method: affinityne\n")
    assert (
        f"{mine}, line 3: refine.method: there is no method 'affinityne' (did you mean 'affinitynet'?)"
        in (refused("run", mine))
    )
    mine.write_text("base: quickstart\nseeds:\n  method: seam\n  train:\n    boundary_weight: 3\n")
    assert f"{mine}, line 5: 'seeds.train' has no setting 'boundary_weight'" in refused("run", mine)
    mine.write_text("seeds: {method: cam}\n")
    error = refused("run", mine)
    assert f"{mine}: data.source is required (or give --data FOLDER); available: " in error
    assert "scenes" in error
    mine.write_text("base: quickstart\nrefine:\n  method: seam\n")
    assert f"{mine}, line 3: refine.method is 'seam', which is a method for `seeds`" in refused("run", mine)


def test_an_interrupt_ends_with_130(
    steps: FakeSteps, shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(context: object) -> None:
        raise KeyboardInterrupt

    steps.before["crf"] = interrupted
    assert execute(["run", "voc12-lite", "--data", str(shared_data), "--out", str(tmp_path / "out")]) == 130
    printed = capsys.readouterr()
    assert "finished work is kept" in printed.out
    assert f"sbnet run {tmp_path / 'out'}" in printed.out
    assert printed.err == "sbnet: interrupted\n"


def test_a_step_that_refuses_leaves_what_is_done(
    steps: FakeSteps, shared_data: Path, tmp_path: Path, refused: Any
) -> None:
    def refuse(context: Any) -> None:
        raise SBNetError("image.jpg: truncated; replace it")

    steps.before["infer_cam"] = refuse
    out = tmp_path / "out"
    assert refused("run", "voc12-lite", "--data", shared_data, "--out", out) == (
        "sbnet: image.jpg: truncated; replace it\n"
    )
    assert (out / "train_cam" / "done.json").exists()


def test_predict(segmenter: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "masks"
    assert execute(["predict", str(images), "--model", str(segmenter), "--out", str(out), "--crf"]) == 0
    assert f"2 of 2 masks written to {out}\n" in capsys.readouterr().out
    assert read_label(out / "a.png").shape == (40, 56)
    assert Image.open(out / "b.png").mode == "P"
    assert Image.open(out / "overlays" / "b.jpg").size == (33, 40)
    file = segmenter / "train_segmenter" / "model.safetensors"
    other = tmp_path / "plain"
    assert (
        execute(["predict", str(images / "a.jpg"), f"--model={file}", f"--out={other}", "--no-overlay"]) == 0
    )
    assert [path.name for path in other.iterdir()] == ["a.png"]


@pytest.mark.parametrize(("strongest", "told"), [(0, True), (1, False)])
def test_predict_tells_where_most_masks_are_empty(
    strongest: int, told: bool, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = models.build("deeplabv2-lite0", classes=2, weights="none")
    with torch.no_grad():
        model.aspp.c0.bias[strongest] = 1e4
    save_model(model, tmp_path / "a.safetensors", meta={"classes": ["background", "cat"]})
    words = ["predict", images, "--model", tmp_path / "a.safetensors", "--out", tmp_path / "masks"]
    assert execute([str(word) for word in words]) == 0
    out = capsys.readouterr().out
    assert "2 of 2 masks written" in out
    assert ("such as a.png" in out) == told


def test_predict_takes_the_folder_of_a_model_file(segmenter: Path, images: Path, tmp_path: Path) -> None:
    model = segmenter / "train_segmenter"
    assert execute(["predict", str(images), "--model", str(model), "--out", str(tmp_path / "masks")]) == 0


def test_predict_names_every_image_it_could_not_read(
    segmenter: Path, images: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (images / "c.jpg").write_bytes((images / "a.jpg").read_bytes()[:300])
    (images / "d.jpg").write_text("no image")
    out = tmp_path / "masks"
    assert execute(["predict", str(images), "--model", str(segmenter), "--out", str(out)]) == 2
    printed = capsys.readouterr()
    assert "c.jpg" in printed.err
    assert "d.jpg" in printed.err
    assert f"2 of 4 masks written to {out}\n" in printed.out
    assert sorted(path.name for path in out.glob("*.png")) == ["a.png", "b.png"]


def test_predict_tells_what_of_a_folder_it_ignored(
    segmenter: Path,
    images: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    caplog: Any,
    refused: Any,
) -> None:
    (images / "c.jfif").write_bytes((images / "a.jpg").read_bytes())
    for name in ("d.heic", "e.HEIC", "notes.txt", "README", ".hidden"):
        (images / name).touch()
    (images / "f.heic").mkdir()
    out = tmp_path / "masks"
    assert execute(["predict", str(images), "--model", str(segmenter), "--out", str(out)]) == 0
    assert f"3 of 3 masks written to {out}\n" in capsys.readouterr().out
    (told,) = caplog.messages
    assert told.startswith(f"{images}: ignored 4 files (2 .heic, ")
    assert "1 .txt" in told
    assert "1 without suffix" in told
    for path in [*images.glob("[abc].*")]:
        path.unlink()
    error = refused("predict", images, "--model", segmenter, "--out", out)
    assert "no images in this folder (.jpg, " in error
    assert ", but 4 files (2 .heic, " in error


def test_predict_refuses(segmenter: Path, images: Path, tmp_path: Path, refused: Any) -> None:
    def predict(*paths: Path, model: Path = segmenter, out: Path = tmp_path / "masks") -> str:
        return refused("predict", *paths, "--model", model, "--out", out)

    other = tmp_path / "more"
    other.mkdir()
    assert "no images in this folder" in predict(other)
    (tmp_path / "voc" / "JPEGImages").mkdir(parents=True)
    assert f"did you mean {tmp_path / 'voc' / 'JPEGImages'}?" in predict(tmp_path / "voc")
    for suffix in (".png", ".JPG"):
        (other / f"b{suffix}").write_bytes((images / "b.png").read_bytes())
    assert f"{other}: both b.JPG and b.png are named 'b'" in predict(other)
    (other / "b.JPG").unlink()
    (other / "b.png").rename(other / "a.png")
    assert "would both be written as a.png; give it once, rename one" in predict(images, other)
    assert "is given twice" in predict(images / "a.jpg", images)
    assert "no such image or folder" in predict(tmp_path / "none.jpg")
    assert "no images given" in predict()
    assert "choose another folder" in predict(images, out=images)
    told = f"{other} holds no trained segmenter (no model.safetensors); give a run folder"
    assert told in predict(images, model=other)
    shutil.copy(segmenter / "recipe.yaml", other)
    assert f"finish the run: sbnet run {other}" in predict(images, model=other)
    mine = tmp_path / "runs" / "mine"
    shutil.copytree(segmenter, mine)
    assert f"model.safetensors (did you mean {mine}?)" in predict(images, model=mine.parent)
    assert "(did you mean 'mine'?)" in predict(images, model=mine.with_name("mien"))
    for name in ("none", "none.safetensors"):
        told = predict(images, model=tmp_path / name)
        assert f"{name}: no such file or folder; give a run folder" in told
        assert f"relative paths start at {Path.cwd()}" in told
    assert not (tmp_path / "masks").exists()
    model = models.build("affinitynet-lite0", classes=3, weights="none")
    save_model(model, tmp_path / "wrong.safetensors", meta={"classes": ["background", "cat", "dog"]})
    assert "'affinitynet-lite0', which is not a segmenter" in predict(
        images, model=tmp_path / "wrong.safetensors"
    )


def test_what_eval_reads_is_not_replaced(masks: tuple[Path, Path], tmp_path: Path, refused: Any) -> None:
    predictions, truth = masks
    names, classes = tmp_path / "list.txt", tmp_path / "truth" / "classes.txt"
    names.write_text("a\nb\n")
    classes.write_text("thing\n")
    (tmp_path / "link.json").symlink_to(names)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    words = ("eval", predictions, "--ground-truth", truth, "--list", names)
    for target in (names, classes, predictions / "a.png", truth / "d.png", tmp_path / "link.json"):
        assert "would be overwritten" in refused(*words, "--json", target)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    for _ in range(2):  # earlier figures are replaced
        assert execute([*map(str, words), "--json", str(predictions / "figures.json")]) == 0


@pytest.fixture
def masks(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of predictions (a, b, c) and ground truth (a, b, d); a is right, half of b's object is found."""
    predictions, truth = tmp_path / "predictions", tmp_path / "truth"
    right, half = np.zeros((4, 4), np.uint8), np.zeros((4, 4), np.uint8)
    right[:2], half[:1] = 1, 1
    for name, prediction in (("a", right), ("b", half), ("c", right)):
        write_label(predictions / f"{name}.png", prediction)
    for name in ("a", "b", "d"):
        write_label(truth / f"{name}.png", right)
    (truth / "classes.txt").write_text("background\ncat\ndog\n")
    return predictions, truth


def test_eval(masks: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    predictions, truth = masks
    file = tmp_path / "figures.json"
    command = ["eval", str(predictions), "--ground-truth", str(truth), "--json", str(file)]
    assert execute(command) == 0
    facts = json.loads(file.read_text())
    assert facts["per_class"] == {"background": pytest.approx(0.8), "cat": pytest.approx(0.75), "dog": None}
    assert facts["miou"] == pytest.approx(0.775)
    assert (facts["images"], facts["without_ground_truth"], facts["without_prediction"]) == (2, 1, 1)
    printed = capsys.readouterr().out
    assert "77.5" in printed
    assert "2 images; classes of " in printed
    assert "absent classes are " in printed
    assert execute([*command, "--absent", "zero"]) == 0
    assert json.loads(file.read_text())["miou"] == pytest.approx(1.55 / 3)
    names = tmp_path / "names.txt"
    names.write_text("a\n")
    assert execute([*command, "--list", str(names)]) == 0
    assert json.loads(file.read_text())["miou"] == 1


def test_eval_refuses(masks: tuple[Path, Path], tmp_path: Path, refused: Any) -> None:
    predictions, truth = masks
    names = tmp_path / "names.txt"
    names.write_text("a\n\nc\n")
    ground = ("--ground-truth", truth)
    assert f"{names}, line 3: there is no {truth / 'c'}.png" in refused(
        "eval", predictions, *ground, "--list", names
    )
    assert "the list cannot be read" in refused("eval", predictions, *ground, "--list", tmp_path / "no")
    names.write_text("a\na\n")
    assert f"{names}, line 2: 'a' is on line 1 already" in refused(
        "eval", predictions, *ground, "--list", names
    )
    assert "no such folder of masks" in refused("eval", tmp_path / "none", *ground)
    (tmp_path / "empty").mkdir()
    assert "no mask of the same name" in refused("eval", tmp_path / "empty", *ground)
    write_label(predictions / "a.png", np.zeros((3, 5), np.uint8))
    assert "a.png has 5 x 3 pixels, but its ground truth" in refused("eval", predictions, *ground)
    write_label(predictions / "a.png", np.full((4, 4), 7, np.uint8))
    assert "a.png: the mask has the class id 7" in refused("eval", predictions, *ground)


def test_what_there_is(capsys: pytest.CaptureFixture[str]) -> None:
    assert execute(["recipes", "voc12-lite"]) == 0
    assert "\n  source: voc          " in capsys.readouterr().out
    assert execute(["recipes", "voc12-lite-irn"]) == 0
    whole = capsys.readouterr().out
    assert "\n  weight_decay: 0.0005\n" in whole  # a default
    assert execute(["recipes", "voc12-lite-irn", "--file"]) == 0
    assert capsys.readouterr().out == source.find("voc12-lite-irn").read_text(encoding="utf-8")
    assert execute(["recipes", "voc12-light"]) == 2
    assert "did you mean 'voc12-lite'" in capsys.readouterr().err
    assert execute(["models"]) == 0
    told = [line.split() for line in capsys.readouterr().out.splitlines() if line]
    families, backbones = ([words[0] for words in told].index(head) for head in ("FAMILY", "BACKBONE"))
    assert told[families][-1] == "RECIPE"
    assert told[backbones][-1] == "WEIGHTS"
    names = {
        f"{family[0]}-{backbone[0]}"
        for family in told[families + 1 : backbones]
        for backbone in told[backbones + 1 : -1]
        if backbone[0] != "timm:NAME"
    }
    assert names == set(models.model_names())
    assert execute(["checks"]) == 0
    printed = capsys.readouterr().out
    for word in ("torch", "device", "compiled kernels", "packaged weights", "cores", "memory"):
        assert word in printed


@pytest.mark.parametrize("shell_name", ["bash", "zsh", "fish"])
def test_shell_completion_is_installed(tmp_path: Path, shell_name: str) -> None:
    home = {"HOME": str(tmp_path), "SHELL": f"/bin/{shell_name}", "XDG_DATA_HOME": "", "XDG_CONFIG_HOME": ""}
    home["PYTHONUTF8"] = (
        "1"  # cyclopts writes the script in the locale's encoding, which may lack letters of the help
    )
    ended = shell("--install-completion", "--shell", shell_name, **home)
    assert ended.returncode == 0, ended.stderr
    scripts = [path for path in tmp_path.rglob("*") if path.is_file() and "sbnet" in path.name]
    assert any("train-affinity" in path.read_text(encoding="utf-8") for path in scripts)
