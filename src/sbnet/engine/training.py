"""The one training loop: every network of a run is trained by `fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sbnet.data.training.dataset import EpochSampler, TrainingSet, start_worker
from sbnet.engine.objective import FunctionObjective, Losses, Objective
from sbnet.engine.optimization import TrainSettings, WeightAverage, build_optimizer, set_learning_rate
from sbnet.engine.resources import fast_steps, gpu_memory_told
from sbnet.engine.runtime import Runtime
from sbnet.engine.training_files import CHECKPOINT, Meter, TrainingLog, load_checkpoint, save_checkpoint
from sbnet.errors import SBNetError
from sbnet.work.interrupt import put_off_interrupts
from sbnet.work.progress import training_progress

LOG_EVERY = 10  # optimizer steps a row of the log
LESS_MEMORY = "lower batch and raise accumulate by as much, or lower crop"
KEPT = "The last checkpoint is kept. Lower learning_rate, set clip, or set runtime.precision=32"


def fit(
    model: nn.Module,
    samples: TrainingSet,
    objective: Objective | Losses,
    *,
    settings: TrainSettings,
    runtime: Runtime,
    folder: Path,
    title: str,
    hold: int = 1,
    head_rate: float = 10.0,
) -> dict[str, Any]:
    """Train `model` in place, minimising the sum of the objective's terms over `samples`.

    hold, head_rate: see `set_learning_rate` and `build_optimizer`. With `settings.ema` the model ends with the averaged
    weights. Returns facts: steps, images, seconds, and images per second of this call.

    Writes `log.csv` and, every `checkpoint_every` steps and after the step that Ctrl-C or SIGTERM comes in,
    `checkpoint.pt` into `folder`. A checkpoint found there is resumed, to the same weights as without an interruption
    (same machine and settings; on a GPU, whose atomic sums have no fixed order, nearly the same).

    Raises SBNetError for no images, for fewer batches than one accumulated step takes, where a loss or a weight is not
    finite, naming it, and where the GPU's memory does not suffice.
    """
    if not len(samples):
        raise SBNetError(f"{title}: no images to train on; check the train list")
    if not isinstance(objective, Objective):
        objective = FunctionObjective(objective)
    fabric = runtime.fabric(model)
    torch.manual_seed(runtime.seed)  # dropout
    per_epoch = EpochSampler.batches_per_epoch(len(samples), settings.batch)
    per_batch = min(settings.batch, len(samples))
    steps = settings.epochs * per_epoch // settings.accumulate
    if not steps:
        raise SBNetError(
            f"{title}: {settings.epochs * per_epoch} batches are fewer than the {settings.accumulate} of one step; "
            "lower accumulate or batch, or raise epochs"
        )
    model.to(memory_format=torch.channels_last)
    model.train()
    with gpu_memory_told(title, LESS_MEMORY):
        network, optimizer = fabric.setup(model, build_optimizer(model, settings, head_rate=head_rate))
        objective.prepare(model, fabric.device)
    average = WeightAverage(model, settings.ema) if settings.ema else None
    parts: dict[str, Any] = {"model": model, "optimizer": optimizer, "objective": objective}
    parts |= {"average": average} if average else {}
    checkpoint = folder / CHECKPOINT
    first = step = load_checkpoint(checkpoint, parts)
    batches = _batches(samples, settings, runtime, fabric, first=step * settings.accumulate)
    log = TrainingLog(folder / "log.csv", start=step, tensorboard=runtime.tensorboard)
    started, meter = time.perf_counter(), Meter()
    with (
        gpu_memory_told(title, LESS_MEMORY),
        fast_steps(model, fabric.device, compiled=runtime.compile),
        training_progress(title, steps, start=step) as progress,
        put_off_interrupts() as interrupt,
    ):
        while step < steps and not interrupt.received:
            rate = set_learning_rate(optimizer, settings, step, steps, hold=hold)
            optimizer.zero_grad(set_to_none=True)
            for _ in range(settings.accumulate):
                # The network's own autocast would cast weights to half precision in every pass; around one that is
                # off they are cast once for all passes, until the outermost ends.
                with torch.autocast(fabric.device.type, enabled=False):
                    terms = objective(network, next(batches), step / steps)
                values = torch.stack(tuple(terms.values()))
                meter.add(_finite(terms, values, title, step), per_batch)
                fabric.backward(values.sum() / settings.accumulate)
            if settings.clip:
                fabric.clip_gradients(network, optimizer, max_norm=settings.clip, error_if_nonfinite=False)
            optimizer.step()
            step += 1
            if average:
                average.update(step)
            with torch.no_grad():
                objective.after_step(model, step)
            if step % LOG_EVERY == 0 or step == steps:
                epoch = round(step * settings.accumulate / per_epoch, 3)
                row = {"step": step, "epoch": epoch, "lr": rate, **meter.flush()}
                log.write(row)
                progress(step, row)
            due = step % settings.checkpoint_every == 0
            if due or step == steps:
                _check_weights(model, title, step)
            if due and step < steps:
                save_checkpoint(checkpoint, step, parts)
    log.close()
    if interrupt.received:
        _check_weights(model, title, step)
        save_checkpoint(checkpoint, step, parts)
        raise interrupt.error(f"{title}: {step} of {steps} steps are done and saved")
    if average:
        average.apply()
    seconds = time.perf_counter() - started
    facts: dict[str, Any] = {"steps": steps, "images": len(samples), "training_seconds": round(seconds, 1)}
    if step > first:  # else an interrupt came in the last step, and no more than the end was left
        trained = (step - first) * per_batch * settings.accumulate
        facts["images_per_second"] = round(trained / seconds, 2)
    return facts


def _batches(
    samples: TrainingSet, settings: TrainSettings, runtime: Runtime, fabric: Fabric, *, first: int
) -> Iterator[Any]:
    """All batches from number `first` on, on the device. The loader's own generator leaves torch's state alone."""
    loader = DataLoader(
        samples,
        batch_sampler=EpochSampler(
            len(samples), epochs=settings.epochs, seed=runtime.seed, batch_size=settings.batch, first=first
        ),
        num_workers=runtime.worker_count,
        worker_init_fn=start_worker,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator().manual_seed(runtime.seed),
    )
    for batch in loader:
        yield samples.on_device(batch, fabric.device)


def _check_weights(model: nn.Module, title: str, step: int) -> None:
    """Before they are kept: a loss may be finite and its gradient not."""
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise SBNetError(f"{title}: the weights of '{name}' are not finite after step {step}. {KEPT}")


def _finite(terms: Mapping[str, Tensor], values: Tensor, title: str, step: int) -> dict[str, float]:
    """The terms as numbers: fetched from the device at once, for each fetch waits for it."""
    numbers = dict(zip(terms, values.tolist(), strict=True))
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise SBNetError(f"{title}: the loss term '{name}' is {number} at step {step}. {KEPT}")
    return numbers
