"""One pass of replication: what the server has afterwards is what the folder has, byte for byte."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

import pytest
from replicas import MemoryClient, MemoryServer, client_of, files_in, segments_in

from ml_dash import Experiment
from ml_dash.remote import UnauthorizedError, UnreachableError
from ml_dash.sync import parts, replicate
from ml_dash.sync.replica import Replica
from ml_dash.sync.trouble import BackOff

QUIET: dict[str, Any] = {"echo": False, "environment": False}


def record(root: Path, seed: int = 0, prefix: str = "robotics/arm") -> Path:
    """A run with rows in several streams and files of several sizes."""
    chance = random.Random(seed)
    with Experiment(prefix, dash_root=root, **QUIET).run as experiment:
        experiment.params.set(lr=chance.random())
        for step in range(chance.randrange(5, 60)):
            experiment.track(f"robot/{chance.randrange(4)}").append({"step": step, "x": step / 7})
            experiment.metrics("train").log(step=step, loss=chance.random())
        experiment.log("x" * chance.randrange(20_000))
        for number in range(chance.randrange(4)):
            experiment.files("models").save_blob(chance.randbytes(3000), to=f"{number}.bin")
        if chance.randrange(3) == 0:
            experiment.files("models").save_blob(chance.randbytes((1 << 20) + 77), to="large.bin")
    assert experiment.folder is not None
    return experiment.folder


def agree(folder: Path, server: MemoryServer) -> bool:
    """Whether the server has exactly what the folder has."""
    return server.segments == segments_in(folder) and server.blobs == files_in(folder)


def no_wait(seconds: float) -> None:
    """In place of sleeping."""


def test_a_run_is_on_the_server_and_a_second_pass_moves_nothing(tmp_path: Path) -> None:
    """Rows and files arrive once; then only questions are asked."""
    folder, server = record(tmp_path), MemoryServer()
    report = replicate(folder, client_of(server))
    assert report.ok
    assert report.bytes == sum(map(len, segments_in(folder).values()))
    assert report.files == len(files_in(folder)) and agree(folder, server)
    server.requests.clear()
    again = replicate(folder, client_of(server))
    assert again.ok and (again.rows, again.bytes, again.files) == (0, 0, 0)
    assert set(server.requests) <= {"POST runs", "GET segments", "GET lost", "POST blobs"}


@pytest.mark.parametrize("first", range(0, 120, 10))
def test_lost_and_repeated_requests_leave_equal_copies(tmp_path: Path, first: int) -> None:
    """Whatever gets lost on the way, the copies agree afterwards: ten seeds at a time."""
    folder = record(tmp_path, first)
    for seed in range(first, first + 10):
        server = MemoryServer()
        client: Any = MemoryClient(server, seed)
        report = replicate(folder, client, back_off=BackOff(0.0), sleep=no_wait, patience=60.0)
        assert report.ok, report
        assert agree(folder, server)


def test_requests_are_halved_until_the_server_takes_them(tmp_path: Path) -> None:
    """At line boundaries, and without losing the others."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        for step in range(1000):
            experiment.track("t").append({"step": step, "x": step / 7})
            experiment.log("x" * 100)
    folder, server = tmp_path / "a/b", MemoryServer(limit=20_000)
    assert replicate(folder, client_of(server)).ok
    assert server.segments == segments_in(folder)
    assert server.requests["POST append"] > 10


def test_a_line_that_is_too_large_for_the_server_stops_its_segment_only(tmp_path: Path) -> None:
    """It is reported by segment and byte."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.log("short")
        experiment.log("x" * 50_000)
        experiment.track("t").append({"x": 1})
    folder = tmp_path / "a/b"
    server = MemoryServer(limit=20_000)
    report = replicate(folder, client_of(server))
    assert len(report.problems) == 1
    assert "logs/" in report.problems[0] and "too large for the server" in report.problems[0]
    whole = segments_in(folder)
    assert {path for path in whole if server.segments.get(path) != whole[path]} == {
        path for path in whole if path.startswith("logs/")
    }


def test_an_episode_in_which_everything_is_too_large_gives_nothing_up(tmp_path: Path) -> None:
    """As of a proxy that was set wrong for a while: no line of a few bytes is too large."""
    folder, server = record(tmp_path), MemoryServer(limit=10)
    count = 0

    def before(method: str, path: str) -> None:
        nonlocal count
        count += path.endswith("/append")
        if count > 40:
            server.limit = 1 << 30

    client: Any = MemoryClient(server, before=before)
    report = replicate(folder, client, back_off=BackOff(0.0), sleep=no_wait, patience=60.0)
    assert report.error is not None and not report.problems
    server.limit = 1 << 30
    report = replicate(folder, client)
    assert report.ok and agree(folder, server)


def test_files_of_an_episode_in_which_everything_was_too_large_are_tried_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the same sender, after a while; and parts grow again."""
    folder, server = record(tmp_path, 1), MemoryServer(part_size=8 << 20)
    with Experiment("robotics/arm", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("f").save_blob(bytes(30_000), to="small.bin")
    replica = Replica(folder, client_of(server))
    server.limit = 20_000
    for _ in range(3):
        replica.advance()
    assert "small.bin: not sent" in str(replica.report(settled=True).problems)
    server.limit = 1 << 30
    replica.advance()
    assert not agree(folder, server), "not at once: it may be so for good"
    monkeypatch.setattr(parts, "AGAIN", -1.0)
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 100)
    replica.advance()
    assert agree(folder, server) and not replica.report(settled=True).problems


@pytest.mark.parametrize("said", [{"ok": True}, None, [], {"pieces": []}, {"pieces": "all"}])
def test_what_is_no_answer_of_the_server_is_told_and_asked_again(tmp_path: Path, said: Any) -> None:
    """Something in between may say 200 to everything; nothing counts as sent then."""
    folder, server = record(tmp_path), MemoryServer()
    client: Any = MemoryClient(server)
    ask, told = client.json, []

    def json(method: str, path: str, **options: Any) -> Any:
        if method == "POST" and path != "/runs" and len(told) < 5:
            told.append(path)
            return said
        return ask(method, path, **options)

    client.json = json
    failures: list[str] = []

    class Noting(BackOff):
        def next(self, error: BaseException) -> float:
            failures.append(str(error))
            return 0.0

    report = replicate(folder, client, back_off=Noting(), sleep=no_wait, patience=60.0)
    assert report.ok and agree(folder, server)
    assert len(failures) == 5 and all("the answer of" in text for text in failures), failures


def test_other_histories_are_reported_and_never_overwritten(tmp_path: Path) -> None:
    """The segment that differs stays as it is on both sides; the others go on."""
    folder, server = record(tmp_path), MemoryServer()
    before = segments_in(folder)
    path = next(path for path in before if path.startswith("metrics/"))
    server.segments[path] = foreign = b'{"timestamp": 1.0, "loss": 9}\n'
    report = replicate(folder, client_of(server))
    assert [problem for problem in report.problems if path in problem] == list(report.problems)
    assert "other bytes" in report.problems[0]
    assert server.segments == before | {path: foreign}
    assert segments_in(folder) == before


def test_a_server_that_is_ahead_of_a_cut_folder_is_reported(tmp_path: Path) -> None:
    """An older copy of a folder must not be taken for the newer one."""
    folder, server = record(tmp_path), MemoryServer()
    assert replicate(folder, client_of(server)).ok
    path = next(path for path in segments_in(folder) if path.startswith("tracks/"))
    kept = dict(server.segments)
    (folder / path).write_bytes(kept[path][: kept[path].index(b"\n") + 1])
    report = replicate(folder, client_of(server))
    assert len(report.problems) == 1 and "more than this folder" in report.problems[0]
    assert server.segments == kept


def test_a_torn_line_of_a_dead_writer_is_sent_so_that_copies_are_equal(tmp_path: Path) -> None:
    """Nobody will finish it."""
    folder, server = record(tmp_path), MemoryServer()
    path = next(path for path in segments_in(folder) if path.startswith("logs/"))
    with (folder / path).open("ab") as file:
        file.write(b'{"timestamp": 17')
    assert replicate(folder, client_of(server)).ok
    assert agree(folder, server)


def test_a_torn_line_of_a_live_writer_waits(tmp_path: Path) -> None:
    """Its writer may be about to finish it: until then it is no row, and nothing is said of it."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("t").append({"x": 1})
        experiment.flush()
        folder, server = tmp_path / "a/b", MemoryServer()
        (path,) = (path for path in segments_in(folder) if path.startswith("tracks/"))
        whole = (folder / path).read_bytes()
        with (folder / path).open("ab") as file:
            file.write(b'{"timestamp": 17')
        report = replicate(folder, client_of(server))
        assert report.ok and report.pending == 0
        assert server.segments[path] == whole
        (folder / path).write_bytes(whole)


def test_two_replicators_at_once_double_nothing(tmp_path: Path) -> None:
    """Each is told where the other has got to."""
    folder = record(tmp_path, 3)
    server = MemoryServer(limit=21_000)

    def other(method: str, path: str) -> None:
        if path.endswith("/append"):
            client.before = None
            replicate(folder, client_of(server))

    client: Any = MemoryClient(server, before=other)
    assert replicate(folder, client).pending == 0
    assert server.segments == segments_in(folder)


def test_a_file_that_is_gone_is_reported_and_the_others_arrive(tmp_path: Path) -> None:
    """A missing or altered file is told by its path."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        files = experiment.files("models")
        for name in ("gone", "other", "kept", "replaced", "deleted"):
            files.save_blob(name.encode(), to=f"{name}.bin")
        files.save_blob(b"anew", to="replaced.bin")
        files.delete("deleted.bin")
    folder, server = tmp_path / "a/b", MemoryServer()
    (folder / "files/data/models/gone.bin").unlink()
    (folder / "files/data/models/other.bin").write_bytes(b"changed by hand")
    report = replicate(folder, client_of(server))
    assert sorted(report.problems) == [
        "models/gone.bin: not sent: the file is gone from the run",
        "models/other.bin: not sent: another file has taken its place",
    ]
    assert sorted(server.blobs.values()) == [b"anew", b"kept"]


def test_a_content_is_sent_from_any_file_that_still_has_it(tmp_path: Path) -> None:
    """As of `best.bin` and `last.bin`, whichever of them goes on to be written."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        files = experiment.files("models")
        for name in ("best", "last"):
            for content, ending in ((b"small", "bin"), (bytes(2 << 20), "large")):
                files.save_blob(content, to=f"{name}.{ending}")
    for place in (tmp_path / "a/b/files/data/models").glob("last.*"):
        place.write_bytes(b"another epoch")
    server = MemoryServer()
    assert replicate(tmp_path / "a/b", client_of(server)).ok
    assert sorted(server.blobs.values(), key=len) == [b"small", bytes(2 << 20)]


def test_a_large_file_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    """Parts that the server has are not sent again."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.files("models").save_blob(random.Random(1).randbytes(2 << 20), to="m.bin")
    server = MemoryServer(part_size=1 << 18)
    parts: list[str] = []

    def before(method: str, path: str) -> None:
        if method == "PUT":
            parts.append(path)
            if len(parts) == 5:
                raise ConnectionError

    client: Any = MemoryClient(server, before=before)
    with pytest.raises(ConnectionError):
        replicate(tmp_path / "a/b", client)
    assert replicate(tmp_path / "a/b", client).ok
    assert len(parts) == 8 + 1
    assert agree(tmp_path / "a/b", server)


def test_files_get_through_a_proxy_that_takes_small_requests_only(tmp_path: Path) -> None:
    """Small files and large ones, in parts that fit; several at once find the same way."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        files = experiment.files("f")
        for number in range(6):
            files.save_blob(random.Random(number).randbytes(300_000), to=f"small{number}.bin")
        files.save_blob(random.Random(9).randbytes(3 << 20), to="large.bin")
    server = MemoryServer(limit=140_000, part_size=8 << 20)
    report = replicate(tmp_path / "a/b", client_of(server))
    assert report.ok, str(report)
    assert server.blobs == files_in(tmp_path / "a/b")


class OlderServer(MemoryServer):
    """Knows of no parts but its own."""

    def _upload(
        self, method: str, what: str, params: dict[str, Any], json: Any, body: bytes
    ) -> dict[str, Any]:
        about = json and {key: json[key] for key in json if key != "part_size"}
        return super()._upload(method, what, params, about, body)


def test_parts_that_an_older_server_has_not_are_asked_for_once(tmp_path: Path) -> None:
    """It wants parts that no proxy before it takes: the file is told and left, the rest arrives."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("t").append({"x": 1})
        experiment.files("f").save_blob(bytes(300_000), to="file.bin")
    server = OlderServer(limit=140_000, part_size=8 << 20)
    asked: list[str] = []

    def before(method: str, path: str) -> None:
        asked.append(path)
        assert len(asked) < 50, "it is asked again and again"

    client: Any = MemoryClient(server, before=before)
    report = replicate(tmp_path / "a/b", client)
    (problem,) = report.problems
    assert problem.startswith("f/file.bin: not sent: ") and "is older" in problem
    assert server.segments == segments_in(tmp_path / "a/b") and not report.pending


def test_many_files_are_asked_about_in_requests_that_get_through(tmp_path: Path) -> None:
    """The question which of them are missing is a request, too."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        for number in range(300):
            experiment.files("f").save_blob(b"%d" % number, to=f"{number}.bin")
    server = MemoryServer(limit=20_000)
    report = replicate(tmp_path / "a/b", client_of(server))
    assert report.ok and report.files == 300, str(report)


def test_a_proxy_that_takes_next_to_nothing_is_told_and_rows_arrive(tmp_path: Path) -> None:
    """The files are left, by name and with the reason; nothing is tried for ever."""
    with Experiment("a/b", dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("t").append({"x": 1})
        experiment.files("f").save_blob(bytes(300_000), to="file.bin")
    server = MemoryServer(limit=20_000, part_size=8 << 20)
    report = replicate(tmp_path / "a/b", client_of(server))
    (problem,) = report.problems
    assert problem.startswith("f/file.bin: not sent: ") and "takes no request of" in problem
    assert server.segments == segments_in(tmp_path / "a/b") and not report.pending


def test_a_server_that_cannot_say_what_is_lost_gets_everything(tmp_path: Path) -> None:
    """Of a very large run it may take too long: that is told, and the run is there all the same."""
    folder, server = record(tmp_path), MemoryServer()

    def before(method: str, path: str) -> None:
        if path.endswith("/lost"):
            raise UnreachableError("took too long to answer")

    client: Any = MemoryClient(server, before=before)
    report = replicate(folder, client, patience=0.0)
    assert not report.ok and report.error == "took too long to answer"
    assert agree(folder, server) and not report.pending


def test_what_the_store_of_the_server_has_lost_is_told(tmp_path: Path) -> None:
    """Though there is nothing to send, all is not well; how to mend it is said."""
    folder, server = record(tmp_path), MemoryServer()
    assert replicate(folder, client_of(server)).ok
    server.lost = ["tracks/t/w.jsonl", "a", "b", "c", "d"]
    report = replicate(folder, client_of(server))
    assert not report.ok and report.pending == 0
    assert "tracks/t/w.jsonl, a, b and 2 more: the server's store has lost bytes" in str(report)
    assert f"`ml-dash sync {folder}`" in str(report)


def test_a_run_that_may_be_there_is_not_counted_as_missing(tmp_path: Path) -> None:
    """A server that cannot be asked has said nothing of what it has."""

    def before(method: str, path: str) -> None:
        raise UnauthorizedError("it does not take the token")

    folder = record(tmp_path)
    client: Any = MemoryClient(MemoryServer(), before=before)
    report = replicate(folder, client)
    assert not report.ok and report.pending
    assert "is not known" in str(report) and "not yet on the server" not in str(report)


@pytest.mark.parametrize("found", [{"hello": 1}, [], {"run": {}}, {"run": {"id": "7"}}])
def test_an_answer_without_a_run_is_that_of_another_program(tmp_path: Path, found: Any) -> None:
    """Told in a sentence, not as a `KeyError`."""

    class Other(MemoryServer):
        def answer(self, *asked: Any) -> Any:
            return found

    client: Any = MemoryClient(Other())
    client.url = "http://dash.invalid"
    report = replicate(record(tmp_path), client, patience=0.0)
    assert report.error is not None and "has no run in it; is it the address of" in report.error
