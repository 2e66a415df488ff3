"""What a dense CRF takes in memory, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys

import pytest

from sbnet.ops import DenseCRF

_PEAK = """
import ctypes, sys
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

labels, noise, *numbers = sys.argv[1:]
size, (gaussian, sxy, srgb) = (600, 800), map(float, numbers)
image = scene(0, 3, size=size)[0]
if noise == "True":
    image = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
DenseCRF(image[:8, :8]).marginals(np.full((2, 8, 8), 0.5, np.float32))
try:
    told = begin_anew()
except (OSError, StopIteration):  # no such files, or no leave to write
    told = False
if not told:
    sys.exit()
before = peak()
probabilities = np.full((1, int(labels), *size), 0.5, np.float32)
crf = DenseCRF(image, gaussian=(gaussian, 3), bilateral=(sxy, srgb, 4))
crf.marginals(probabilities, iterations=1)
print(peak() - before, crf.vertices)
"""


@pytest.mark.parametrize("labels", [3, 21])
@pytest.mark.parametrize(
    ("noise", "widths"), [(False, (3, 80, 13)), (False, (1, 67, 3)), (True, (1, 67, 3)), (True, (3, 80, 13))]
)
def test_memory_needed_bounds_what_is_taken(labels: int, noise: bool, widths: tuple[float, ...]) -> None:
    command = [sys.executable, "-c", _PEAK, str(labels), str(noise), *map(str, widths)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    if not answer:
        pytest.skip("the system does not tell the peak of memory, or does not let it begin anew")
    taken, vertices = map(int, answer.split())
    known = DenseCRF.memory_needed(600 * 800, labels=labels, vertices=vertices)
    assert 0.35 * known < taken <= 1.03 * known + 2**23, (taken, known, vertices)
