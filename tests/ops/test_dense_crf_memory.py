"""What a dense CRF takes in memory, measured in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from sbnet.ops import DenseCRF

_PEAK = """
import sys
import numpy as np
from sbnet.data.scenes import scene
from sbnet.ops import DenseCRF

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) * 1024

labels, noise, *numbers = sys.argv[1:]
size, (gaussian, sxy, srgb) = (600, 800), map(float, numbers)
image = scene(0, 3, size=size)[0]
if noise == "True":
    image = np.random.default_rng(0).integers(0, 256, image.shape, np.uint8)
DenseCRF(image[:8, :8]).marginals(np.full((2, 8, 8), 0.5, np.float32))
open("/proc/self/clear_refs", "w").write("5")  # the peak begins anew
before = peak()
probabilities = np.full((1, int(labels), *size), 0.5, np.float32)
crf = DenseCRF(image, gaussian=(gaussian, 3), bilateral=(sxy, srgb, 4))
crf.marginals(probabilities, iterations=1)
print(peak() - before, crf.vertices)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="tells the peak of memory on Linux alone")
@pytest.mark.parametrize("labels", [3, 21])
@pytest.mark.parametrize(
    ("noise", "widths"), [(False, (3, 80, 13)), (False, (1, 67, 3)), (True, (1, 67, 3)), (True, (3, 80, 13))]
)
def test_memory_needed_bounds_what_is_taken(labels: int, noise: bool, widths: tuple[float, ...]) -> None:
    command = [sys.executable, "-c", _PEAK, str(labels), str(noise), *map(str, widths)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    taken, vertices = map(int, answer.split())
    known = DenseCRF.memory_needed(600 * 800, labels=labels, vertices=vertices)
    assert 0.35 * known < taken <= 1.03 * known + 2**23, (taken, known, vertices)
