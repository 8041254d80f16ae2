"""Downloads: from a loopback server that breaks off, changes its mind, stalls and lies."""

import errno
import hashlib
import http.client
import http.server
import json
import os
import random
import socket
import struct
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace

import pytest
from filelock import FileLock
from loopback import serving

from genzoo.data import downloads
from genzoo.data.downloads import Download, fetch
from genzoo.errors import GenzooWarning, ResourceError, UnreadableError

CONTENT = random.Random(0).randbytes(700_000)
OTHER = random.Random(1).randbytes(700_000)
BROKEN = 300_000
"""Bytes after which a connection breaks: neither none, nor all, nor whole pieces."""
HTML = b"\n<!DOCTYPE html><html><title>Quota exceeded</title></html>"


@dataclass
class Page:
    """What the server has at a path, and how it fails to deliver it."""

    content: bytes = CONTENT
    etag: str | None = '"one"'
    kind: str = "application/octet-stream"
    ranges: bool = True
    heeds_if_range: bool = True
    codes: list = field(default_factory=list)  # status codes that come first
    breaks: list = field(default_factory=list)  # bytes after which the first connections end
    resets: bool = False  # whether they end without a farewell
    stalls: bool = False  # whether they are left open instead
    length: object = None  # Content-Length, if not the true one
    location: str | None = None
    seconds: float = 0.0


@dataclass
class Request:
    path: str
    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0


class Server(http.server.ThreadingHTTPServer):
    """Serves `pages` by path, and remembers the requests."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.pages, self.requests, self.over = {}, [], threading.Event()

    def url(self, path="/data.bin"):
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, *_):
        pass


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        page = self.server.pages.get(self.path)
        request = Request(self.path, self.headers["Range"], self.headers["If-Range"])
        self.server.requests.append(request)
        request.status, start = self.decide(page, request)
        if request.status in (301, 302, 308, 416) or request.status >= 400:
            self.send_response(request.status)
            if request.status == 416:
                self.send_header("Content-Range", f"bytes */{len(page.content)}")
            if request.status < 400:
                self.send_header("Location", page.location)
            self.end_headers()
            return
        body = page.content[start:]
        self.send_response(request.status)
        self.send_header("Content-Type", page.kind)
        self.send_header("Content-Length", len(body) if page.length is None else page.length)
        if page.etag:
            self.send_header("ETag", page.etag)
        if request.status == 206:
            self.send_header("Content-Range", f"bytes {start}-{len(page.content) - 1}/{len(page.content)}")
        self.end_headers()
        self.server.over.wait(page.seconds)
        ends = page.breaks.pop(0) if page.breaks else len(body)
        self.wfile.write(body[:ends])
        self.wfile.flush()
        request.sent = min(ends, len(body))
        if ends < len(body):
            if page.stalls:
                self.server.over.wait(10)
            if page.resets:
                self.server.over.wait(0.2)  # until what was sent has been read
                self.connection.setsockopt(1, 13, struct.pack("ii", 1, 0))  # SOL_SOCKET, SO_LINGER: RST on close

    def decide(self, page, request):
        """Return the status and the first byte of the answer."""
        if page is None:
            return 404, 0
        if page.codes:
            return page.codes.pop(0), 0
        if page.location:
            return 302, 0
        same = not page.heeds_if_range or request.if_range in (None, page.etag)
        if request.range is None or not page.ranges or not same:
            return 200, 0
        start = int(request.range.removeprefix("bytes=").removesuffix("-"))
        return (206, start) if start < len(page.content) else (416, 0)


@pytest.fixture
def server():
    with serving(Server()) as found:
        yield found
        found.over.set()


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "downloads"


@pytest.fixture(autouse=True)
def naps(monkeypatch):
    """Return the seconds that were waited between attempts, without waiting them."""
    found = []
    monkeypatch.setattr(downloads, "time", SimpleNamespace(sleep=found.append, monotonic=time.monotonic))
    return found


def md5(content):
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def known(*urls):
    """Return a download whose hash is published."""
    return Download(file="data.bin", urls=urls, md5=md5(CONTENT))


def unknown(*urls):
    """Return a download without a published hash."""
    return Download(file="data.bin", urls=urls)


def names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def refused(download, folder, **more):
    """Return the fault that the fetch ends with, which leaves nothing at the file's place."""
    with pytest.raises(UnreadableError) as caught:
        fetch(download, folder, **more)
    assert caught.value.exit_code == 3
    assert not (folder / download.file).exists()
    return caught.value


def fail(number):
    def failing(*arguments, **more):
        raise OSError(number, os.strerror(number))

    return failing


# What comes is the file, whole, or there is none


@pytest.mark.parametrize("content", [CONTENT, b"", b"x", CONTENT[: 2**18], CONTENT[: 2**19]], ids=len)
@pytest.mark.parametrize("published", [True, False])
def test_a_file_is_fetched_whole_and_nothing_else_is_left(server, folder, content, published):
    server.pages["/data.bin"] = Page(content)
    wanted = Download(file="data.bin", urls=(server.url(),), md5=md5(content) if published else None)
    if not content and not published:
        assert "nothing, not the file" in refused(wanted, folder).found
        assert set(names(folder)) == {".fetch.lock", ".data.bin.part.json"}
        return
    assert fetch(wanted, folder) == folder / "data.bin"
    assert (folder / "data.bin").read_bytes() == content
    assert set(names(folder)) - {".fetch.lock"} == {"data.bin"} | (set() if published else {"hashes.json"})
    assert [request.range for request in server.requests] == [None]


def test_a_file_that_is_there_is_checked_and_not_fetched_again(server, folder):
    folder.mkdir()
    (folder / "data.bin").write_bytes(CONTENT)
    assert fetch(known(server.url()), folder) == folder / "data.bin"
    assert fetch(known(server.url()), folder, offline=True) == folder / "data.bin"
    assert server.requests == []


def test_a_file_that_is_there_with_another_hash_is_refused_and_left_as_it_is(server, folder):
    server.pages["/data.bin"] = Page()
    folder.mkdir()
    (folder / "data.bin").write_bytes(OTHER)
    with pytest.raises(UnreadableError) as caught:
        fetch(known(server.url()), folder)
    assert md5(OTHER) in caught.value.found
    assert md5(CONTENT) in caught.value.found
    assert str(folder / "data.bin") in caught.value.found
    assert caught.value.remedy == f"remove it and fetch it again: rm {folder / 'data.bin'}"
    assert (folder / "data.bin").read_bytes() == OTHER
    assert server.requests == []


def test_a_mirror_with_another_file_is_passed_over(server, folder):
    server.pages |= {"/bad": Page(OTHER), "/data.bin": Page()}
    fetch(known(server.url("/bad"), server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [request.path for request in server.requests] == ["/bad", "/data.bin"]


def test_mirrors_that_are_given_replace_the_published_ones(server, folder):
    server.pages["/here"] = Page()
    fetch(known(server.url("/published")), folder, mirrors=[server.url("/here")])
    assert [request.path for request in server.requests] == ["/here"]


def test_a_redirection_is_followed(server, folder):
    server.pages |= {"/data.bin": Page(location=server.url("/moved")), "/moved": Page(breaks=[BROKEN])}
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert sum(request.sent for request in server.requests) == len(CONTENT)


def test_when_all_fail_what_every_mirror_answered_is_told(server, folder):
    server.pages |= {
        "/forbidden": Page(codes=[403] * 9),
        "/broken": Page(codes=[500] * 9),
        "/bad": Page(OTHER),
        "/page": Page(HTML, kind="text/html; charset=utf-8"),
        "/cut": Page(ranges=False, length=len(CONTENT) + 1),
        "/round": Page(location=server.url("/round")),
    }
    paths = ["/nothing", *server.pages]
    urls = [server.url(path) for path in paths]
    fault = refused(known(*urls, "http://127.0.0.1:9/"), folder)
    answers = fault.found.removeprefix("data.bin could not be fetched: ").split("; ")
    for answer, url, part in zip(
        answers,
        [*urls, "http://127.0.0.1:9/"],
        [
            "HTTP 404",
            "HTTP 403",
            "HTTP 500",
            f"another file (MD5 {md5(OTHER)}, published: {md5(CONTENT)})",
            "a web page, not the file",
            f"the connection ended after {len(CONTENT):,} of {len(CONTENT) + 1:,} bytes",
            "HTTP 302",
            "refused",
        ],
        strict=True,
    ):
        assert answer.startswith(f"{url}: ")
        assert part in answer
    assert str(folder / "data.bin") in fault.remedy
    assert "\n" not in fault.found


@pytest.mark.parametrize(
    ("page", "attempts"),
    [
        (Page(codes=[403] * 9), 1),
        (Page(codes=[404] * 9), 1),
        (Page(codes=[500] * 9), 3),
        (Page(codes=[503] * 9), 3),
        (Page(OTHER), 1),
        (Page(HTML, kind="text/html"), 1),
        (Page(ranges=False, breaks=[BROKEN] * 9), 3),
    ],
    ids=["403", "404", "500", "503", "another file", "a web page", "broken"],
)
def test_only_what_may_pass_is_tried_three_times(server, folder, naps, page, attempts):
    server.pages["/data.bin"] = page
    refused(known(server.url()), folder)
    assert len(server.requests) == attempts
    assert naps == [1, 2][: attempts - 1]


def test_a_server_that_is_busy_twice_is_asked_three_times(server, folder):
    server.pages["/data.bin"] = Page(codes=[503, 503])
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [request.status for request in server.requests] == [503, 503, 200]


def test_a_web_page_in_place_of_an_archive_is_never_taken_for_it(server, folder):
    server.pages["/data.bin"] = Page(HTML, kind="application/zip")
    assert "a web page, not the file" in refused(unknown(server.url()), folder).found
    assert not (folder / "hashes.json").exists()
    assert "another file" in refused(known(server.url()), folder).found


@pytest.mark.parametrize("heeds_if_range", [True, False])
def test_the_file_that_follows_a_web_page_is_fetched_whole(server, folder, heeds_if_range):
    server.pages["/data.bin"] = Page(HTML, kind="application/zip", etag='"page"')
    refused(unknown(server.url()), folder)
    server.pages["/data.bin"] = Page(heeds_if_range=heeds_if_range)
    fetch(unknown(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_less_than_was_announced_is_not_the_file(server, folder):
    server.pages["/data.bin"] = Page(ranges=False, length=len(CONTENT) + 1000)
    for wanted in (known(server.url()), unknown(server.url())):
        assert f"{len(CONTENT):,} of {len(CONTENT) + 1000:,}" in refused(wanted, folder).found
    assert not (folder / "hashes.json").exists()


@pytest.mark.parametrize("length", ["many", "-1", ""])
def test_a_length_that_is_none_ends_in_the_file_or_in_a_told_fault(server, folder, length):
    server.pages["/data.bin"] = Page(length=length)
    try:
        fetch(known(server.url()), folder)
    except UnreadableError as fault:
        assert server.url() in fault.found  # noqa: PT017, both ends are fine


@pytest.mark.parametrize("url", ["nonsense", "http://[bad/data.bin", "gopher://example.invalid/data.bin", "http:///x"])
def test_an_address_that_is_none_is_told(folder, url):
    assert url in refused(known(url), folder).found


@pytest.mark.parametrize("number", [errno.EHOSTUNREACH, errno.ENETDOWN])
def test_a_network_that_goes_away_in_the_middle_is_no_fault_of_the_disk(server, folder, monkeypatch, number):
    server.pages |= {"/data.bin": Page(), "/second": Page()}
    monkeypatch.setattr(http.client.HTTPResponse, "read1", fail(number))
    found = refused(known(server.url(), server.url("/second")), folder).found
    assert os.strerror(number) in found
    assert server.url("/second") in found


# Going on


@pytest.mark.parametrize("resets", [False, True])
@pytest.mark.parametrize("published", [True, False])
def test_after_a_broken_connection_only_what_is_missing_is_sent(server, folder, published, resets):
    server.pages["/data.bin"] = Page(breaks=[BROKEN], resets=resets)
    fetch((known if published else unknown)(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    first, second = server.requests
    assert (first.range, first.status) == (None, 200)
    assert (second.range, second.if_range, second.status) == (f"bytes={BROKEN}-", '"one"', 206)
    assert first.sent + second.sent == len(CONTENT)


def test_a_later_fetch_goes_on_where_an_earlier_one_gave_up(server, folder):
    server.pages["/data.bin"] = Page(breaks=[100_000] * 3)
    refused(known(server.url()), folder)
    assert sum(request.sent for request in server.requests) == 300_000
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert server.requests[-1].range == "bytes=300000-"
    assert sum(request.sent for request in server.requests) == len(CONTENT)
    assert names(folder) == [".fetch.lock", "data.bin"]


def test_another_mirror_goes_on_where_the_first_gave_up_if_the_hash_is_published(server, folder):
    server.pages |= {"/first": Page(breaks=[BROKEN, 0, 0]), "/data.bin": Page(etag='"elsewhere"')}
    fetch(known(server.url("/first"), server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert sum(request.sent for request in server.requests) == len(CONTENT)


def test_another_mirror_begins_anew_if_no_hash_is_published(server, folder):
    server.pages |= {"/first": Page(OTHER, breaks=[BROKEN, 0, 0]), "/data.bin": Page()}
    fetch(unknown(server.url("/first"), server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert server.requests[-1].range is None


@pytest.mark.parametrize("length", [len(CONTENT), 200_000], ids=["longer than what came", "shorter than what came"])
def test_a_good_mirror_does_not_suffer_from_what_a_bad_one_began(server, folder, length):
    good = CONTENT[:length]
    server.pages |= {"/bad": Page(OTHER, breaks=[BROKEN, 0, 0]), "/data.bin": Page(good)}
    fetch(Download(file="data.bin", urls=(server.url("/bad"), server.url()), md5=md5(good)), folder)
    assert (folder / "data.bin").read_bytes() == good


@pytest.mark.parametrize("heeds_if_range", [True, False])
@pytest.mark.parametrize("length", [len(CONTENT), BROKEN + 1, BROKEN, BROKEN - 1, 1])
@pytest.mark.parametrize("published", [True, False])
def test_a_file_that_changed_meanwhile_is_not_mixed_with_the_former(server, folder, published, length, heeds_if_range):
    new = CONTENT[:length]
    wanted = Download(file="data.bin", urls=(server.url(),), md5=md5(new) if published else None)
    server.pages["/data.bin"] = Page(OTHER, breaks=[BROKEN, 0, 0], etag='"former"')
    refused(wanted, folder)
    server.pages["/data.bin"] = Page(new, heeds_if_range=heeds_if_range)
    fetch(wanted, folder)
    assert (folder / "data.bin").read_bytes() == new


def test_a_server_that_knows_no_ranges_begins_anew(server, folder):
    server.pages["/data.bin"] = Page(ranges=False, breaks=[BROKEN])
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [(request.range, request.status) for request in server.requests] == [(None, 200), (f"bytes={BROKEN}-", 200)]


def test_without_any_name_for_its_state_a_file_is_not_continued(server, folder):
    server.pages["/data.bin"] = Page(etag=None, breaks=[BROKEN])
    fetch(unknown(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [None, None]


def test_with_a_published_hash_a_file_is_continued_without_a_name_for_its_state(server, folder):
    server.pages["/data.bin"] = Page(etag=None, breaks=[BROKEN])
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [(request.range, request.if_range) for request in server.requests][1:] == [(f"bytes={BROKEN}-", None)]


def test_when_everything_came_before_the_connection_broke_nothing_more_is_sent(server, folder):
    server.pages["/data.bin"] = Page(length=len(CONTENT) + 1)
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [request.status for request in server.requests] == [200, 416]


def test_a_connection_on_which_nothing_comes_is_given_up_and_continued(server, folder, monkeypatch):
    monkeypatch.setattr(downloads, "_STALL", 1.0)
    server.pages["/data.bin"] = Page(breaks=[2**18], stalls=True)
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert [request.range for request in server.requests] == [None, f"bytes={2**18}-"]


def test_a_server_that_never_answers_is_told(server, folder, monkeypatch):
    monkeypatch.setattr(downloads, "_STALL", 0.1)
    server.pages["/data.bin"] = Page(breaks=[0] * 3, stalls=True)
    assert "timed out" in refused(known(server.url()), folder).found


@dataclass
class Trickle:
    """A server on a bare socket that sends a beginning, and then the same bytes again and again."""

    first: bytes
    again: bytes
    seconds: float = 0.02

    def serve(self, listener, over):
        while not over.is_set():
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, suppress(OSError):
                connection.recv(2**16)
                connection.sendall(self.first)
                while not over.wait(self.seconds):
                    connection.sendall(self.again)


@pytest.fixture
def trickling():
    """Return a function that starts such a server and returns its address."""
    over, listeners, threads = threading.Event(), [], []

    def start(trickle):
        listener = socket.create_server(("127.0.0.1", 0))
        threads.append(threading.Thread(target=trickle.serve, args=(listener, over), daemon=True))
        threads[-1].start()
        listeners.append(listener)
        return f"http://127.0.0.1:{listener.getsockname()[1]}/data.bin"

    yield start
    over.set()
    for listener in listeners:
        listener.close()


SLOW = {
    "a body, byte by byte": Trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 700000\r\n\r\n", b"x"),
    "headers without end": Trickle(b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "one header without end": Trickle(b"HTTP/1.1 200 OK\r\nX-More: ", b"x"),
    "endless 100 Continue": Trickle(b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "nothing": Trickle(b"", b"", seconds=5),
}


@pytest.mark.parametrize("kind", SLOW)
def test_a_server_that_sends_next_to_nothing_is_given_up(trickling, folder, monkeypatch, kind):
    """One byte a second is heard from, and would take a week for a small archive."""
    monkeypatch.setattr(downloads, "_STALL", 0.3)
    monkeypatch.setattr(downloads, "_ATTEMPTS", 1)
    began = time.monotonic()
    assert "timed out" in refused(known(trickling(SLOW[kind])), folder).found
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("kind", SLOW)
def test_a_fetch_is_stopped_whatever_the_server_does(trickling, folder, kind):
    class Stopped(Exception):
        pass

    began = time.monotonic()

    def stop(done, total):
        if time.monotonic() - began > 0.3:
            raise Stopped

    with pytest.raises(Stopped):
        fetch(known(trickling(SLOW[kind])), folder, report=stop)
    assert time.monotonic() - began < 5


def test_waiting_for_another_fetch_is_told_and_can_be_stopped(folder):
    class Stopped(Exception):
        pass

    def stop(done, total):
        raise Stopped

    folder.mkdir()
    lock = FileLock(folder / ".fetch.lock", thread_local=False)
    with ThreadPoolExecutor(1) as other:
        other.submit(lock.acquire).result()
    with pytest.warns(GenzooWarning, match="another process is fetching"), pytest.raises(Stopped):
        fetch(known("http://127.0.0.1:9/"), folder, report=stop)
    lock.release()


@pytest.mark.parametrize("announced", [True, False])
@pytest.mark.parametrize("published", [True, False])
def test_more_bytes_than_the_file_may_have_are_not_written(trickling, server, folder, announced, published):
    """An endless answer filled the disk."""
    endless = Trickle(b"HTTP/1.1 200 OK\r\n\r\n", bytes(2**16), seconds=0)
    server.pages["/data.bin"] = Page()
    url = server.url() if announced else trickling(endless)
    wanted = replace((known if published else unknown)(url), size=len(CONTENT) - 1)
    assert f"the file has at most {len(CONTENT) - 1:,}" in refused(wanted, folder).found
    assert not list(folder.glob("*.part"))
    fetch(replace(known(server.url()), size=len(CONTENT)), folder)


def test_what_a_server_says_holds_no_control_codes(trickling, folder):
    url = trickling(Trickle(b"HTTP/1.1 404 \x1b[2J\x1b]0;x\x07gone\r\nContent-Length: 0\r\n\r\n", b"", seconds=5))
    found = refused(known(url), folder).found
    assert "gone" in found
    assert found.isprintable()


def test_a_part_that_is_a_link_is_not_written_through(server, folder, tmp_path):
    """In a shared folder, another user may have put it there."""
    server.pages["/data.bin"] = Page()
    folder.mkdir()
    (tmp_path / "victim").write_bytes(b"mine")
    (folder / ".data.bin.part").symlink_to(tmp_path / "victim")
    (folder / ".data.bin.part.json").write_text(json.dumps({"url": server.url(), "tag": '"one"'}))
    fetch(known(server.url()), folder)
    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert not (folder / "data.bin").is_symlink()


@pytest.mark.parametrize("kept", [b"", b"{", b"[]", b"null", b'{"url": 1}', b'{"url": "x", "tag": 7}', b"\xff"])
def test_a_damaged_note_on_what_came_before_is_no_obstacle(server, folder, kept):
    server.pages["/data.bin"] = Page(breaks=[BROKEN, 0, 0])
    refused(known(server.url()), folder)
    (note,) = (folder / name for name in names(folder) if name.endswith(".json"))
    note.write_bytes(kept)
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT


# Without a published hash, the first download counts


def test_the_hash_of_the_first_download_is_recorded(server, folder):
    server.pages["/data.bin"] = Page()
    path = fetch(unknown(server.url()), folder)
    assert json.loads((folder / "hashes.json").read_text())["sha256"] == {"data.bin": sha256(CONTENT)}
    expected = {"bytes": len(CONTENT), "md5": None, "sha256": sha256(CONTENT)}
    assert downloads.hashes(unknown(), path) == expected
    fetch(unknown(server.url()), folder)
    assert len(server.requests) == 1


def test_records_of_several_files_stand_side_by_side(server, folder):
    server.pages |= {"/a": Page(CONTENT), "/b": Page(OTHER)}
    for name in "ab":
        fetch(Download(file=name, urls=(server.url(f"/{name}"),)), folder)
    assert json.loads((folder / "hashes.json").read_text())["sha256"] == {"a": sha256(CONTENT), "b": sha256(OTHER)}


def test_a_file_that_was_changed_after_it_came_is_refused(server, folder):
    server.pages["/data.bin"] = Page()
    path = fetch(unknown(server.url()), folder)
    path.write_bytes(OTHER)
    with pytest.raises(UnreadableError) as caught:
        fetch(unknown(server.url()), folder)
    assert sha256(OTHER) in caught.value.found
    assert sha256(CONTENT) in caught.value.found
    assert caught.value.remedy.startswith(f"remove it and fetch it again: rm {path}; if the first one was the wrong")


def test_another_file_than_the_first_time_is_refused(server, folder):
    server.pages["/data.bin"] = Page()
    fetch(unknown(server.url()), folder).unlink()
    server.pages["/data.bin"] = Page(OTHER, etag='"two"')
    found = refused(unknown(server.url()), folder).found
    assert f"another file than the first time (SHA-256 {sha256(OTHER)})" in found
    assert f"if this one is right: rm {folder / 'hashes.json'}" in found
    server.pages["/data.bin"] = Page()
    fetch(unknown(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_the_mirror_that_has_the_same_as_the_first_time_is_found(server, folder):
    server.pages["/data.bin"] = Page()
    fetch(unknown(server.url()), folder).unlink()
    server.pages |= {"/data.bin": Page(OTHER), "/second": Page()}
    fetch(unknown(server.url(), server.url("/second")), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT


@pytest.mark.parametrize("record", [b"", b"{", b"[]", b'{"sha256": {}}', b'{"schema_version": 2, "sha256": {}}'])
def test_a_record_of_hashes_that_cannot_be_read_is_told(server, folder, record):
    server.pages["/data.bin"] = Page()
    fetch(unknown(server.url()), folder)
    (folder / "hashes.json").write_bytes(record)
    with pytest.raises(UnreadableError, match=r"a record of hashes|newer genzoo"):
        fetch(unknown(server.url()), folder)


# Without a network


@pytest.mark.parametrize("wanted", [known("http://127.0.0.1:9/"), unknown("http://127.0.0.1:9/")])
def test_offline_it_is_told_what_belongs_where(folder, wanted):
    fault = refused(wanted, folder, offline=True)
    assert fault.found == f"{folder / 'data.bin'} is missing"
    assert fault.remedy == f"put data.bin{f' (MD5 {wanted.md5})' if wanted.md5 else ''} there"
    assert names(folder) == []


def test_what_is_published_nowhere_is_told_like_that(folder):
    assert f"put data.bin (MD5 {md5(CONTENT)}) there" == refused(known(), folder).remedy


def test_a_folder_can_be_a_mirror(tmp_path, folder):
    place = tmp_path / "a place, 100 % full of #ümlauts?"
    place.mkdir()
    (place / "data.bin").write_bytes(CONTENT)
    counts = []
    fetch(known((place / "data.bin").as_uri()), folder, report=lambda *count: counts.append(count))
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert counts[-1] == (len(CONTENT), len(CONTENT))


def test_a_folder_that_lacks_the_file_is_told_at_once(tmp_path, folder, naps):
    url = (tmp_path / "data.bin").as_uri()
    assert f"{url}: " in refused(known(url), folder).found
    assert naps == []  # nothing there will pass


# Several at once, and no room


def fetch_with_others(url, folder, barrier):
    barrier.wait(300)
    fetch(known(url), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_of_several_processes_one_fetches_and_the_others_wait(server, folder):
    server.pages["/data.bin"] = Page(seconds=0.3)
    context = get_context("spawn")
    barrier = context.Barrier(4)
    processes = [context.Process(target=fetch_with_others, args=(server.url(), folder, barrier)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0] * 4
    assert [(request.status, request.sent) for request in server.requests] == [(200, len(CONTENT))]


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_disk_that_fails_is_told_and_what_came_is_used_later(server, folder, monkeypatch, number):
    server.pages["/data.bin"] = Page()
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail(number))
        with pytest.raises(ResourceError) as caught:
            fetch(known(server.url()), folder)
    assert caught.value.exit_code == 6
    assert str(folder / "data.bin") in caught.value.found
    assert not (folder / "data.bin").exists()
    assert len(server.requests) == 1  # another mirror would not help
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_disk_that_is_full_while_it_is_written_to_is_told(server, folder, monkeypatch):
    server.pages["/data.bin"] = Page()
    opening = Path.open

    def full(path, mode="r", *more, **others):
        return opening(Path("/dev/full") if "w" in mode and path.suffix == ".part" else path, mode, *more, **others)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", full)
        with pytest.raises(ResourceError, match="no room to write") as caught:
            fetch(known(server.url()), folder)
    assert caught.value.exit_code == 6
    assert not (folder / "data.bin").exists()
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT


def test_a_folder_that_cannot_be_there_is_told(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ResourceError, match=r"cannot write .*: Not a directory") as caught:
        fetch(known("http://127.0.0.1:9/"), tmp_path / "file" / "below")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.ENOSPC])
def test_a_folder_in_which_nothing_can_be_written_is_told(server, folder, monkeypatch, number):
    opening = os.open

    def forbidding(path, flags, *more, **others):
        if flags & os.O_CREAT and Path(path).parent == folder:
            fail(number)()
        return opening(path, flags, *more, **others)

    folder.mkdir()
    monkeypatch.setattr(os, "open", forbidding)
    with pytest.raises(ResourceError) as caught:
        fetch(known(server.url()), folder)
    assert str(folder) in caught.value.found


# Reporting


def test_the_report_counts_up_to_the_whole(server, folder):
    server.pages["/data.bin"] = Page()
    counts = []
    fetch(known(server.url()), folder, report=lambda *count: counts.append(count))
    done = [count for count, _ in counts]
    assert done == sorted(done)
    assert (done[0], done[-1]) == (0, len(CONTENT))
    assert {total for _, total in counts} == {len(CONTENT)}


def test_the_report_of_a_continued_download_counts_what_was_there(server, folder):
    server.pages["/data.bin"] = Page(breaks=[BROKEN, 0, 0])
    refused(known(server.url()), folder)
    counts = []
    fetch(known(server.url()), folder, report=lambda *count: counts.append(count))
    assert counts[0] == (BROKEN, len(CONTENT))
    assert counts[-1] == (len(CONTENT), len(CONTENT))


def test_a_report_that_raises_stops_the_fetch_which_goes_on_later(server, folder):
    class Stopped(Exception):
        pass

    counts = []

    def stop(done, total):
        counts.append(done)
        if done:
            raise Stopped

    server.pages["/data.bin"] = Page()
    with pytest.raises(Stopped):
        fetch(known(server.url()), folder, report=stop)
    assert not (folder / "data.bin").exists()
    fetch(known(server.url()), folder)
    assert (folder / "data.bin").read_bytes() == CONTENT
    assert server.requests[-1].range == f"bytes={counts[-1]}-"
