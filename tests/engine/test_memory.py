"""Freed memory stays with the process only where and as long as it should."""

import os
import subprocess
import sys

import pytest
import torch

from sbnet.engine import resources as memory
from sbnet.engine.resources import freed_memory_kept

# Page faults of allocating 64 MiB ten times outside and within, and what the process holds then and at last (KiB).
PROBE = """
import resource, torch
from sbnet.engine.resources import freed_memory_kept
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024
faults()
usual = faults()
with freed_memory_kept() as kept:
    faults()
    print(kept, usual, faults(), resident())
print(resident())
"""
linux = pytest.mark.skipif(memory._glibc() is None, reason="not glibc")


def probe() -> tuple[bool, int, int, int, int]:
    """Whether memory is kept, and the numbers that PROBE prints, where the user sets nothing of malloc."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(memory.OF_USER)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    kept, *numbers = done.stdout.split()
    usual, faults, held, last = map(int, numbers)
    return kept == "True", usual, faults, held, last


@linux
def test_freed_memory_is_used_again_and_given_back_at_the_end():
    """How many faults 64 MiB are, the size of the pages says, which differs."""
    kept, usual, faults, held, last = probe()
    assert kept
    assert 10 * faults < usual
    assert held - last > 50 * 1024


@linux
@pytest.mark.parametrize(
    ("name", "value"), [("MALLOC_ARENA_MAX", "2"), ("GLIBC_TUNABLES", "glibc.malloc.arena_max=2")]
)
def test_a_user_s_settings_stay(name, value, monkeypatch):
    asked = []
    monkeypatch.setattr(memory, "_set", lambda _libc, options: asked.append(options))
    monkeypatch.setenv(name, value)
    with freed_memory_kept() as kept:
        assert kept is False
    assert asked == []


def test_another_c_library(monkeypatch):
    monkeypatch.setattr(memory, "_glibc", lambda: None)
    with freed_memory_kept() as kept:
        assert not kept
        assert torch.ones(3).sum() == 3


@linux
def test_an_error_passes_and_the_usual_comes_back(monkeypatch):
    monkeypatch.delenv("MALLOC_ARENA_MAX", raising=False)
    asked = []
    monkeypatch.setattr(memory, "_set", lambda _libc, options: asked.append(options) or True)
    with pytest.raises(KeyError, match="inside"), freed_memory_kept():
        raise KeyError("inside")
    assert asked == [memory.KEEPING, memory.USUAL]
