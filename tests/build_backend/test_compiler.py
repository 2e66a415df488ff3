from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def build() -> Any:
    """The module, loaded anew, since what it finds is kept."""
    spec = importlib.util.spec_from_file_location("compiler", ROOT / "build_backend" / "compiler.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def bare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A PATH with nothing on it but /bin/sh, and no compiler named."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "sh").symlink_to("/bin/sh")
    monkeypatch.setenv("PATH", str(folder))
    for name in ("CXX", "CMAKE_ARGS"):
        monkeypatch.delenv(name, raising=False)
    return folder


def script(path: Path, text: str) -> None:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_no_compiler(build: Any, bare: Path) -> None:
    assert not build.machine_compiles()


def test_a_compiler_that_cannot_link(build: Any, bare: Path) -> None:
    script(bare / "g++", "exit 1")
    assert not build.machine_compiles()


def test_a_compiler_that_works(build: Any, bare: Path) -> None:
    script(bare / "c++", "exit 0")
    assert build.machine_compiles()
    before = dict(os.environ)
    with build.compiler() as settings:
        assert dict(os.environ) == before
        assert settings == {}


@pytest.mark.parametrize(
    ("variable", "value"), [("CXX", "my-c++"), ("CMAKE_ARGS", "-G Ninja -DCMAKE_CXX_COMPILER=my-c++")]
)
def test_the_users_compiler_is_not_questioned(
    build: Any, bare: Path, monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv(variable, value)
    assert build.machine_compiles()


def test_zig_stands_in(
    build: Any,
    bare: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    fake = ModuleType("ziglang")
    fake.__file__ = str(tmp_path / "with 'quotes and space" / "__init__.py")
    (tmp_path / "with 'quotes and space").mkdir()
    script(tmp_path / "with 'quotes and space" / "zig", 'echo "$@"')
    monkeypatch.setitem(sys.modules, "ziglang", fake)
    before = dict(os.environ)
    with build.compiler() as settings:
        assert not Path(settings["build-dir"]).exists()
        told = subprocess.run([os.environ["CXX"], "-o", "a b"], capture_output=True, text=True, check=True)
        assert told.stdout == "c++ -mcpu=baseline -o a b\n"
        archiver = settings["cmake.define.CMAKE_AR"]
        told = subprocess.run([archiver, "qc"], capture_output=True, text=True, check=True)
        assert told.stdout == "ar qc\n"
        cache = Path(os.environ["ZIG_GLOBAL_CACHE_DIR"])
    assert dict(os.environ) == before
    assert not cache.parent.exists()
    assert "building with ziglang==" in capsys.readouterr().err


def test_missing_headers_are_named(build: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    with pytest.raises(SystemExit, match=r"Python\.h is missing.*python3-dev"), build.compiler():
        pass


WITHOUT_THE_EDITABLE_INSTALL = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "ScikitBuild" not in type(finder).__name__]
sys.path.insert(0, {folder!r})
import numpy as np
from sbnet import _kernels, ops
assert _kernels.__file__.startswith({folder!r})
probabilities = np.full((2, 4, 5), 0.5, np.float32)
assert ops.DenseCRF(np.zeros((4, 5, 3), np.uint8)).marginals(probabilities).shape == (2, 4, 5)
print(*_kernels.implementations())
"""


@pytest.mark.slow
def test_a_machine_without_compilers_builds_the_kernels(tmp_path: Path) -> None:
    """pip alone, neither compiler nor linker nor build tool on the PATH; fetches the packages of the build."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for tool in ("sh", "env", "uname"):
        (folder / tool).symlink_to(shutil.which(tool) or tool)
    environment = {key: value for key, value in os.environ.items() if key not in ("CC", "CXX")}
    environment["PATH"] = str(folder)
    command = [sys.executable, "-m", "pip", "wheel", str(ROOT), "--no-deps", "-v", "-w", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert "building with ziglang" in ended.stdout + ended.stderr
    (wheel,) = tmp_path.glob("*.whl")
    shutil.unpack_archive(wheel, tmp_path / "unpacked", "zip")
    code = WITHOUT_THE_EDITABLE_INSTALL.format(folder=str(tmp_path / "unpacked"))
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.split()[-1] == "baseline"
