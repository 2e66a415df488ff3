"""Freed memory stays with the process only where and as long as it should."""

import subprocess
import sys

import pytest
import torch

from sbnet.engine import memory
from sbnet.engine.memory import freed_memory_kept

# Page faults of allocating 64 MiB ten times, and what the process holds after and at last (KiB).
PROBE = """
import resource, torch
from sbnet.engine.memory import freed_memory_kept
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(10):
        torch.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * resource.getpagesize() // 1024
faults()
with freed_memory_kept() as kept:
    faults()
    print(kept, faults(), resident())
print(resident())
"""
linux = pytest.mark.skipif(memory._glibc() is None, reason="not glibc")


def probe(**environment: str) -> tuple[bool, int, int, int]:
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    kept, faults, held, last = done.stdout.split()
    return kept == "True", int(faults), int(held), int(last)


@linux
def test_freed_memory_is_used_again_and_given_back_at_the_end():
    """64 MiB are 16384 pages."""
    kept, faults, held, last = probe()
    assert kept
    assert faults < 16384
    assert held - last > 50 * 1024


@linux
@pytest.mark.parametrize("name", ["MALLOC_ARENA_MAX", "GLIBC_TUNABLES"])
def test_a_user_s_settings_stay(name):
    kept, faults, *_ = probe(**{name: "glibc.malloc.arena_max=2" if name == "GLIBC_TUNABLES" else "2"})
    assert not kept
    assert faults > 160000


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
