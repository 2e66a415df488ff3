"""What a dense CRF takes in memory, measured in processes of their own, which share their imports."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from typing import Any

import pytest

from sbnet.ops import DenseCRF

_PEAKS = """
import ctypes, json, os, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)  # no huge pages (PR_SET_THP_DISABLE): what is not asked for counts in none
import numpy as np
from sbnet.data.synthetic.scenes import scene
from sbnet.ops import DenseCRF

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

def begin_anew():
    np.ones(2**23)  # 64 MiB, gone at once
    before = peak()
    open("/proc/self/clear_refs", "w").write("5")
    return before - peak() > 2**25

def measure(labels, noise, widths):
    size, (gaussian, sxy, srgb) = (600, 800), widths
    image = scene(0, 3, size=size)[0]
    if noise:
        image = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
    DenseCRF(image[:8, :8]).marginals(np.full((2, 8, 8), 0.5, np.float32))
    try:
        told = begin_anew()
    except (OSError, StopIteration):  # no such files, or no leave to write
        told = False
    if not told:
        return None
    before = peak()
    probabilities = np.full((1, labels, *size), 0.5, np.float32)
    crf = DenseCRF(image, gaussian=(gaussian, 3), bilateral=(sxy, srgb, 4))
    crf.marginals(probabilities, iterations=1)
    return peak() - before, crf.vertices

for case in json.loads(sys.argv[1]):
    if (child := os.fork()) == 0:
        print(json.dumps(measure(*case)), flush=True)
        os._exit(0)
    if os.waitpid(child, 0)[1]:
        sys.exit("a measurement failed")
"""
LABELS = (3, 21)
PHOTOS = ((False, (3, 80, 13)), (False, (1, 67, 3)), (True, (1, 67, 3)), (True, (3, 80, 13)))


@pytest.fixture(scope="module")
def peaks() -> dict[Any, list[int] | None]:
    """(labels, noise, widths) -> bytes that were taken and vertices; None: the system does not tell."""
    cases = [(labels, *photo) for labels, photo in itertools.product(LABELS, PHOTOS)]
    command = [sys.executable, "-c", _PEAKS, json.dumps(cases)]
    answers = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.splitlines()
    return dict(zip(cases, map(json.loads, answers), strict=True))


@pytest.mark.parametrize("labels", LABELS)
@pytest.mark.parametrize(("noise", "widths"), PHOTOS)
def test_memory_needed_bounds_what_is_taken(
    labels: int, noise: bool, widths: tuple[float, ...], peaks: dict[Any, list[int] | None]
) -> None:
    answer = peaks[labels, noise, widths]
    if answer is None:
        pytest.skip("the system does not tell the peak of memory, or does not let it begin anew")
    taken, vertices = answer
    known = DenseCRF.memory_needed(600 * 800, labels=labels, vertices=vertices)
    assert 0.35 * known < taken <= 1.03 * known + 2**23, (taken, known, vertices)
