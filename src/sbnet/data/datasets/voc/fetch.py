"""Published archives, fetched when asked for: resumed where they stopped, held to their checksum, unpacked whole."""

from __future__ import annotations

import hashlib
import http.client
import re
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from sbnet.data.datasets.voc.sources import Archive
from sbnet.errors import SBNetError

BLOCK = 1 << 20
TIMEOUT = 60  # seconds without a byte
Progress = Callable[[int, int | None], None]  # bytes there, bytes in all where the server says


def fetch(
    archive: Archive, folder: str | Path, *, url: str | None = None, progress: Progress | None = None
) -> Path:
    """Downloads and unpacks `archive` into `folder`; gives the path of its top folder.

    An unfinished download is kept as `folder`/FILE.part: called again, this resumes there (by an HTTP
    Range request; from the start where the server knows none). The archive is unpacked only where its MD5 is right, and
    deleted then. url: a mirror. Raises `SBNetError` where the top folder already exists, for a download that breaks
    off (the part is kept) and for a wrong checksum (it is deleted).
    """
    folder = Path(folder)
    target = folder / archive.unpacked
    if target.exists():
        raise SBNetError(f"{target} already exists: choose another folder, or move it away to fetch it again")
    url = url or archive.url
    part = folder / f"{Path(archive.url).name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SBNetError(
            f"{folder}: the folder cannot be created ({error.strerror}); choose another: --out FOLDER"
        ) from error
    try:
        _download(url, part, progress)
        _check(part, archive, url)
        _unpack(part, archive, folder)
    except OSError as error:  # of the disk: those of the connection are caught where they happen
        raise SBNetError(
            f"{folder}: {error}; what is downloaded is kept; run the same command to resume"
        ) from error
    part.unlink()
    return target


def _download(url: str, part: Path, progress: Progress | None) -> None:
    """Appends to `part` until the server has no more."""
    start = part.stat().st_size if part.is_file() else 0
    if not url.startswith(("https://", "http://")):
        raise SBNetError(f"{url}: not a URL that starts with https:// or http://")
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if (
            error.code == 416 and start
        ):  # nothing beyond: the part is whole, or is no part of it, as its checksum tells
            return
        raise SBNetError(
            f"{url}: the server answered {error.code} {error.reason}; give a mirror: --url URL"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SBNetError(
            f"{url}: cannot be reached ({error}); try again, or give a mirror: --url URL"
        ) from error
    with response:
        there = start if response.status == 206 and _begins(response) == start else 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        if start and there == 0 and response.status == 206:
            raise SBNetError(f"{url}: the server sent another range than requested; delete {part}")
        with part.open("ab" if there else "wb") as file:
            while block := _read(response, url, there, total):
                file.write(block)
                there += len(block)
                if progress:
                    progress(there, total)
    if total is not None and there < total:
        raise _broken_off(url, there, total, "connection closed")


def _begins(response: http.client.HTTPResponse) -> int:
    found = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(found[1]) if found else -1


def _read(response: http.client.HTTPResponse, url: str, there: int, total: int | None) -> bytes:
    try:
        return response.read1(BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _broken_off(url, there, total, str(error) or type(error).__name__) from error


def _broken_off(url: str, there: int, total: int | None, why: str) -> SBNetError:
    of = f" of {total}" if total is not None else ""
    return SBNetError(
        f"{url}: connection lost after {there}{of} bytes ({why}); run the same command to resume"
    )


def _check(part: Path, archive: Archive, url: str) -> None:
    with part.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    if found != archive.md5:
        part.unlink()
        raise SBNetError(
            f"{url}: its MD5 is {found}, {archive.title} has {archive.md5}: not the published file, deleted; "
            "fetch it again, or give a mirror: --url URL"
        )


def _unpack(part: Path, archive: Archive, folder: Path) -> None:
    """Into a folder aside, moved into place when it is whole. Members that would lie outside are refused."""
    aside = folder / f".{archive.unpacked}.unpacking"
    shutil.rmtree(aside, ignore_errors=True)
    try:
        with tarfile.open(part) as tar:
            tar.extractall(aside, filter="data")
        (aside / archive.unpacked).rename(folder / archive.unpacked)
    except tarfile.TarError as error:
        raise SBNetError(f"{part}: cannot be unpacked ({error})") from error
    finally:
        shutil.rmtree(aside, ignore_errors=True)
