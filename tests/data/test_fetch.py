"""Downloads from an HTTP server on loopback: broken off, resumed, refused."""

from __future__ import annotations

import hashlib
import io
import re
import socket
import tarfile
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sbnet.cli import execute
from sbnet.data.datasets.voc.fetch import fetch
from sbnet.data.datasets.voc.sources import ARCHIVES, Archive
from sbnet.errors import SBNetError

CONTENT = np.random.default_rng(0).bytes(300_000)


def _tar(*names: str) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.size = len(CONTENT)
            archive.addfile(entry, io.BytesIO(CONTENT))
    return buffer.getvalue()


TAR = _tar("VOCdevkit/VOC2012/JPEGImages/a.jpg", "VOCdevkit/VOC2012/classes.txt")


class Server(ThreadingHTTPServer):
    """Serves `data`. cut: bytes after which an answer is broken off; ranges: whether it knows them."""

    data, cut, ranges, asked = TAR, None, True, ()
    shift = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/VOC.tar"


class Handler(BaseHTTPRequestHandler):
    server: Any

    def do_GET(self) -> None:
        server, wanted = self.server, self.headers.get("Range")
        server.asked = (*server.asked, wanted)
        if self.path != "/VOC.tar":
            self.send_error(404)
            return
        start = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.ranges else 0
        if start >= len(server.data):
            self.send_error(416)
            return
        self.send_response(206 if wanted and server.ranges else 200)
        if wanted and server.ranges:
            first = start + server.shift
            self.send_header("Content-Range", f"bytes {first}-{len(server.data) - 1}/{len(server.data)}")
        body = server.data[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: server.cut])

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def _archive(server: Server, data: bytes = TAR) -> Archive:
    return Archive("photos", server.url, hashlib.md5(data).hexdigest(), "VOCdevkit")


def _whole(folder: Path) -> None:
    assert (folder / "VOCdevkit/VOC2012/JPEGImages/a.jpg").read_bytes() == CONTENT
    assert [path.name for path in folder.iterdir()] == ["VOCdevkit"]


def test_fetched_checked_and_unpacked(server: Server, tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    found = fetch(_archive(server), tmp_path / "new", progress=lambda *at: seen.append(at))
    assert found == tmp_path / "new/VOCdevkit"
    _whole(tmp_path / "new")
    assert seen[-1] == (len(TAR), len(TAR))
    with pytest.raises(SBNetError, match="VOCdevkit already exists"):
        fetch(_archive(server), tmp_path / "new")
    assert server.asked == (None,)


def test_broken_off_and_resumed(server: Server, tmp_path: Path) -> None:
    server.cut = 200_000
    for there in (200_000, 400_000):
        with pytest.raises(
            SBNetError, match=rf"connection lost after {there} of {len(TAR)} bytes.*same command to resume"
        ):
            fetch(_archive(server), tmp_path)
        assert (tmp_path / "VOC.tar.part").read_bytes() == TAR[:there]
        assert not (tmp_path / "VOCdevkit").exists()
    server.cut = None
    fetch(_archive(server), tmp_path)
    _whole(tmp_path)
    assert server.asked == (None, "bytes=200000-", "bytes=400000-")


def test_killed_before_it_was_unpacked(server: Server, tmp_path: Path) -> None:
    (tmp_path / "VOC.tar.part").write_bytes(TAR)
    (tmp_path / ".VOCdevkit.unpacking").mkdir()
    fetch(_archive(server), tmp_path)
    _whole(tmp_path)


def test_a_server_without_ranges_begins_anew(server: Server, tmp_path: Path) -> None:
    server.ranges = False
    (tmp_path / "VOC.tar.part").write_bytes(b"x" * 1000)
    fetch(_archive(server), tmp_path)
    _whole(tmp_path)


def test_another_range_than_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    server.shift = 10
    (tmp_path / "VOC.tar.part").write_bytes(TAR[:1000])
    with pytest.raises(SBNetError, match="another range than requested"):
        fetch(_archive(server), tmp_path)
    assert (tmp_path / "VOC.tar.part").read_bytes() == TAR[:1000]


@pytest.mark.parametrize("start", [b"", b"y" * 1000, b"y" * 2 * len(TAR)])
def test_a_wrong_checksum_is_refused_and_deleted(server: Server, tmp_path: Path, start: bytes) -> None:
    (tmp_path / "VOC.tar.part").write_bytes(start)
    if not start:
        server.data = TAR[:-1] + b"!"
    with pytest.raises(SBNetError, match=r"its MD5 is \w+, photos has .*: not the published file"):
        fetch(_archive(server), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [_tar("../evil"), _tar("VOCdevkit/a", "/../../evil"), b"no tar" * 1000])
def test_hostile_archives(server: Server, tmp_path: Path, data: bytes) -> None:
    server.data = data
    with pytest.raises(SBNetError, match=r"VOC\.tar\.part: cannot be unpacked"):
        fetch(_archive(server, data), tmp_path / "in")
    assert not list(tmp_path.rglob("evil"))
    assert [path.name for path in (tmp_path / "in").iterdir()] == ["VOC.tar.part"]


def test_unreachable(server: Server, tmp_path: Path) -> None:
    with pytest.raises(SBNetError, match="the server answered 404"):
        fetch(_archive(server), tmp_path, url=server.url + "x")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))  # and does not listen, so that nobody answers at its port
        for url, message in (
            (f"http://127.0.0.1:{deaf.getsockname()[1]}/VOC.tar", r"cannot be reached .*--url URL"),
            ("http://127.0.0.1:port/VOC.tar", r"cannot be reached .*--url URL"),
            ("file:///etc/hostname", "not a URL that starts with https"),
        ):
            with pytest.raises(SBNetError, match=message):
                fetch(_archive(server), tmp_path, url=url)
    assert not list(tmp_path.iterdir())


def test_as_a_user_types_it(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(ARCHIVES, "voc12", _archive(server))
    assert execute(["data", "fetch", "voc12", "--out", str(tmp_path)]) == 0
    assert "sbnet data check " + str(tmp_path / "VOCdevkit/VOC2012") in capsys.readouterr().out
    _whole(tmp_path)
    assert execute(["data", "fetch", "voc13", "--out", str(tmp_path)]) == 2
    assert "voc12" in capsys.readouterr().err
