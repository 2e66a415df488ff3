"""What a training writes into its step's folder: the log, a CSV file that grows a row at a time, and TensorBoard's by
choice; the checkpoint. Imports no PyTorch before it is needed.
"""

from __future__ import annotations

import csv
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sbnet.data.io.files import atomic_write
from sbnet.errors import FREE_SPACE, SBNetError

CHECKPOINT = "checkpoint.pt"  # there until the step is done


class Meter:
    """Means of the loss terms and the rate since the last `flush`."""

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        self._sums: dict[str, float] = {}
        self._passes = self._images = 0
        self._since = time.perf_counter()

    def add(self, terms: Mapping[str, float], images: int) -> None:
        for name, value in terms.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
        self._passes += 1
        self._images += images

    def flush(self) -> dict[str, float]:
        """images_per_second, loss (the sum), then each term's mean; and starts over."""
        means = {name: total / self._passes for name, total in self._sums.items()}
        rate = self._images / (time.perf_counter() - self._since)
        self._reset()
        return {"images_per_second": rate, "loss": sum(means.values()), **means}


class TrainingLog:
    """Rows of numbers at `path`. Rows past step `start`, and TensorBoard's, are dropped: a resumed run repeats them."""

    def __init__(self, path: Path, *, start: int = 0, tensorboard: bool = False) -> None:
        self.path = path
        self._keep_rows_until(start)
        self._writer = _tensorboard_writer(path.parent, start) if tensorboard else None

    def _keep_rows_until(self, step: int) -> None:
        if not self.path.exists():
            return
        with self.path.open(newline="") as file:
            rows = list(csv.reader(file))
        kept = rows[:1] + [row for row in rows[1:] if row and row[0].isdigit() and int(row[0]) <= step]
        with atomic_write(self.path) as temporary, temporary.open("w", newline="") as file:
            csv.writer(file).writerows(kept)

    def write(self, row: Mapping[str, Any]) -> None:
        """Append one row; the first one's keys become the header. Raises SBNetError where the disk refuses it."""
        shown = {key: f"{value:.6g}" if isinstance(value, float) else value for key, value in row.items()}
        with _refusals(self.path), self.path.open("a", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if file.tell() == 0:
                writer.writeheader()
            writer.writerow(shown)
        if self._writer is not None:
            with _refusals(self.path.parent / "tensorboard"):
                for key, value in row.items():
                    if key != "step":
                        self._writer.add_scalar(key, value, row["step"])
                self._writer.flush()  # a thread writes; what the disk refused shows here

    def close(self) -> None:
        if self._writer is not None:
            with _refusals(self.path.parent / "tensorboard"):
                self._writer.close()


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SBNetError(
            f"{path} cannot be written ({error.strerror or error}): {FREE_SPACE}; finished work is kept"
        ) from error


def _tensorboard_writer(folder: Path, start: int) -> Any:
    """Earlier event files stay; TensorBoard shows nothing of theirs past step `start`."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise SBNetError(
            "runtime.tensorboard: TensorBoard is not installed; pip install 'sbnet[tensorboard]'"
        ) from error
    with _refusals(folder / "tensorboard"):
        return SummaryWriter(str(folder / "tensorboard"), purge_step=start + 1)


def save_checkpoint(path: Path, step: int, parts: Mapping[str, Any]) -> None:
    """Write all that the next step depends on: `step`, the parts' states, random states. Whole or not at all."""
    import torch

    state = {
        **{name: part.state_dict() for name, part in parts.items()},
        "step": step,
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }
    with atomic_write(path, durable=True) as temporary:
        torch.save(state, temporary)


def load_checkpoint(path: Path, parts: Mapping[str, Any]) -> int:
    """Restore what `save_checkpoint` wrote into the same parts; returns the number of steps done, 0 without a file.

    Raises SBNetError for a file that is no checkpoint of this training.
    """
    if not path.exists():
        return 0
    import torch

    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        for name, part in parts.items():
            part.load_state_dict(state[name])
        torch.set_rng_state(state["random"])
        if state["random_cuda"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all(state["random_cuda"])
        return int(state["step"])
    except Exception as error:
        raise SBNetError(
            f"{path}: not a checkpoint of this training ({error}); delete it to train this step from scratch"
        ) from error
