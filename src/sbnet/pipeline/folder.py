"""The run folder itself: whose it is, one run at a time in it, and how a part of it is removed."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from sbnet.config.recipe import Recipe, load_recipe
from sbnet.errors import SBNetError
from sbnet.registry import DATASETS


@contextmanager
def open_folder(folder: Path, recipe: Recipe) -> Iterator[None]:
    """Make the folder, or take an existing run of the same recipe, and lock it.

    Raises SBNetError for a folder that is no run, a run of another recipe, or one that another process uses.
    """
    if folder.exists() and not folder.is_dir():
        raise SBNetError(f"{folder} is a file; a run needs a folder: choose another --out")
    if folder.is_dir() and not (folder / "recipe.yaml").exists() and _in_use(folder):
        raise SBNetError(
            f"{folder} holds files but no run (no recipe.yaml); choose an empty or new folder as --out"
        )
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = (folder / ".lock").open("a+")
    except OSError as error:
        raise SBNetError(f"{folder} cannot be written ({error.strerror}); choose another --out") from error
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            raise SBNetError(
                f"{folder}: another run (process {lock.read().strip() or 'unknown'}) is using this folder; "
                "wait for it, stop it, or choose another --out"
            ) from None
        with suppress(OSError):  # a full disk is reported later; who holds the lock is a courtesy
            lock.truncate(0)
            os.write(lock.fileno(), f"{os.getpid()}\n".encode())
        _check_same(folder, recipe)
        _sweep(folder)
        try:
            yield
        finally:
            if made and not (folder / "recipe.yaml").exists():  # refused before anything was done
                _remove_made(folder, made)


def _remove_made(folder: Path, made: list[Path]) -> None:
    """Remove the folders that were made for nothing, innermost first; what a reader made stays."""
    with suppress(OSError):
        if {entry.name for entry in folder.iterdir()} == {".lock"}:
            (folder / ".lock").unlink()
        for path in made:
            path.rmdir()


def _in_use(folder: Path) -> bool:
    """Whether it holds more than hidden files and what a reader makes, which come before recipe.yaml."""
    return any(not entry.name.startswith(".") and entry.name != "data" for entry in folder.iterdir())


def _check_same(folder: Path, recipe: Recipe) -> None:
    path = folder / "recipe.yaml"
    if not path.exists():
        return
    try:
        before = load_recipe(path)
    except SBNetError as error:
        raise SBNetError(
            f"{path} is not a run's recipe ({error}); choose another --out, or delete the folder"
        ) from error
    if before.name != recipe.name:
        raise SBNetError(
            f"{folder} is a run of recipe '{before.name}', not of '{recipe.name}'; choose another --out, "
            f"or resume that run: sbnet run {shlex.quote(str(folder))}"
        )
    there, now = (DATASETS[one.data.name].lists(one.data.settings) for one in (before, recipe))
    if there != now:
        raise SBNetError(f"{folder} is a run on other images ({there}; now: {now}); choose another --out")


def remove(folder: Path) -> None:
    """Rename away, then delete: what stands under the name is never half a folder."""
    if folder.exists():
        away = _rename(folder, folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.old"))
        shutil.rmtree(away, ignore_errors=True)


def aside(folder: Path) -> Path:
    """Where a finished training waits until the one that replaces it is done."""
    return folder.with_name(f".{folder.name}.replaced")


def put_aside(folder: Path) -> None:
    """Move a stale step's folder to `aside`, unless a finished one waits there and this one is half done."""
    if aside(folder).exists() and not (folder / "done.json").exists():
        remove(folder)
    else:
        remove(aside(folder))
        _rename(folder, aside(folder))


def put_back(folder: Path) -> None:
    """Undo `put_aside`: what was begun since is removed."""
    remove(folder)
    _rename(aside(folder), folder)


def _rename(folder: Path, target: Path) -> Path:
    try:
        return folder.rename(target)
    except OSError as error:
        raise SBNetError(f"{folder} cannot be cleared ({error.strerror}); choose another --out") from error


def _sweep(folder: Path) -> None:
    """What a killed run left: folders half deleted, files half written."""
    for path in folder.glob(".*.old"):
        shutil.rmtree(path, ignore_errors=True)
    for depth in ("", "*/", "*/*/"):
        for path in folder.glob(f"{depth}.*.tmp"):
            if path.is_dir():
                shutil.rmtree(path, ignore_errors=True)
            else:
                path.unlink(missing_ok=True)
