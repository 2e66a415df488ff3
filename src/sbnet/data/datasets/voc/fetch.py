"""Published archives, fetched when asked for: resumed where they stopped, held to their checksum, unpacked whole."""

from __future__ import annotations

import hashlib
import http
import http.client
import shutil
import tarfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

from sbnet.data.datasets.voc.sources import Archive
from sbnet.errors import SBNetError

BLOCK = 1 << 20
TIMEOUT = 60  # seconds without a byte
Progress = Callable[[int, int | None], None]  # bytes there, bytes in all where the server says


def fetch(
    archive: Archive, folder: str | Path, *, url: str | None = None, progress: Progress | None = None
) -> Path:
    """Downloads and unpacks `archive` into `folder`; gives the path of its top folder. url: a mirror.

    An unfinished download is kept as `folder`/FILE.part, and resumed by the next call. The archive is unpacked only if
    its MD5 is right, and then deleted. Raises `SBNetError` where the top folder already exists, for a download that
    breaks off (the part is kept) and for a wrong checksum (it is deleted).
    """
    folder = Path(folder)
    target = folder / archive.unpacked
    if target.exists():
        raise SBNetError(f"{target} already exists: choose another folder, or move it away to fetch it again")
    url = url or archive.url
    part = folder / f"{Path(archive.url).name}.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _download(url, part, progress)
        _check(part, archive, url)
        _unpack(part, archive, folder)
    except OSError as error:  # of the disk: those of the connection are caught where they happen
        raise SBNetError(
            f"{folder}: {error}; choose another folder with --out FOLDER, or run the same command to resume"
        ) from error
    part.unlink()
    return target


def _download(url: str, part: Path, progress: Progress | None) -> None:
    """Appends to `part` until the server has no more."""
    if not url.startswith(("https://", "http://")):
        raise SBNetError(f"{url}: not a URL that starts with https:// or http://")
    start = part.stat().st_size if part.is_file() else 0
    try:
        request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"} if start else {})
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code == 416 and start:  # nothing beyond: its checksum tells whether the part is whole
            return
        raise SBNetError(
            f"{url}: the server answered {error.code} {error.reason}; give a mirror: --url URL"
        ) from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise SBNetError(
            f"{url}: cannot be reached ({error}); try again, or give a mirror: --url URL"
        ) from error
    with response:
        resumed = response.status == http.HTTPStatus.PARTIAL_CONTENT
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            raise SBNetError(f"{url}: the server sent another range than requested; delete {part}")
        there = start if resumed else 0
        length = response.headers.get("Content-Length")
        total = there + int(length) if length else None
        with part.open("ab" if resumed else "wb") as file:
            for block in _blocks(response, url):
                file.write(block)
                there += len(block)
                if progress:
                    progress(there, total)
    if total is not None and there < total:
        raise SBNetError(
            f"{url}: connection lost after {there} of {total} bytes; run the same command to resume"
        )


def _blocks(response: http.client.HTTPResponse, url: str) -> Iterator[bytes]:
    try:
        while block := response.read1(BLOCK):
            yield block
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise SBNetError(f"{url}: connection lost ({reason}); run the same command to resume") from error


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
