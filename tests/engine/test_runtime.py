"""Which precision a network gets where nobody says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from sbnet.engine import runtime as module
from sbnet.engine.runtime import Runtime, faster_precision, has_depthwise
from sbnet.networks.build import build

CPU, GPU = torch.device("cpu"), torch.device("cuda")
DENSE = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 1))
DEPTHWISE = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3, groups=8))


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16\n", "bf16"),
        ("flags\t\t: fpu amx_tile amx_bf16\n", "bf16"),
        ("flags\t\t: fpu avx2 avx512f\n", "32"),
        ("Features\t: fp asimd bf16\n", "32"),  # Arm
        ("", "32"),
    ],
)
def test_a_cpu_needs_the_instructions(
    facts: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cpuinfo").write_text(facts)
    monkeypatch.setattr(module, "CPU_FACTS", tmp_path / "cpuinfo")
    assert faster_precision(DENSE, CPU) == expected
    assert faster_precision(DEPTHWISE, CPU) == "32"


def test_no_facts_no_bf16(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CPU_FACTS", tmp_path / "none")
    assert faster_precision(DENSE, CPU) == "32"


@pytest.mark.parametrize("able", [True, False])
def test_a_gpu_that_computes_in_it(able: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation: asked.append(including_emulation) or able
    )
    assert faster_precision(DEPTHWISE, GPU) == ("bf16" if able else "32")
    assert asked == [False]  # an emulated one is slow


def test_our_networks() -> None:
    assert has_depthwise(build("sbnet-lite0", 4, weights="none"))
    assert not has_depthwise(build("deeplabv2-resnet101", 4, weights="none"))


@pytest.mark.parametrize("asked", ["32", "bf16"])
def test_what_is_asked_for_counts(asked: str) -> None:
    runtime = Runtime(device="cpu", precision=asked)
    assert runtime.precision_for(DEPTHWISE) == asked
    expected = "bf16-mixed" if asked == "bf16" else "32-true"
    assert runtime.fabric(DEPTHWISE)._precision.precision == expected
