"""The one training loop: every network of a run is trained by `fit`."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from sbnet.data.training.dataset import EpochSampler, TrainingSet, collate, seed_worker
from sbnet.engine.gpu_memory import gpu_memory_told
from sbnet.engine.interrupt import put_off_interrupts
from sbnet.engine.log import Meter, TrainingLog
from sbnet.engine.optimizer import Plan, build_optimizer, set_learning_rate
from sbnet.work.progress import training_progress
from sbnet.engine.resume import CHECKPOINT, load_checkpoint, save_checkpoint
from sbnet.engine.runtime import Runtime
from sbnet.engine.speed import Losses, fast_steps, loss_terms
from sbnet.errors import SBNetError

LOG_EVERY = 10  # optimiser steps a row of the log
SMALLER = "lower batch and raise accumulate by as much, or lower crop"  # steps that take less memory


def fit(
    model: nn.Module,
    photos: TrainingSet,
    losses: Losses,
    *,
    plan: Plan,
    runtime: Runtime,
    folder: Path,
    title: str,
    checkpoint_every: int = 100,
) -> dict[str, Any]:
    """Train `model` in place on `photos`, minimising the sum of the terms that `losses` gives.

    Writes `log.csv` and `checkpoint.pt` (model, optimiser, position, random state) into `folder`; found there, the
    checkpoint is continued, and the run ends with the same weights as one that was never interrupted (same machine
    and settings; on a GPU, whose atomic sums have no fixed order, nearly the same). A checkpoint is written every
    `checkpoint_every` steps, and by Ctrl-C or SIGTERM after the step under way (`put_off_interrupts`).
    Returns facts: steps, photos, seconds and photos per second of this call.

    Raises SBNetError where a loss is not finite, naming the term, where there is no photo, where all batches together
    do not fill one accumulated step, and where the GPU's memory does not suffice.
    """
    if not len(photos):
        raise SBNetError(f"{title}: there is no photo to train on; check the train list")
    fabric = runtime.fabric(model)
    runtime.seed_torch()
    per_epoch = EpochSampler.batches_per_epoch(len(photos), plan.batch)
    per_batch = min(plan.batch, len(photos))
    steps = plan.epochs * per_epoch // plan.accumulate
    if not steps:
        raise SBNetError(
            f"{title}: {plan.epochs * per_epoch} batches are fewer than the {plan.accumulate} that one step sums; "
            "lower accumulate or batch, or raise epochs"
        )
    model.to(memory_format=torch.channels_last)
    model.train()
    with gpu_memory_told(title, SMALLER):
        network, optimizer = fabric.setup(model, build_optimizer(model, plan))
    checkpoint = folder / CHECKPOINT
    step = load_checkpoint(checkpoint, model, optimizer) if checkpoint.exists() else 0
    batches = _batches(photos, plan, runtime, fabric, first=step * plan.accumulate)
    log = TrainingLog(folder / "log.csv", start=step, tensorboard=runtime.tensorboard)
    started, first, meter = time.perf_counter(), step, Meter()
    with (
        gpu_memory_told(title, SMALLER),
        fast_steps(model, fabric.device, compiled=runtime.compile),
        training_progress(title, steps, start=step) as progress,
        put_off_interrupts() as interrupt,
    ):
        while step < steps and not interrupt.received:
            rate = set_learning_rate(optimizer, plan, step, steps)
            optimizer.zero_grad(set_to_none=True)
            for _ in range(plan.accumulate):
                terms = loss_terms(losses, network, next(batches), step / steps, fabric.device)
                values = torch.stack(tuple(terms.values()))
                meter.add(_finite(terms, values, title, step), per_batch)
                fabric.backward(values.sum() / plan.accumulate)
            optimizer.step()
            step += 1
            if step % LOG_EVERY == 0 or step == steps:
                row = {
                    "step": step,
                    "epoch": round(step * plan.accumulate / per_epoch, 3),
                    "lr": rate,
                    **meter.flush(),
                }
                log.write(row)
                progress(step, row)
            if step % checkpoint_every == 0 or step == steps:
                _check_weights(model, title, step)
            if step % checkpoint_every == 0 and step < steps:
                save_checkpoint(checkpoint, model, optimizer, step)
    log.close()
    if interrupt.received:
        _check_weights(model, title, step)
        save_checkpoint(checkpoint, model, optimizer, step)
        raise interrupt.error(f"{title}: {step} of {steps} steps are done and kept")
    seconds = time.perf_counter() - started
    facts: dict[str, Any] = {
        "steps": steps,
        "photos": len(photos),
        "training_seconds": round(seconds, 1),
    }
    if step > first:  # else an interrupt came in the last step, and no more than the end was left
        facts["photos_per_second"] = round((step - first) * per_batch * plan.accumulate / seconds, 2)
    return facts


def _batches(photos: TrainingSet, plan: Plan, runtime: Runtime, fabric: Any, *, first: int) -> Iterator[Any]:
    """All batches from number `first` on, on the device. The loader's own generator leaves torch's state alone."""
    sampler = EpochSampler(
        len(photos), epochs=plan.epochs, seed=runtime.seed, batch_size=plan.batch, first=first
    )
    loader = DataLoader(
        photos,
        batch_sampler=sampler,
        num_workers=runtime.worker_count,
        collate_fn=collate,
        worker_init_fn=seed_worker,
        pin_memory=fabric.device.type == "cuda",
        generator=torch.Generator().manual_seed(runtime.seed),
    )
    for batch in loader:
        yield photos.on_device(batch, fabric.device)


def _check_weights(model: nn.Module, title: str, step: int) -> None:
    """Before they are kept: a loss may be finite and its gradient not."""
    for name, weight in model.named_parameters():
        if not weight.isfinite().all():
            raise SBNetError(
                f"{title}: the weights of '{name}' are not finite after step {step}. The last checkpoint is kept. "
                "Lower learning_rate, or set runtime.precision=32"
            )


def _finite(terms: Mapping[str, Tensor], values: Tensor, title: str, step: int) -> dict[str, float]:
    """The terms as numbers: fetched from the device at once, for each fetch waits for it."""
    numbers = dict(zip(terms, values.tolist(), strict=True))
    for name, number in numbers.items():
        if not math.isfinite(number):
            raise SBNetError(
                f"{title}: the loss term '{name}' is {number} at step {step}. The last checkpoint is kept. "
                "Lower learning_rate, or set runtime.precision=32"
            )
    return numbers
