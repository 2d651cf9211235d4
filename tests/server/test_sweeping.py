"""What a server does beside answering: rounds, leases, and objects that nothing speaks of."""

from __future__ import annotations

import pytest
from sqlalchemy import func, select

from ml_dash.server.sweeping import Sweeper, claim, release, sweep_unknown
from ml_dash.server.tables import Chunk, Segment

from .inside import Inside, make_run, send
from .writers import NEVER, Writer, chunks_of, garbage, keys, needed


def test_a_round_puts_together_and_sweeps(inside: Inside) -> None:
    """One that ended is put together in one round, its old objects are removed in a later one."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    for _ in range(5):
        writer.append()
    sweeper = Sweeper(inside.data, inside.objects, inside.settings, lambda: inside.now)
    inside.now += 1000
    sweeper.work()
    assert len(chunks_of(inside)) == 1
    assert len(garbage(inside)) == 5
    inside.now += inside.settings.grace_seconds + 1
    sweeper.work()
    assert keys(inside) == needed(inside)
    writer.check(inside)


def test_a_run_whose_objects_are_damaged_stops_no_other(
    inside: Inside, caplog: pytest.LogCaptureFixture
) -> None:
    """The log names it, once; the next one is put together in the same round."""
    client = inside.user("anna")
    made = []
    for name in ("demo/broken", "demo/whole"):
        run, end, before = make_run(client, name), 0, b""
        for _ in range(10):
            text = b'{"timestamp":1.0,"x":1}\n'
            send(client, run, ("tracks/t/w.jsonl", end, before, text))
            end, before = end + len(text), before + text
        made.append(run)
    for key, size, _ in list(inside.objects.list(f"runs/{made[0]}/rows/")):
        inside.objects.put(key, bytes(size))
    sweeper = Sweeper(inside.data, inside.objects, inside.settings, lambda: inside.now + 1_000)
    sweeper.work()
    assert f"the run {made[0]} cannot be compacted" in caplog.text
    caplog.clear()
    sweeper.work()
    assert made[0] not in caplog.text
    with inside.data.reading() as session:
        query = select(func.count()).select_from(Chunk).join(Segment)
        assert session.scalar(query.where(Segment.run_id == made[1])) == 1


def test_one_process_at_a_time_has_a_lease(inside: Inside) -> None:
    """Until it gives it back, or its time is over; a clock that was ahead holds nobody up."""
    data, now = inside.data, inside.now
    assert claim(data, "work", now, 60)
    assert not claim(data, "work", now + 59, 60)
    assert claim(data, "work", now + 61, 60)
    release(data, "work")
    assert claim(data, "work", now - 1e6, 60)
    assert claim(data, "other", now + 1e9, 60)
    assert claim(data, "other", now, 60)


def test_objects_that_nothing_speaks_of_are_removed_once_they_are_old(inside: Inside) -> None:
    """Those of runs that are not there, and those that no row names; others and young ones stay."""
    client = inside.user("anna")
    writer = Writer(client, make_run(client))
    writer.append()
    kept = keys(inside)
    for key in (f"runs/{writer.run}/rows/1", f"runs/{writer.run}/parts/2", "runs/99/blobs/3"):
        inside.objects.put(key, b"x")
    assert sweep_unknown(inside.data, inside.objects, before=0.0, stop=NEVER) == 0
    assert sweep_unknown(inside.data, inside.objects, before=9e9, stop=NEVER) == 3
    assert keys(inside) == kept
