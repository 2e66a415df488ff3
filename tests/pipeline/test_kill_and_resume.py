"""The real chain on a handful of scenes: whole, killed in the middle of a training, and on a disk that fills up."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.numpy import load_file

from sbnet.config.recipe import load_recipe
from sbnet.pipeline.graph import recipe_steps

SMALL = [
    "data.train=20",
    "data.val=3",
    "data.size=48,64",
    "backbone.weights=none",
    "segmenter.weights=none",
    "runtime.workers=1",
    "runtime.device=cpu",
    "seeds.infer.scales=1",
    *(
        f"{section}.{setting}"
        for section in ("seeds.bootstrap.train", "seeds.train", "refine.train", "segmenter")
        for setting in ("epochs=1", "batch=2", "crop=64", "checkpoint_every=2")
    ),
    *(f"{section}.long_side=64,80" for section in ("seeds.bootstrap.train", "seeds.train", "refine.train")),
]
# The file that says that an image is done, then the others.
HALF_DONE = {
    "infer_cam": ["scores/*.npz"],
    "crf": ["seeds/*.png", "masks/*.png"],
    "propagate": ["masks/*.png"],
    "predict": ["masks_crf/*.png", "masks/*.png"],
}
PATIENCE = 900  # seconds: a hung process ends, a slow one does not
TRAININGS = ("bootstrap_train_cam", "train_cam", "train_affinity", "train_segmenter")


# The command, which gets a signal before a step of a training: its words, then FOLDER STEP SIGNAL. Interrupts come from
# outside and go to all processes of the group, workers too: Ctrl-C on a terminal, and `timeout` and clusters' ends.
SIGNALLED = """
import os, signal, subprocess, sys
from sbnet.cli import main
from sbnet.engine import training

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a script's background jobs lack
*words, folder, at, number = sys.argv[1:]
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


def start(
    out: Path, *words: str, signalled: tuple[str, int, signal.Signals] | None = None
) -> subprocess.Popen[bytes]:
    """The command, leader of a process group of its own, as a shell starts it. signalled: in which training, with how
    many of its steps done, and with what.
    """
    how, told = ("-m", "sbnet.cli"), ()
    if signalled:
        folder, at, number = signalled
        how, told = ("-c", SIGNALLED), (folder, str(at), str(number.value))
    small = [word for word in SMALL if "seeds.method=cam" not in words or ".bootstrap." not in word]
    command = [sys.executable, *how, "run", "quickstart", "--out", str(out), *small, *words, *told]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        start_new_session=True,
    )


def finish(process: subprocess.Popen[bytes]) -> str:
    printed = process.communicate(timeout=PATIENCE)[0].decode()
    assert process.returncode == 0, printed
    return printed


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole") / "run"
    finish(start(out))
    return out


def test_the_chain_ends_with_masks_figures_and_a_page(whole):
    metrics = json.loads((whole / "metrics.json").read_text())
    steps = recipe_steps(load_recipe(whole))
    assert list(metrics) == [measure.name for step in steps for measure in step.spec.measures]
    assert all(0 <= facts["miou"] <= 1 for facts in metrics.values())
    assert len(list((whole / "propagate" / "masks").glob("*.png"))) == 20
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
    printed = finish(start(out))
    assert printed.count(": resuming") == len(HALF_DONE)
    assert {path: path.stat().st_mtime_ns for path in kept} == kept
    assert {path: path.read_bytes() for path in gone} == gone


def test_a_run_killed_in_two_trainings_ends_with_the_same_weights(whole, tmp_path):
    """Each time a step after a checkpoint, so that it is done again."""
    out = tmp_path / "run"
    for victim in ("train_cam", "train_segmenter"):
        process = start(out, signalled=(victim, 5, signal.SIGKILL))
        printed = process.communicate(timeout=PATIENCE)[0].decode()
        assert process.returncode == -signal.SIGKILL, printed
        assert torch.load(out / victim / "checkpoint.pt", weights_only=True)["step"] == 4
        assert not (out / victim / "done.json").exists()
    printed = finish(start(out))
    assert ": resuming" in printed
    for training in TRAININGS:
        ours, theirs = (load_file(folder / training / "model.safetensors") for folder in (out, whole))
        assert all((ours[name] == theirs[name]).all() for name in theirs), training


# One training of 30 steps, whose first checkpoint would never come.
LONG = [
    "seeds.bootstrap.train.consistency=no",
    "seeds.bootstrap.train.epochs=3",
    "seeds.bootstrap.train.checkpoint_every=1000",
    "runtime.workers=2",
    "--to",
    "bootstrap-train-cam",
]


def test_an_interrupted_training_loses_no_step(tmp_path):
    """The step that is under way when the signal comes is the last one done, and the rest comes out as it would have."""
    long, out = tmp_path / "long", tmp_path / "run"
    finish(start(long, *LONG))
    for number, status, at in ((signal.SIGTERM, 143, 8), (signal.SIGINT, 130, 20)):
        process = start(out, *LONG, signalled=("bootstrap_train_cam", at, number))
        printed = process.communicate(timeout=PATIENCE)[0].decode()
        assert process.returncode == status, printed
        assert (
            "stopping after this training step, which is saved; interrupt again to stop at once\n" in printed
        )
        assert (
            f"bootstrap_train_cam stopped; finished work is kept. Resume with: sbnet run {out}\n" in printed
        )
        assert "Traceback" not in printed
        assert torch.load(out / "bootstrap_train_cam" / "checkpoint.pt", weights_only=True)["step"] == at + 1
        assert not list(out.rglob("*.tmp"))
    assert printed.splitlines()[-1].startswith("sbnet: interrupted; ")  # Ctrl-C alone has a last word
    assert "21 of 30 steps are done and saved" in printed.splitlines()[-1]
    assert ": resuming" in finish(start(out, *LONG))
    ours, theirs = (load_file(folder / "bootstrap_train_cam" / "model.safetensors") for folder in (out, long))
    assert all((ours[name] == theirs[name]).all() for name in theirs)


def test_every_step_survives_a_full_disk(whole, tmp_path):
    """Each ends with status 2 and a message, loses nothing and leaves nothing half-written; with room it resumes."""
    isolated = ["unshare", "--map-root-user", "--mount"]
    trial = [*isolated, "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if not shutil.which("unshare") or subprocess.run(trial, capture_output=True).returncode:
        pytest.skip("needs permission to mount a small disk")
    driver = Path(__file__).with_name("full_disk.py")
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [*isolated, sys.executable, str(driver), str(whole), str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=PATIENCE)
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
