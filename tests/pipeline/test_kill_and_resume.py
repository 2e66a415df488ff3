"""The real chain on a handful of scenes: whole, killed in the middle of a training, and on a disk that fills up."""

import json
import shutil
import signal
import subprocess
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

import processes
from sbnet.config.recipe import load_recipe
from sbnet.pipeline.graph import recipe_steps

SMALL = [
    "data.train=12",
    "data.val=3",
    "data.size=48,64",
    "backbone.weights=none",
    "segmenter.weights=none",
    "runtime.workers=0",
    "runtime.device=cpu",
    "seeds.infer.scales=1",
    *(
        f"{section}.{setting}"
        for section in ("seeds.bootstrap.train", "seeds.train", "refine.train", "segmenter")
        for setting in ("epochs=1", "batch=2", "crop=48", "checkpoint_every=2")
    ),
    *(f"{section}.long_side=48,64" for section in ("seeds.bootstrap.train", "seeds.train", "refine.train")),
]
# The file that says that an image is done, then the others.
HALF_DONE = {
    "infer_cam": ["scores/*.npz"],
    "crf": ["seeds/*.png", "masks/*.png"],
    "propagate": ["masks/*.png"],
    "predict": ["masks_crf/*.png", "masks/*.png"],
}
TRAININGS = ("bootstrap_train_cam", "train_cam", "train_affinity", "train_segmenter")


# The command, which gets a signal before a step of a training: FOLDER STEP SIGNAL, its words. Interrupts come from
# outside and go to all processes of the group, workers too: Ctrl-C on a terminal, and `timeout` and clusters' ends.
SIGNALLED = """
import os, signal, subprocess, sys
from sbnet.cli import main
from sbnet.engine import training

folder, at, number, *words = sys.argv[1:]
to_all = "import os, signal, sys; n = int(sys.argv[1]); signal.signal(n, signal.SIG_IGN); os.killpg(0, n)"
under_way = []

class Log(training.TrainingLog):
    def __init__(self, path, **options):
        under_way[:] = [path.parent.name]
        super().__init__(path, **options)

def set_rate(optimizer, settings, step, steps, usual=training.set_learning_rate, **how):
    if (*under_way, step) == (folder, int(at)):
        if int(number) == signal.SIGKILL:
            os.kill(os.getpid(), signal.SIGKILL)
        subprocess.run([sys.executable, "-c", to_all, number], check=True)
    return usual(optimizer, settings, step, steps, **how)

training.TrainingLog, training.set_learning_rate = Log, set_rate
main(words)
"""


def words(out: Path, *more: str) -> list[str]:
    small = [word for word in SMALL if "seeds.method=cam" not in more or ".bootstrap." not in word]
    return ["run", "quickstart", "--out", str(out), *small, *more]


def finish(out: Path, *more: str) -> str:
    """Runs the command to its end; gives what it printed."""
    ended = processes.command(*words(out, *more), together=True, OMP_NUM_THREADS="1")
    assert ended.returncode == 0, ended.stdout
    return ended.stdout


def signalled(
    folder: str, at: int, number: signal.Signals, out: Path, *more: str
) -> subprocess.CompletedProcess[str]:
    """The command, which in this training, with so many of its steps done, gets this signal."""
    told = (folder, str(at), str(number.value), *words(out, *more))
    return processes.python(SIGNALLED, *told, together=True, OMP_NUM_THREADS="1")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(out)
    return out


def test_the_chain_ends_with_masks_figures_and_a_page(whole):
    metrics = json.loads((whole / "metrics.json").read_text())
    steps = recipe_steps(load_recipe(whole))
    assert list(metrics) == [measure.name for step in steps for measure in step.spec.measures]
    assert all(0 <= facts["miou"] <= 1 for facts in metrics.values())
    assert len(list((whole / "propagate" / "masks").glob("*.png"))) == 12
    assert len(list((whole / "predict" / "masks").glob("*.png"))) == 3
    for step in steps:
        for kind in step.spec.writes:
            assert (whole / step.name / kind.place).exists(), step.name
    for shown in ("raw", "boundaries"):
        assert len(list((whole / "infer_cam" / shown).iterdir())) == 12
    assert len(list((whole / "predict" / "train_masks").iterdir())) == 12
    page = (whole / "report.html").read_text(encoding="utf-8")
    assert "<table" in page
    for title in (
        "Raw CAM",
        "Boundary labels",
        "Predicted boundary",
        "Segmenter",
        "Ground truth",
        "IoU of each class",
    ):
        assert title in page, title
    assert page.count("<img src=") == 12 * 11 + 3 * 4
    assert 'class="none"' not in page


def test_half_done_steps_resume_image_by_image(whole, tmp_path):
    """As a kill leaves them: some outputs there, no done.json. What is there stays; the rest comes out the same."""
    out = tmp_path / "run"
    shutil.copytree(whole, out)
    kept, gone = {}, {}
    for step, files in HALF_DONE.items():
        (out / step / "done.json").unlink()
        outputs = sorted((out / step).glob(files[0]))
        assert len(outputs) > 2
        for position, path in enumerate(outputs):
            if position % 3:
                gone[path] = path.read_bytes()
                for pattern in files:
                    (out / step / pattern.replace("*", path.stem)).unlink()
            else:
                kept[path] = path.stat().st_mtime_ns
    printed = finish(out)
    assert printed.count(": resuming") == len(HALF_DONE)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {path: path.read_bytes() for path in gone} == gone


def test_a_run_killed_in_two_trainings_ends_with_the_same_weights(whole, tmp_path):
    """Each time a step after a checkpoint, so that it is done again."""
    out = tmp_path / "run"
    for victim in ("train_cam", "train_segmenter"):
        ended = signalled(victim, 5, signal.SIGKILL, out, "runtime.workers=1")
        assert ended.returncode == -signal.SIGKILL, ended.stdout
        assert torch.load(out / victim / "checkpoint.pt", weights_only=True)["step"] == 4
        assert not (out / victim / "done.json").exists()
    printed = finish(out)
    assert ": resuming" in printed
    for training in TRAININGS:
        ours, theirs = (load_file(folder / training / "model.safetensors") for folder in (out, whole))
        assert all((ours[name] == theirs[name]).all() for name in theirs), training


# One training of 12 steps, whose first checkpoint would never come.
LONG = [
    "seeds.bootstrap.train.consistency=no",
    "seeds.bootstrap.train.epochs=2",
    "seeds.bootstrap.train.checkpoint_every=1000",
    "--to",
    "bootstrap-train-cam",
]


def test_an_interrupted_training_loses_no_step(tmp_path):
    """The step that is under way when the signal comes is the last one done, and the rest comes out as it would have."""
    long, out, folder = tmp_path / "long", tmp_path / "run", "bootstrap_train_cam"
    finish(long, *LONG)
    for number, status, at in ((signal.SIGTERM, 143, 2), (signal.SIGINT, 130, 7)):
        ended = signalled(folder, at, number, out, *LONG, "runtime.workers=2")
        printed = ended.stdout
        assert ended.returncode == status, printed
        assert (
            "stopping after this training step, which is saved; interrupt again to stop at once\n" in printed
        )
        assert f"{folder} stopped; finished work is kept. Resume with: sbnet run {out}\n" in printed
        assert "Traceback" not in printed
        assert torch.load(out / folder / "checkpoint.pt", weights_only=True)["step"] == at + 1
        assert not list(out.rglob("*.tmp"))
    assert printed.splitlines()[-1].startswith("sbnet: interrupted; ")  # Ctrl-C alone has a last word
    assert "8 of 12 steps are done and saved" in printed.splitlines()[-1]
    assert ": resuming" in finish(out, *LONG, "runtime.workers=2")
    ours, theirs = (load_file(run / folder / "model.safetensors") for run in (out, long))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_every_step_survives_a_full_disk(whole, tmp_path):
    """Each ends with status 2 and a message, loses nothing and leaves nothing half-written; with room it resumes."""
    trial = ["unshare", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(trial, capture_output=True).returncode:
        pytest.skip("needs permission to mount a small disk")
    driver = Path(__file__).with_name("full_disk.py").read_text()
    ended = processes.python(driver, whole, tmp_path, OMP_NUM_THREADS="1")
    assert ended.returncode == 0, ended.stderr
    steps = [step.name for step in recipe_steps(load_recipe(whole))]
    found = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [facts["step"] for facts in found] == steps[3:]
    for facts in found:
        assert (facts["status"], facts["again"], facts["halves"]) == (2, 0, []), facts
        assert facts["done"] == steps[: steps.index(facts["step"])]
        place = f"disk full at {tmp_path}/run/{facts['step']}/"
        assert facts["error"].startswith(f"sbnet: {place}"), facts
        assert facts["error"].endswith("free space or choose another folder; finished work is kept\n")
