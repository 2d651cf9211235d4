"""Small chunks put together: the same bytes, and nobody waits for it or loses by it."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update

from ml_dash.reading import read_rows
from ml_dash.server.segments import chunks, compaction, stored
from ml_dash.server.segments.compaction import compact_run, find_loose
from ml_dash.server.segments.stored import ChunkCache, StoredRun, iterate_segment
from ml_dash.server.sweeping import sweep_garbage, sweep_unknown
from ml_dash.server.tables import Run, Segment

from .inside import Inside, make_run, send
from .serving import KINDS, Machines
from .writers import NEVER, SEGMENT, Writer, chunks_of, garbage, keys, needed


@pytest.fixture(params=KINDS)
def inside(
    request: pytest.FixtureRequest,
    machines: Machines,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Inside]:
    """A server over each kind of database; nothing is read from a cache."""
    monkeypatch.setattr(stored, "_cache", ChunkCache(1))
    settings = machines.settings(request.param, tmp_path)
    made = Inside(tmp_path, database=settings.database)
    yield made
    made.close()


def test_small_chunks_become_one_with_the_same_bytes(inside: Inside) -> None:
    """Size, CRC, rows, steps and times stay; the old objects go after a while."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for _ in range(12):
        writer.append(3)
    assert len(chunks_of(inside)) == 12
    assert compact_run(inside.data, inside.objects, writer.run, inside.now) == 11
    assert len(chunks_of(inside)) == 1
    writer.check(inside)
    assert keys(inside) == needed(inside) | garbage(inside)
    assert len(garbage(inside)) == 12
    sweep_garbage(inside.data, inside.objects, inside.now, NEVER)
    assert keys(inside) == needed(inside)
    assert garbage(inside) == set()
    writer.append(2)
    writer.check(inside)


def test_chunks_of_a_fair_size_are_left_alone(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """None becomes larger than a chunk may be, and a second time changes nothing."""
    monkeypatch.setattr(chunks, "CHUNK", 400)
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for count in (1, 2, 40, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 30, 1):
        writer.append(count)
    before = len(chunks_of(inside))
    fewer = compact_run(inside.data, inside.objects, writer.run, inside.now)
    after = [(chunk.offset, chunk.object_key) for chunk in chunks_of(inside)]
    assert 0 < fewer == before - len(after)
    assert max(chunk.size for chunk in chunks_of(inside)) <= 400
    writer.check(inside)
    writer.append()
    compact_run(inside.data, inside.objects, writer.run, inside.now)
    compact_run(inside.data, inside.objects, writer.run, inside.now)
    writer.check(inside)


def test_many_streams_are_put_together_in_few_objects(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when their lines are more than are held at a time."""
    monkeypatch.setattr(compaction, "BATCH", 2000)
    client = inside.user("anna")
    run = make_run(client)
    writers = [Writer(client, run, f"metrics/m{number}/w.jsonl") for number in range(20)]
    for _ in range(4):
        for writer in writers:
            writer.append()
    compact_run(inside.data, inside.objects, run, inside.now)
    assert 1 < len(needed(inside)) < 10
    for writer in writers:
        assert len(chunks_of(inside, writer.path)) == 1
        writer.check(inside)


def test_a_torn_line_between_two_chunks_stays_between_them(inside: Inside) -> None:
    """Its halves are rows of neither; put together they would be counted as one."""
    client = inside.user("anna")
    run = make_run(client)
    first, half = b'{"timestamp": 1.0, "step": 1}\n', b'{"timestamp": 2.0,'
    header = {"segment": SEGMENT, "tail": 0, "offset": 0, "size": len(first + half), "last": True}
    from ml_dash import wire

    body = wire.pack({"pieces": [header]}, [first + half])
    client.post(f"/api/v1/runs/{run}/append", content=body)
    rest = b' "step": 2}\n{"timestamp": 3.0, "step": 3}\n'
    send(client, run, (SEGMENT, len(first + half), first + half, rest))
    send(client, run, (SEGMENT, len(first + half + rest), first + half + rest, first))
    compact_run(inside.data, inside.objects, run, inside.now)
    found = [(chunk.size, chunk.rows) for chunk in chunks_of(inside)]
    assert found == [(len(first + half), 1), (len(rest + first), 2)]
    assert (
        client.get(f"/api/v1/runs/{run}/segments/{SEGMENT}").content == first + half + rest + first
    )


@pytest.mark.parametrize("broken", ["noted", "put", "committed", "swept"])
def test_a_process_that_dies_in_between_loses_and_leaves_nothing(
    inside: Inside, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    """Wherever it is broken off, the bytes are there, and what is too many is removed."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for _ in range(6):
        writer.append()

    class Died(BaseException):
        pass

    transaction, put = inside.data.transaction, inside.objects.put
    count = 0

    def die(*args: Any) -> None:
        raise Died

    def transact(work: Callable[[Any], Any]) -> Any:
        nonlocal count
        count += 1
        if (broken, count) == ("put", 2):
            raise Died
        result = transaction(work)
        if (broken, count) == ("committed", 2):
            raise Died
        return result

    def put_and_die(key: str, data: bytes) -> None:
        if broken == "noted":
            raise Died
        put(key, data)

    with monkeypatch.context() as patch:
        patch.setattr(inside.data, "transaction", transact)
        patch.setattr(inside.objects, "put", put_and_die)
        if broken == "swept":
            compact_run(inside.data, inside.objects, writer.run, inside.now)
            patch.setattr(inside.objects, "delete", die)
            with pytest.raises(Died):
                sweep_garbage(inside.data, inside.objects, inside.now, NEVER)
        else:
            with pytest.raises(Died):
                compact_run(inside.data, inside.objects, writer.run, inside.now)
    writer.check(inside)
    sweep_garbage(inside.data, inside.objects, inside.now, NEVER)
    sweep_unknown(inside.data, inside.objects, before=9e9, stop=NEVER)
    writer.check(inside)
    assert keys(inside) == needed(inside)
    compact_run(inside.data, inside.objects, writer.run, inside.now)
    assert len(chunks_of(inside)) == 1
    writer.check(inside)


def test_what_is_read_meanwhile_is_read_on(inside: Inside) -> None:
    """A reader that has begun goes on over the new chunks, even when the old objects are gone."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for _ in range(8):
        writer.append(2)
    segment = chunks_of(inside)[0].segment_id
    pieces = iterate_segment(inside.data, inside.objects, segment, 0, len(writer.text))
    begun = next(pieces) + next(pieces)
    compact_run(inside.data, inside.objects, writer.run, inside.now)
    sweep_garbage(inside.data, inside.objects, inside.now, NEVER)
    assert begun + b"".join(pieces) == writer.text


def test_a_compaction_that_comes_too_late_changes_nothing(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another process did the same, or its object was swept as garbage: it gives up."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for _ in range(5):
        writer.append()
    put = inside.objects.put
    first = True

    def put_late(key: str, data: bytes) -> None:
        nonlocal first
        put(key, data)
        if first:
            first = False
            assert compact_run(inside.data, inside.objects, writer.run, inside.now) == 4
            writer.append()

    monkeypatch.setattr(inside.objects, "put", put_late)
    assert compact_run(inside.data, inside.objects, writer.run, inside.now) == 0
    writer.check(inside)
    assert len(chunks_of(inside)) == 2

    def put_swept(key: str, data: bytes) -> None:
        put(key, data)
        sweep_garbage(inside.data, inside.objects, inside.now, NEVER)

    monkeypatch.setattr(inside.objects, "put", put_swept)
    assert compact_run(inside.data, inside.objects, writer.run, inside.now) == 0
    writer.check(inside)
    assert keys(inside) == needed(inside)


def test_a_run_that_is_deleted_meanwhile_stays_deleted(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its new object goes with it."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for _ in range(5):
        writer.append()
    put = inside.objects.put

    def put_late(key: str, data: bytes) -> None:
        put(key, data)
        assert client.delete(f"/api/v1/runs/{writer.run}").status_code == 204

    monkeypatch.setattr(inside.objects, "put", put_late)
    assert compact_run(inside.data, inside.objects, writer.run, inside.now) == 0
    sweep_garbage(inside.data, inside.objects, inside.now, NEVER)
    assert keys(inside) == set()
    assert garbage(inside) == set()


def test_appends_reads_and_compactions_at_once_agree(inside: Inside) -> None:
    """Two threads put together what two others append and read; all is there in the end."""
    client = inside.user("anna")
    run = make_run(client)
    writers = [Writer(client, run, f"tracks/t{number}/w.jsonl") for number in range(2)]
    done = threading.Event()
    failures: list[BaseException] = []

    def guard(work: Callable[[], None]) -> Callable[[], None]:
        def guarded() -> None:
            try:
                work()
            except BaseException as error:  # noqa: BLE001 - told by the main thread
                failures.append(error)

        return guarded

    def compact() -> None:
        while not done.is_set():
            compact_run(inside.data, inside.objects, run, inside.now)

    def write(writer: Writer) -> Callable[[], None]:
        def work() -> None:
            pick = random.Random(writer.path)
            for _ in range(25):
                writer.append(pick.randrange(1, 4))
                url = f"/api/v1/runs/{run}/segments/{writer.path}"
                assert client.get(url).content == writer.text

        return work

    threads = [threading.Thread(target=guard(compact)) for _ in range(2)]
    appending = [threading.Thread(target=guard(write(writer))) for writer in writers]
    for thread in threads + appending:
        thread.start()
    for thread in appending:
        thread.join()
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []
    for writer in writers:
        writer.check(inside)
    sweep_garbage(inside.data, inside.objects, inside.now, NEVER)
    sweep_unknown(inside.data, inside.objects, before=9e9, stop=NEVER)
    assert keys(inside) == needed(inside)
    for writer in writers:
        writer.check(inside)
    backend = StoredRun(inside.data, inside.objects, run)
    assert [row["step"] for row in read_rows(backend, "tracks/t0")] == list(range(writers[0]._row))


def test_runs_that_ended_and_those_that_grew_are_found(inside: Inside) -> None:
    """A run that lives is left alone until a segment of it has many chunks."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    writer.append()
    assert find_loose(inside.data, inside.now, most=3) == []
    writer.append()
    writer.append()
    assert find_loose(inside.data, inside.now, most=3) == [writer.run]
    compact_run(inside.data, inside.objects, writer.run, inside.now)
    assert find_loose(inside.data, inside.now, most=3) == []
    inside.now += 1
    writer.append()
    assert find_loose(inside.data, inside.now, most=3) == []
    inside.now += 1000  # nothing has been heard of it since
    assert find_loose(inside.data, inside.now, most=3) == [writer.run]
    compact_run(inside.data, inside.objects, writer.run, inside.now)
    assert find_loose(inside.data, inside.now, most=3) == []
    assert len(chunks_of(inside)) == 1


def test_an_older_count_does_not_hide_what_came_since(inside: Inside) -> None:
    """What was appended while a compaction ran still counts for the next one."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for _ in range(3):
        writer.append()
    with inside.data.reading() as session:
        assert session.scalar(select(func.max(Segment.chunks))) == 3
    inside.data.transaction(lambda s: s.execute(update(Segment).values(chunks=5)))
    compact_run(inside.data, inside.objects, writer.run, inside.now)
    writer.append()
    with inside.data.reading() as session:
        assert session.scalar(select(func.max(Segment.chunks))) == 1
        assert session.scalar(select(Run.compacted)) == inside.now
