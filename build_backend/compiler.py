"""A C++ compiler for the build: the machine's own, or where it has none, that of the `ziglang` wheel."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

ZIG = "ziglang==0.17.1"
PROGRAM = "#include <vector>\nint main() { return static_cast<int>(std::vector<int>().size()); }\n"


@cache
def machine_compiles() -> bool:
    """Whether the machine's own C++ compiler makes a program: some have one without its headers or linker."""
    if os.environ.get("CXX") or "CMAKE_CXX_COMPILER" in os.environ.get("CMAKE_ARGS", ""):
        return True  # the user's choice; CMake tells where it is a wrong one
    name = next(filter(shutil.which, ("c++", "g++", "clang++")), None)
    if name is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "program.cpp")
        source.write_text(PROGRAM)
        command = [name, "-std=c++17", str(source), "-o", str(source.with_suffix(""))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


@contextmanager
def compiler() -> Iterator[dict[str, str]]:
    """An environment in which CMake finds a compiler and its archiver; gives the settings that the backend needs."""
    _check_headers()
    if machine_compiles():
        yield {}
        return
    import ziglang  # a requirement of the build in this case alone

    zig = Path(ziglang.__file__).with_name("zig")
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        tools = {name: Path(folder, f"zig-{name}") for name in ("cc", "c++", "ar", "ranlib")}
        for name, path in tools.items():
            # Without it zig compiles for this very processor, and the wheel may be run on another.
            processor = " -mcpu=baseline" if name in ("cc", "c++") else ""
            path.write_text(f'#!/bin/sh\nexec {shlex.quote(str(zig))} {name}{processor} "$@"\n')
            path.chmod(0o755)
        os.environ |= {
            "CC": str(tools["cc"]),
            "CXX": str(tools["c++"]),
            "ZIG_GLOBAL_CACHE_DIR": f"{folder}/cache",
            "ZIG_LOCAL_CACHE_DIR": f"{folder}/cache",
        }
        print(f"no working C++ compiler found: building with {ZIG}", file=sys.stderr)
        try:
            yield {
                "build-dir": f"{folder}/build",  # CMake remembers there where its compiler was
                "cmake.define.CMAKE_AR": str(tools["ar"]),
                "cmake.define.CMAKE_RANLIB": str(tools["ranlib"]),
            }
        finally:
            os.environ.clear()
            os.environ.update(before)


def _check_headers() -> None:
    header = Path(sysconfig.get_path("include"), "Python.h")
    if not header.is_file():
        raise SystemExit(
            f"sbnet: {header} is missing, Python's own header, which the extension is built with; "
            "install it (Debian and Ubuntu: the package python3-dev), or use a Python that brings it"
        )
