"""What stands in the way of compiling is told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# In a process of its own: PyTorch looks for the compiler once.
PROBE = """
import torch
from torch._inductor import config
from sbnet.engine.resources import compile_network
from sbnet.errors import SBNetError
config.cpp.cxx = ("no-such-compiler",)
network = torch.nn.Conv2d(3, 4, 1)
try:
    compile_network(network, torch.device("cpu"))
except SBNetError as error:
    print(error)
print(tuple(network(torch.ones(1, 3, 2, 2)).shape))
"""


def test_a_machine_without_compiler_is_told(tmp_path: Path) -> None:
    environment = {**os.environ, "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROBE], env=environment, capture_output=True, text=True, check=True
    )
    message, shape = done.stdout.strip().splitlines()
    assert message.startswith("runtime.compile: PyTorch cannot compile here (")
    assert "install a C++ compiler" in message
    assert shape == "(1, 4, 2, 2)"
