"""Ctrl-C put off until the current training step is done, so that it can be saved."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

# What is put off, each where the program has no handler of its own: then Python's stands, or none.
USUAL: dict[signal.Signals, Any] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
}
NOTICE = b"\nsbnet: stopping after this training step, which is saved; interrupt again to stop at once\n"


class Interrupt:
    """received: the first SIGINT (Ctrl-C) or SIGTERM (`kill`, a cluster's end of time) since `put_off_interrupts`."""

    received: signal.Signals | None = None

    def error(self, message: str) -> BaseException:
        """What the signal would have raised: KeyboardInterrupt; for SIGTERM, a process's end with status 143."""
        if self.received is signal.SIGTERM:
            return SystemExit(128 + signal.SIGTERM)
        return KeyboardInterrupt(message)


@contextmanager
def put_off_interrupts() -> Iterator[Interrupt]:
    """Within it the first SIGINT or SIGTERM is only noted, with a notice on stderr; a second one acts at once.

    Nothing is put off in other threads than the main one, which alone gets signals, nor where the program ignores them
    (`nohup`) or handles them itself.
    """
    interrupt = Interrupt()
    ours: list[signal.Signals] = []

    def as_usual() -> None:
        for number in ours:
            signal.signal(number, USUAL[number])

    def note(number: int, _frame: FrameType | None) -> None:
        interrupt.received = signal.Signals(number)
        as_usual()
        if sys.__stderr__ is not None:
            # Past Python's buffer, which may be in the middle of a write.
            with suppress(OSError, ValueError):
                os.write(sys.__stderr__.fileno(), NOTICE)

    if threading.current_thread() is threading.main_thread():
        ours += [number for number, usual in USUAL.items() if signal.getsignal(number) is usual]
    for number in ours:
        signal.signal(number, note)
    try:
        yield interrupt
    finally:
        as_usual()
