"""The training loop on a tiny network: resume, accumulation, and what stops it."""

import copy
import itertools
import shutil
import signal
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn

from refusals import GPU_IS_FULL
from sbnet.data.datasets.collection import Collection, Photo
from sbnet.data.training.dataset import TrainingSet
from sbnet.data.training.transforms import TrainTransform
from sbnet.engine.objective import Objective
from sbnet.engine.optimization import TrainSettings
from sbnet.engine.runtime import Runtime
from sbnet.engine.training import fit
from sbnet.engine.training_files import TrainingLog
from sbnet.errors import SBNetError
from sbnet.networks.build import build
from ways import NO_CUDA

RUNTIME = Runtime(device="cpu", precision="32", workers=0, seed=3)


def test_a_log_that_the_disk_refuses(tmp_path):
    log = TrainingLog(tmp_path / "log.csv")
    (tmp_path / "log.csv").symlink_to("/dev/full")
    with pytest.raises(
        SBNetError, match=r"log\.csv cannot be written \(No space left on device\): free space"
    ):
        log.write({"step": 1})


def test_tensorboard_shows_each_step_once(tmp_path):
    """As log.csv does, where a training that was killed after its last checkpoint, at step 10, goes on from that."""
    for start, steps in ((0, (10, 20, 30)), (10, (20, 30, 40))):
        log = TrainingLog(tmp_path / "log.csv", start=start, tensorboard=True)
        for step in steps:
            log.write({"step": step, "loss": 0.5 * step + start})
        log.close()
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload().Scalars("loss")
    assert [(event.step, event.value) for event in events] == [(10, 5.0), (20, 20.0), (30, 25.0), (40, 30.0)]
    rows = (tmp_path / "log.csv").read_text().splitlines()
    assert rows == ["step,loss", "10,5", "20,20", "30,25", "40,30"]


class Tiny(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.conv, self.dropout = nn.Conv2d(3, 4, 3), nn.Dropout(0.5)
        self.head = nn.Linear(4, 2, bias=False)

    def forward(self, images):
        return self.head(self.dropout(self.conv(images).relu().mean((2, 3))))

    def parameter_groups(self):
        return [
            [("conv.weight", self.conv.weight)],
            [("conv.bias", self.conv.bias)],
            [("head.weight", self.head.weight)],
            [],
        ]


def photos(folder, count=7):
    from PIL import Image

    rng = np.random.default_rng(0)
    listed = []
    for index in range(count):
        path = folder / f"{index}.png"
        Image.fromarray(rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)).save(path)
        listed.append(Photo(str(index), path, (1 + index % 2,), None))
    collection = Collection(("background", "a", "b"), tuple(listed), "tiny")
    normalization = lambda photo: photo.float() / 255  # noqa: E731
    return TrainingSet(
        collection, TrainTransform(crop=16, long_side=(16, 32)), normalization=normalization, seed=3
    )


def class_loss(network, batch, done):
    return {"class": nn.functional.multilabel_soft_margin_loss(network(batch["image"]), batch["labels"])}


def train(model, data, folder, losses=class_loss, runtime=RUNTIME, **changes):
    folder.mkdir(exist_ok=True)
    usual = {"epochs": 4, "batch": 2, "learning_rate": 0.05, "checkpoint_every": 5}
    settings = TrainSettings(**(usual | changes))
    return fit(model, data, losses, settings=settings, runtime=runtime, folder=folder, title="tiny")


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


def check_equal(whole, resumed):
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name]), name


@pytest.mark.parametrize("kill_at", [1, 5, 7, 11])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_a_killed_training_ends_with_the_same_weights(tmp_path, kill_at, accumulate):
    data = photos(tmp_path)
    whole, halves = Tiny(), Tiny()
    train(whole, data, tmp_path / "whole", accumulate=accumulate)
    calls = 0

    def dies(network, batch, done):
        nonlocal calls
        calls += 1
        if calls > kill_at:
            raise Killed
        return class_loss(network, batch, done)

    with pytest.raises(Killed):
        train(halves, data, tmp_path / "halves", dies, accumulate=accumulate)
    resumed = Tiny()
    train(resumed, data, tmp_path / "halves", accumulate=accumulate)
    check_equal(whole, resumed)
    steps = [row.split(",")[0] for row in (tmp_path / "halves" / "log.csv").read_text().splitlines()]
    assert steps == [row.split(",")[0] for row in (tmp_path / "whole" / "log.csv").read_text().splitlines()]


class Teacher(Objective):
    """A moving average of the network, which the network must agree with, and a center that each batch moves."""

    def prepare(self, network, device):
        self.center = torch.zeros(2, device=device)
        self.teacher = copy.deepcopy(network).eval().requires_grad_(False)

    def __call__(self, network, batch, progress):
        scores, target = network(batch["image"]), self.teacher(batch["image"])
        self.center.mul_(0.9).add_(target.mean(0), alpha=0.1)
        terms = class_loss(network, batch, progress)
        return {**terms, "agree": (scores - target + self.center).square().mean()}

    def after_step(self, network, step):
        assert not torch.is_grad_enabled()
        assert network.head.weight.grad is not None
        for old, new in zip(self.teacher.parameters(), network.parameters(), strict=True):
            old.lerp_(new, 1 / (1 + step))

    def state_dict(self):
        return {"center": self.center, "teacher": self.teacher.state_dict()}

    def load_state_dict(self, state):
        self.center.copy_(state["center"])
        self.teacher.load_state_dict(state["teacher"])


MODERN = {
    "optimizer": "adamw",
    "schedule": "cosine",
    "warmup": 0.2,
    "clip": 0.5,
    "ema": 0.8,
    "learning_rate": 0.01,
}


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, NO_CUDA])])
@pytest.mark.parametrize("kill_at", [4, 5, 9, 12])
def test_adamw_average_clipping_and_a_teacher_resume_as_they_were(tmp_path, kill_at, device):
    """Killed after a checkpoint, by force or in the last step."""
    data, runtime = photos(tmp_path), RUNTIME.model_copy(update={"device": device})
    whole, halves, resumed = Tiny(), Tiny(), Tiny()
    expected, killed, found = Teacher(), Teacher(), Teacher()
    train(whole, data, tmp_path / "whole", expected, runtime, **MODERN)
    after_step = killed.after_step

    def dies(network, step):
        if step == kill_at:
            raise Killed
        after_step(network, step)

    killed.after_step = dies
    with pytest.raises(Killed):
        train(halves, data, tmp_path / "halves", killed, runtime, **MODERN)
    train(resumed, data, tmp_path / "halves", found, runtime, **MODERN)
    if device == "cpu":
        check_equal(whole, resumed)
        check_equal(expected.teacher, found.teacher)
        assert torch.equal(expected.center, found.center)
    else:
        for name, value in whole.state_dict().items():
            torch.testing.assert_close(resumed.state_dict()[name], value, rtol=1e-3, atol=1e-5)


@pytest.mark.usefixtures("as_in_a_terminal")
def test_an_interrupt_in_the_last_step_still_ends_with_the_average(tmp_path):
    data = photos(tmp_path)
    whole, halves, resumed = Tiny(), Tiny(), Tiny()
    train(whole, data, tmp_path / "whole", **MODERN)
    with pytest.raises(KeyboardInterrupt):
        train(halves, data, tmp_path / "halves", signals(signal.SIGINT, at=12), **MODERN)
    train(resumed, data, tmp_path / "halves", **MODERN)
    check_equal(whole, resumed)


def test_the_average_of_the_weights_is_what_is_left(tmp_path):
    data, decay = photos(tmp_path), 0.6
    plain, averaged, seen = Tiny(), Tiny(), []

    class Watch(Objective):
        def __call__(self, network, batch, progress):
            return class_loss(network, batch, progress)

        def after_step(self, network, step):
            seen.append(network.head.weight.detach().clone())

    train(plain, data, tmp_path / "plain", class_loss)
    expected = Tiny().head.weight.detach().clone()
    train(averaged, data, tmp_path / "averaged", Watch(), ema=decay)
    for step, weight in enumerate(seen, start=1):
        share = min(decay, (1 + step) / (10 + step))
        expected = share * expected + (1 - share) * weight
    torch.testing.assert_close(averaged.head.weight.detach(), expected)
    assert torch.equal(seen[-1], plain.head.weight)
    assert not torch.equal(averaged.head.weight, plain.head.weight)


def test_a_clipped_gradient_is_as_long_as_it_may_be(tmp_path):
    """Plain SGD, one step: the weights move by the learning rate times the clipped gradient."""
    data, before, after = photos(tmp_path, count=2), Tiny(), Tiny()
    train(
        after,
        data,
        tmp_path / "run",
        epochs=1,
        momentum=0,
        weight_decay=0,
        learning_rate=1,
        clip=0.01,
        accumulate=1,
    )
    factors = {"conv.weight": 1, "conv.bias": 2, "head.weight": 10}
    moved = [
        (value - before.state_dict()[name]) / factors[name] for name, value in after.state_dict().items()
    ]
    assert torch.cat([part.flatten() for part in moved]).norm().item() == pytest.approx(0.01, rel=1e-3)


def test_a_checkpoint_of_other_settings_is_refused(tmp_path):
    with pytest.raises(Killed):
        train(Tiny(), photos(tmp_path), tmp_path / "run", kills(at=7))
    with pytest.raises(SBNetError, match=r"checkpoint\.pt: not a checkpoint of this training .*delete it"):
        train(Tiny(), photos(tmp_path), tmp_path / "run", ema=0.9)


def kills(*, at):
    def loss(network, batch, done):
        if done * 12 >= at:
            raise Killed
        return class_loss(network, batch, done)

    return loss


def test_a_killed_training_with_fused_batch_norms(tmp_path):
    """A backbone whose batch norms `fit` computes with the convolutions: the weights end as if never interrupted, what
    is frozen as it began."""
    data = photos(tmp_path)

    def cam_network():
        torch.manual_seed(2)
        return build("sbnet-timm:test_efficientnet", 3, weights="none", freeze=1)

    def cam_loss(network, batch, done):
        cam = network(batch["image"], refine=False).cam.mean((2, 3))[:, 1:]
        return {"class": nn.functional.multilabel_soft_margin_loss(cam, batch["labels"])}

    def dies(network, batch, done):
        if done >= 0.5:
            raise Killed
        return cam_loss(network, batch, done)

    before, whole, halves, resumed = (cam_network() for _ in range(4))
    train(whole, data, tmp_path / "whole", cam_loss)
    with pytest.raises(Killed):
        train(halves, data, tmp_path / "halves", dies)
    train(resumed, data, tmp_path / "halves", cam_loss)
    assert list(whole.state_dict()) == list(before.state_dict())
    changed = {
        name for name, value in before.state_dict().items() if not value.equal(whole.state_dict()[name])
    }
    trainable = {name for name, value in before.named_parameters() if value.requires_grad}
    assert {name for name in trainable if name.startswith("backbone")} <= changed <= trainable
    check_equal(whole, resumed)


@pytest.fixture
def as_in_a_terminal():
    """The usual answers to SIGINT and SIGTERM: what a script begins in the background may ignore them."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
    before = {number: signal.signal(number, handler) for number, handler in usual.items()}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def signals(*numbers, at):
    """A loss during whose call number `at` the process gets these signals."""
    calls = 0

    def loss(network, batch, done):
        nonlocal calls
        calls += 1
        if calls == at:
            for number in numbers:
                signal.raise_signal(number)
        return class_loss(network, batch, done)

    return loss


@pytest.mark.usefixtures("as_in_a_terminal")
@pytest.mark.parametrize(("number", "error"), [("SIGINT", KeyboardInterrupt), ("SIGTERM", SystemExit)])
@pytest.mark.parametrize(("accumulate", "at", "kept"), [(1, 1, 1), (1, 7, 7), (1, 12, 12), (2, 5, 3)])
def test_an_interrupt_waits_for_the_step_and_keeps_it(tmp_path, capfd, number, error, accumulate, at, kept):
    """12 batches; the checkpoint that is due comes after step 5."""
    data = photos(tmp_path)
    whole, halves, resumed = Tiny(), Tiny(), Tiny()
    train(whole, data, tmp_path / "whole", accumulate=accumulate)
    folder = tmp_path / "halves"
    with pytest.raises(error) as caught:
        train(halves, data, folder, signals(getattr(signal, number), at=at), accumulate=accumulate)
    assert capfd.readouterr().err.startswith("\nsbnet: stopping after this training step")
    if error is KeyboardInterrupt:
        assert str(caught.value) == f"tiny: {kept} of {12 // accumulate} steps are done and saved"
    else:
        assert caught.value.code == 143
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == kept
    assert [path.name for path in folder.iterdir() if path.suffix == ".tmp"] == []
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    facts = train(resumed, data, folder, accumulate=accumulate)
    assert facts["steps"] == 12 // accumulate
    check_equal(whole, resumed)


@pytest.mark.usefixtures("as_in_a_terminal")
def test_a_second_interrupt_leaves_at_once(tmp_path):
    with pytest.raises(KeyboardInterrupt) as caught:
        train(Tiny(), photos(tmp_path), tmp_path / "run", signals(signal.SIGINT, signal.SIGINT, at=7))
    assert str(caught.value) == ""
    assert torch.load(tmp_path / "run" / "checkpoint.pt", weights_only=True)["step"] == 5


@pytest.mark.usefixtures("as_in_a_terminal")
def test_a_second_interrupt_while_the_step_is_written_keeps_the_checkpoint_before(tmp_path, monkeypatch):
    save, saved = torch.save, []

    def interrupted(state, path):
        save(state, path)
        saved.append(state["step"])
        if state["step"] == 7:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("torch.save", interrupted)
    folder = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(Tiny(), photos(tmp_path), folder, signals(signal.SIGINT, at=7))
    assert saved == [5, 7]
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoint.pt"]
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["step"] == 5


@pytest.mark.usefixtures("as_in_a_terminal")
def test_a_program_s_own_handling_of_interrupts_stands(tmp_path):
    """One that ignores them (nohup), one that notes them, and one that trains in a thread of its own."""
    data, noted = photos(tmp_path), []
    for handler in (signal.SIG_IGN, lambda number, _frame: noted.append(number)):
        before = signal.signal(signal.SIGINT, handler)
        try:
            train(Tiny(), data, tmp_path / "run", signals(signal.SIGINT, at=3))
            assert signal.getsignal(signal.SIGINT) is handler
        finally:
            signal.signal(signal.SIGINT, before)
        (tmp_path / "run" / "checkpoint.pt").unlink()
    assert noted == [signal.SIGINT]
    facts = []
    thread = threading.Thread(target=lambda: facts.append(train(Tiny(), data, tmp_path / "thread")))
    thread.start()
    thread.join()
    assert facts[0]["steps"] == 12


@pytest.mark.usefixtures("as_in_a_terminal")
def test_weights_that_an_interrupt_finds_not_finite_are_not_kept(tmp_path):
    def cusp(network, batch, done):
        signal.raise_signal(signal.SIGINT)
        return {"class": (network(batch["image"]) * 0).sum().sqrt()}

    with pytest.raises(
        SBNetError, match=r"the weights of '.*' are not finite after step 1\. The last checkpoint"
    ):
        train(Tiny(), photos(tmp_path), tmp_path / "run", cusp)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_loss_that_is_not_finite_stops_with_its_name(tmp_path):
    def explodes(network, batch, done):
        return {**class_loss(network, batch, done), "boundary": network(batch["image"]).sum() * float("nan")}

    with pytest.raises(SBNetError, match="'boundary' is nan at step 0"):
        train(Tiny(), photos(tmp_path), tmp_path / "run", explodes)


def test_no_images_to_train_on(tmp_path):
    with pytest.raises(SBNetError, match="no images to train on"):
        train(Tiny(), photos(tmp_path, count=0), tmp_path / "run")


def test_the_rate_counts_the_photos_that_there_are(tmp_path, monkeypatch):
    """Four steps of two photos in ten seconds, whatever the batch might hold."""
    clock = itertools.chain([0.0], itertools.repeat(10.0))
    monkeypatch.setattr("sbnet.engine.training.time", SimpleNamespace(perf_counter=lambda: next(clock)))
    facts = train(Tiny(), photos(tmp_path, count=2), tmp_path / "run", batch=8)
    assert (facts["steps"], facts["images_per_second"]) == (4, 0.8)


def test_a_gpu_without_enough_memory_is_told_with_the_remedy(tmp_path):
    def hungry(network, batch, done):
        if done > 0.5:
            raise torch.OutOfMemoryError(GPU_IS_FULL)
        return class_loss(network, batch, done)

    with pytest.raises(SBNetError) as caught:
        train(Tiny(), photos(tmp_path), tmp_path / "run", hungry)
    assert str(caught.value) == (
        "tiny: not enough GPU memory (CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of "
        "79.11 GiB of which 10.12 MiB is free): lower batch and raise accumulate by as much, or lower crop, or stop "
        "other programs that use the GPU"
    )
    assert (tmp_path / "run" / "checkpoint.pt").exists()


def test_the_largest_seed(tmp_path):
    runtime = RUNTIME.model_copy(update={"seed": 2**63 - 1})
    assert train(Tiny(), photos(tmp_path), tmp_path / "run", runtime=runtime)["steps"] == 12


def test_a_foreign_checkpoint_is_named_and_kept(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "checkpoint.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(SBNetError, match=r"checkpoint\.pt"):
        train(Tiny(), photos(tmp_path), folder)
    assert (folder / "checkpoint.pt").read_bytes() == b"not a checkpoint"


def test_fewer_batches_than_one_step_sums(tmp_path):
    with pytest.raises(SBNetError, match="3 batches are fewer than the 4 of one step; lower accumulate"):
        train(Tiny(), photos(tmp_path), tmp_path / "run", epochs=1, accumulate=4)


def test_weights_that_are_not_finite_are_not_kept(tmp_path):
    """A finite loss with an infinite gradient, sqrt at 0, in the last step, which no other loss follows."""

    def cusp(network, batch, done):
        return {"class": (network(batch["image"]) * 0).sum().sqrt()}

    with pytest.raises(
        SBNetError, match=r"the weights of '.*' are not finite after step 1\. The last checkpoint"
    ):
        train(Tiny(), photos(tmp_path, count=2), tmp_path / "run", cusp, epochs=1)
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_bf16_and_tensorboard(tmp_path):
    runtime = RUNTIME.model_copy(update={"precision": "bf16", "tensorboard": True})
    model, seen = Tiny(), set()
    model.conv.register_forward_hook(lambda _module, _inputs, output: seen.add(output.dtype))
    train(model, photos(tmp_path), tmp_path / "run", runtime=runtime)
    assert seen == {torch.bfloat16}
    assert {value.dtype for value in model.state_dict().values()} == {torch.float32}
    assert list((tmp_path / "run").rglob("events.out.tfevents*"))


def test_weights_are_cast_once_for_all_passes_of_a_step(tmp_path):
    """Both passes of a step read the same copy of the weights in bf16, each step a new one."""
    model, casts = Tiny(), []
    model.conv.register_forward_hook(
        lambda _module, _inputs, output: casts.append(output.grad_fn.next_functions[1][0])
    )

    def two_passes(network, batch, done):
        network(batch["image"].flip(-1))
        return class_loss(network, batch, done)

    runtime = RUNTIME.model_copy(update={"precision": "bf16"})
    train(model, photos(tmp_path), tmp_path / "run", two_passes, runtime)
    assert casts[0].name().startswith("ToCopy")
    assert [one is other for one, other in itertools.pairwise(casts[:6])] == [True, False, True, False, True]


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler")
def test_a_compiled_training_is_the_same(tmp_path, monkeypatch):
    """Weights under their names, equal but for rounding; a checkpoint of either goes on in the other."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    data, trained = photos(tmp_path), {}
    for compiled in (False, True):
        trained[compiled] = Tiny()
        trained[compiled].dropout.p = 0.0  # compiled code draws its random numbers in another order
        runtime = RUNTIME.model_copy(update={"compile": compiled})
        train(trained[compiled], data, tmp_path / f"{compiled}", runtime=runtime)
    expected, found = trained[False].state_dict(), trained[True].state_dict()
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-6)
    kept = torch.load(tmp_path / "True" / "checkpoint.pt", weights_only=True)
    assert list(kept["model"]) == list(expected)
    assert trained[True]._compiled_call_impl is not None
