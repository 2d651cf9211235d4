"""A run on a server as a backend: the same bytes as of the folder, by few requests."""

from __future__ import annotations

import hashlib
import io
import pickle
import random
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote

import pytest
import requests
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash import Experiment, wire
from ml_dash.backends import Backend, LocalBackend
from ml_dash.backends.http import BLOCK, BLOCKS, HttpBackend
from ml_dash.reading import RunView
from ml_dash.remote import NotFoundError, RejectedError, RemoteClient, UnreachableError

URL = "https://dash.test"


class FolderServer:
    """Answers a client from dicts, as the API does, and counts.

    Attributes:
        segments: bytes by path.
        files: bytes by place below `files/data`.
        asked: how many requests there were, of each kind.
        batches: whether it has the route for many files at once.
        whole: it knows no ranges.
    """

    url = URL

    def __init__(self, segments: dict[str, bytes], files: dict[str, bytes] | None = None) -> None:
        self.segments = segments
        self.files = files or {}
        self.asked: Counter[str] = Counter()
        self.batches = True
        self.whole = False
        self.closed = 0

    def backend(self) -> HttpBackend:
        """The backend under test."""
        return HttpBackend(cast(RemoteClient, self), "7")

    def close(self) -> None:
        """As a client has it."""
        self.closed += 1

    def json(self, method: str, path: str, *, params: dict[str, Any]) -> Any:
        """A page of a list; of two entries, so that whoever forgets the cursor is found out."""
        what = path.rpartition("/")[2]
        self.asked[what] += 1
        rows = self._segments() if what == "segments" else self._files()
        name = "path" if what == "segments" else "data"
        found = [
            row
            for row in rows
            if row[name].startswith(params.get("prefix", ""))
            and row[name] > params.get("cursor", "")
        ]
        size = 2 if len(rows) < 10 else int(params["limit"])
        page = found[:size]
        return {what: page, "next": page[-1][name] if len(found) > size else None}

    def request(self, method: str, path: str, **options: Any) -> requests.Response:
        """Bytes."""
        if path.endswith("/blobs/batch"):
            return self._batch(options["params"]["sha256"].split(","))
        kind, _, name = unquote(path).removeprefix("/runs/7/").partition("/")
        self.asked[f"get {kind}"] += 1
        data = (self.segments if kind == "segments" else self.files).get(name)
        if data is None:
            raise NotFoundError("no")
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", options["headers"]["Range"])
        assert found is not None
        begin, last = int(found[1]), int(found[2]) if found[2] else len(data) - 1
        if not self.whole and begin >= len(data):
            error = RejectedError("beyond the end")
            error.status = 416
            raise error
        made = requests.Response()
        made.headers["ETag"] = hashlib.sha256(data).hexdigest()
        made.status_code = 200 if self.whole else 206
        made._content = data if self.whole else data[begin : last + 1]
        end = begin + len(made._content) - 1
        made.headers["Content-Range"] = f"bytes {begin}-{end}/{len(data)}"
        return made

    def _batch(self, wanted: list[str]) -> requests.Response:
        self.asked["batch"] += 1
        if not self.batches:
            raise NotFoundError("no such route")
        by_sha = {hashlib.sha256(data).hexdigest(): data for data in self.files.values()}
        assert len(wanted) <= 64
        pieces = [{"sha256": sha, "size": len(by_sha[sha])} for sha in wanted]
        made = requests.Response()
        made.status_code = 200
        made._content = wire.pack({"pieces": pieces}, [by_sha[sha] for sha in wanted])
        return made

    def _segments(self) -> list[dict[str, Any]]:
        return [{"path": path, "size": len(data)} for path, data in sorted(self.segments.items())]

    def _files(self) -> list[dict[str, Any]]:
        return [
            {
                "path": place,
                "data": place,
                "size": len(data),
                "sha256": hashlib.sha256(data).hexdigest(),
                "stored": True,
            }
            for place, data in sorted(self.files.items())
        ]


def lines(size: int) -> bytes:
    """Some bytes of a segment."""
    return random.Random(size).randbytes(size)


def test_it_is_a_backend() -> None:
    """Whatever takes one takes it; what would write is refused with a word on what to do."""
    backend = FolderServer({}).backend()
    assert isinstance(backend, Backend)
    for write in (
        lambda: backend.append("a", 0, [b"x"]),
        lambda: backend.put_blob("a", b"x"),
        lambda: backend.put_blob_file("a", Path("x")),
        lambda: backend.delete_blob("a"),
    ):
        with pytest.raises(io.UnsupportedOperation, match="record it locally"):
            write()


def test_a_run_reads_as_its_folder_does(tmp_path: Path) -> None:
    """Rows, parameters, messages and files, through pages of two."""
    made = Experiment("a/b", dash_root=tmp_path, echo=False, environment=False)
    with made.run as experiment:
        experiment.params.set(lr=0.5)
        experiment.log("hello")
        for step in range(30):
            experiment.track("t").append({"step": step, "x": step})
        experiment.files("models").save_text("notes", to="notes.txt")
    assert made.folder is not None
    local = LocalBackend(made.folder)
    listed = [info.path for info in local.list()]
    segments = {path: local.read(path) for path in listed if path.endswith(".jsonl")}
    data = "files/data/"
    files = {p.removeprefix(data): local.read(p) for p in listed if p.startswith(data)}
    backend = FolderServer(segments, files).backend()
    kept = {info for info in local.list() if info.path.endswith(".jsonl") or data in info.path}
    assert set(backend.list()) == kept
    assert {info.path for info in backend.list("tracks/t")} == {
        path for path in listed if path.startswith("tracks/t/")
    }
    remote, here = RunView(backend, "a/b"), RunView(local, "a/b")
    assert remote.status == "COMPLETED"
    assert dict(remote.params) == dict(here.params)
    assert list(remote.tracks["t"]) == list(here.tracks["t"])
    assert remote.files.read_text("models/notes.txt") == "notes"


@settings(max_examples=60, deadline=None)
@given(
    size=st.integers(0, 5 * BLOCK // 2),
    reads=st.lists(
        st.tuples(st.integers(0, 3 * BLOCK), st.none() | st.integers(0, 2 * BLOCK)), max_size=8
    ),
    whole=st.booleans(),
)
def test_any_range_has_the_bytes_of_the_segment(
    size: int, reads: list[tuple[int, int | None]], whole: bool
) -> None:
    """In any order, over the end, and of a server that knows no ranges."""
    data = lines(size)
    server = FolderServer({"logs/w.jsonl": data})
    server.whole = whole
    backend = server.backend()
    for offset, wanted in reads:
        expected = data[offset:] if wanted is None else data[offset : offset + wanted]
        assert backend.read("logs/w.jsonl", offset, wanted) == expected
    assert backend.read("logs/none.jsonl", 0, 10) == b""


def test_many_small_ranges_make_few_requests() -> None:
    """16 MiB read in pieces of 4 KiB: a request for many of them, and none twice."""
    data = lines(16 * BLOCK)
    server = FolderServer({"logs/w.jsonl": data})
    backend = server.backend()
    pieces = [backend.read("logs/w.jsonl", at, 4096) for at in range(0, len(data), 4096)]
    assert b"".join(pieces) == data
    assert server.asked["get segments"] <= 5
    for at in (0, 5 * BLOCK, 15 * BLOCK):
        backend.read("logs/w.jsonl", at, 100)
    assert server.asked["get segments"] <= 5


def test_a_segment_that_grows_is_fetched_from_where_it_ended() -> None:
    """Following a live run moves only what is new."""
    server = FolderServer({"logs/w.jsonl": lines(1000)})
    backend = server.backend()
    assert len(backend.read("logs/w.jsonl", 0, BLOCK)) == 1000
    server.segments["logs/w.jsonl"] += b"more"
    assert backend.size("logs/w.jsonl") == 1004
    assert backend.read("logs/w.jsonl", 1000, BLOCK) == b"more"
    assert backend.read("logs/w.jsonl", 0, BLOCK) == lines(1000) + b"more"


def test_what_is_kept_is_bounded() -> None:
    """However many segments are read."""
    server = FolderServer({f"logs/{n}.jsonl": lines(BLOCK // 8) for n in range(3 * BLOCKS)})
    backend = server.backend()
    for path in server.segments:
        backend.read(path, 0, 10)
    assert len(backend._blocks) <= BLOCKS
    assert len(backend._ahead) <= BLOCKS
    backend.close()
    assert not backend._blocks and server.closed == 1


def frames(number: int) -> dict[str, bytes]:
    """Small files, as of a camera."""
    return {f"robot/frames/frame_{n:05}.jpg": lines(5000 + n) for n in range(number)}


def test_frames_in_order_come_many_at_once() -> None:
    """A thousand frames by two dozen requests, each with its own bytes."""
    server = FolderServer({}, frames(1000))
    backend = server.backend()
    for place, data in server.files.items():
        with backend.open_blob(f"files/data/{place}") as file:
            assert file.read() == data
    assert server.asked.total() < 30


def test_frames_here_and_there_bring_no_others() -> None:
    """As a contact sheet reads them: one request each and one look at the list."""
    server = FolderServer({}, frames(1000))
    backend = server.backend()
    for place in list(server.files)[::100]:
        with backend.open_blob(f"files/data/{place}") as file:
            assert file.read() == server.files[place]
    assert server.asked == {"get files": 10, "files": 1}


def test_a_server_without_that_route_gives_them_one_by_one() -> None:
    """It is asked for many once."""
    server = FolderServer({}, frames(50))
    server.batches = False
    backend = server.backend()
    for place, data in server.files.items():
        with backend.open_blob(f"files/data/{place}") as file:
            assert file.read() == data
    assert server.asked["batch"] == 1
    assert server.asked["get files"] == 50


def test_frames_are_read_ahead_by_threads_without_a_mistake() -> None:
    """Four threads open the same frames."""
    server = FolderServer({}, frames(200))
    backend = server.backend()
    wrong: list[str] = []

    def look() -> None:
        for place, data in server.files.items():
            with backend.open_blob(f"files/data/{place}") as file:
                if file.read() != data:
                    wrong.append(place)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_a_large_file_is_fetched_as_it_is_read() -> None:
    """Its middle alone, where only that is wanted."""
    server = FolderServer({}, {"models/large": lines(9 * BLOCK)})
    backend = server.backend()
    with backend.open_blob("files/data/models/large") as file:
        assert file.seek(0, io.SEEK_END) == 9 * BLOCK
        file.seek(5 * BLOCK + 17)
        assert file.read(1000) == lines(9 * BLOCK)[5 * BLOCK + 17 : 5 * BLOCK + 1017]
    assert server.asked["get files"] == 2


def test_a_file_that_was_saved_again_meanwhile_is_no_mixture() -> None:
    """The reader is told."""
    server = FolderServer({}, {"models/large": lines(4 * BLOCK)})
    with server.backend().open_blob("files/data/models/large") as file:
        file.read(10)
        server.files["models/large"] = lines(4 * BLOCK + 1)
        with pytest.raises(OSError, match="saved again while it was read"):
            file.read()


def test_a_file_that_is_not_there_is_told_when_it_is_opened() -> None:
    """As in a folder."""
    with pytest.raises(FileNotFoundError):
        FolderServer({}).backend().open_blob("files/data/none")


def test_another_range_than_was_asked_for_is_refused() -> None:
    """A cache in between that mixes them up does not mix up rows."""
    server = FolderServer({"logs/w.jsonl": lines(100)})
    real = server.request

    def shifted(*arguments: Any, **options: Any) -> requests.Response:
        made = real(*arguments, **options)
        made.headers["Content-Range"] = "bytes 1-99/100"
        return made

    server.request = shifted  # type: ignore[method-assign]  # one answer of another kind
    with pytest.raises(UnreachableError, match="another range"):
        server.backend().read("logs/w.jsonl", 0, 50)


def test_it_goes_to_other_processes_without_tokens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loader's worker opens it anew, as the user that is logged in there."""
    monkeypatch.setenv("ML_DASH_CONFIG", str(tmp_path / "config.toml"))
    monkeypatch.setenv("ML_DASH_TOKEN", "canary")
    backend = HttpBackend(RemoteClient(URL), "7")
    data = pickle.dumps(backend)
    assert b"canary" not in data
    again = pickle.loads(data)
    assert (again.client.url, again.run) == (URL, "7")
