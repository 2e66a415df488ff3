"""What the system refuses, through the command line: status 2, one line with file and remedy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from refusals import unreadable
from sbnet.cli import about, execute
from sbnet.data.io.files import write_label

DENIED = "Permission denied; fix its permissions (chmod, chown) or choose another"


@pytest.fixture
def locked(tmp_path: Path, shared_data: Path) -> Path:
    """A folder that has what each of the verbs looks for."""
    folder = tmp_path / "locked"
    shutil.copytree(shared_data, folder)
    shutil.copy(next((shared_data / "SegmentationClass").iterdir()), folder)
    (folder / "recipe.yaml").write_text("base: quickstart\n")
    return folder


@pytest.mark.parametrize(
    "words",
    [
        "predict LOCKED --model none --out OUT",
        "predict DATA/JPEGImages --model LOCKED --out OUT",
        "run voc12-lite --data LOCKED --out OUT",
        "run LOCKED",
        "crf LOCKED",
        "eval LOCKED --ground-truth DATA/SegmentationClass",
        "eval DATA/SegmentationClass --ground-truth LOCKED",
        "convert-cams LOCKED --out OUT",
        "data check LOCKED",
        "data package LOCKED --out OUT.tar",
    ],
)
def test_a_folder_that_may_not_be_read(
    words: str, locked: Path, shared_data: Path, tmp_path: Path, refused: Any
) -> None:
    """It is neither taken for an empty one, nor for one that is not there."""
    command = words.split()
    for name, path in {"LOCKED": locked, "DATA": shared_data, "OUT": tmp_path / "out"}.items():
        command = [word.replace(name, str(path)) for word in command]
    for mode in (0, 0o444):
        with unreadable(locked, mode):
            assert refused(*command).startswith(f"sbnet: {locked}: {DENIED}")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("inner", ["JPEGImages", "SegmentationClass", "ImageSets/Segmentation"])
def test_a_part_of_the_images_that_may_not_be_read(
    inner: str, locked: Path, tmp_path: Path, refused: Any
) -> None:
    """Without its masks a run would measure nothing."""
    command = ("run", "voc12-lite", "--data", locked, "data.labels=masks", "--out", tmp_path / "out")
    with unreadable(locked / inner):
        assert refused(*command).startswith(f"sbnet: {locked / inner}: {DENIED}")


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (PermissionError(13, "Permission denied", "a.json"), f"a.json: {DENIED}"),
        (PermissionError(13, "Permission denied", b"a.json"), f"a.json: {DENIED}"),
        (
            OSError(28, "No space left on device"),
            "[Errno 28] No space left on device; free space or choose another folder",
        ),
        (
            IsADirectoryError(21, "Is a directory", "a.json"),
            "a.json: Is a directory; repair it or choose another",
        ),
        (
            OSError("Caught OSError in worker 0.\nTraceback:\n  here\nOSError: [Errno 5] I/O error: 'a'"),
            "OSError: [Errno 5] I/O error: 'a'",
        ),
        (OSError(), "OSError"),
    ],
)
def test_what_nobody_foresaw(
    error: OSError, message: str, refused: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def models() -> None:
        raise error

    monkeypatch.setattr(about, "models", models)
    assert refused("models") == f"sbnet: {message}; --debug shows where\n"
    with pytest.raises(OSError) as caught:  # noqa: PT011
        execute(["models", "--debug"])
    assert caught.value is error


def test_a_place_where_no_folder_can_be(refused: Any, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    for out, reason in (("file", "File exists"), ("file/below", "Not a directory")):
        told = refused("data", "fetch", "voc12", "--out", tmp_path / out)
        assert f"{tmp_path / out}: " in told
        assert f"{reason}: '{tmp_path / out}'; choose another folder with --out FOLDER" in told
    assert (tmp_path / "file").read_text() == "mine"


def test_a_recipe_of_another_encoding(refused: Any, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_bytes("base: quickstart\nabout: Möwen\n".encode("latin-1"))
    for verb in ("recipes", "run"):
        told = refused(verb, recipe)
        assert f"{recipe}: the recipe cannot be read ('utf-8' codec can't decode byte 0xf6" in told
        assert "save it as UTF-8" in told


def test_names_that_the_terminal_s_encoding_lacks(tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    write_label(masks / "a.png", np.eye(4, dtype=np.uint8))
    (masks / "classes.txt").write_text("Möwe\n", encoding="utf-8")
    command = [sys.executable, "-m", "sbnet.cli", "eval", str(masks), "--ground-truth", str(masks)]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii:strict"}
    ended = subprocess.run(command, capture_output=True, env=environment, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert rb"M\xf6we" in ended.stdout
