"""The ring: what is in it is found again, by the living and after a crash."""

from __future__ import annotations

import mmap
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash.buffer.ring import COMMON, SIZE, SLOT, SLOTS, Piece, Ring, Slot
from ml_dash.buffer.ring_reading import read_identity, read_records, read_slots, read_tail
from ml_dash.rows import MAX_LINE


def line_of(size: int, mark: int = 0) -> bytes:
    return (b"%d " % mark).ljust(size - 1, b"x")[: size - 1] + b"\n"


def seal(slot: Slot) -> None:
    """Let nobody write into it any more, as the drainer does."""
    slot.map.close()
    slot.sealed = True


def found_after_crash(path: Path) -> list[tuple[str, int, bytes]]:
    with path.open("rb") as file, mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ) as map_:
        view = memoryview(map_)
        pieces = [*read_records(view, read_tail(view)), *read_slots(map_, view)]
        found = [(piece.path, piece.offset, bytes(piece.data)) for piece in pieces]
        del pieces
        view.release()
        return found


def waiting_in(ring: Ring) -> list[Piece]:
    """The records that are not drained yet."""
    return list(read_records(ring.view, ring.tail, ring.head))


@pytest.fixture
def ring(tmp_path: Path):
    ring = Ring(tmp_path / "w.ring", {"writer": "w", "pid": 1})
    yield ring
    ring.close(remove=True)


def test_a_new_ring_says_who_writes_it(ring: Ring) -> None:
    """Whoever finds the file after a crash learns whose it is."""
    assert read_identity(ring.view) == {"writer": "w", "pid": 1}


def test_a_record_is_found_with_its_place(ring: Ring) -> None:
    """A record keeps stream, segment number, offset and bytes."""
    assert ring.put(b"tracks/a", 3, 77, b'{"x":1}\n')
    assert found_after_crash(ring.path) == [("tracks/a", 77, b'{"x":1}\n')]
    assert [piece.segment for piece in waiting_in(ring)] == [3]


def test_the_longest_row_fits_into_a_drained_ring_from_any_position(ring: Ring) -> None:
    """A 16 MiB row finds room wherever the ring stands, once it is drained."""
    for size in (100, COMMON // 2, MAX_LINE, 12345, MAX_LINE):
        assert ring.put(b"s", 0, 0, line_of(size))
        ring.drained(ring.head)
    assert waiting_in(ring) == []


def test_a_full_log_refuses_and_takes_again_when_drained(ring: Ring) -> None:
    """No room is an answer, not an overwrite."""
    taken = 0
    while ring.put(b"s", 0, taken, line_of(1 << 20, taken)):
        taken += 1
    assert taken == COMMON // ((1 << 20) + 48)
    assert len(found_after_crash(ring.path)) == taken
    ring.drained(ring.head)
    assert ring.put(b"s", 0, 0, line_of(1 << 20))


def test_a_row_that_comes_in_the_middle_of_a_drain_takes_no_room_from_the_next(ring: Ring) -> None:
    """A drain that found nothing ends after the row was put: only its own place is taken."""
    ring.put(b"s", 0, 0, line_of(1000))
    ring.drained(ring.head)
    end = ring.head  # where a drain begins
    assert ring.put(b"s", 0, 1000, line_of(1000, 1))
    ring.drained(end)
    assert ring.put(b"s", 0, 2000, line_of(1000, 2))
    assert [bytes(piece.data) for piece in waiting_in(ring)] == [line_of(1000, 1), line_of(1000, 2)]
    assert [data for _, _, data in found_after_crash(ring.path)] == [
        line_of(1000, 1),
        line_of(1000, 2),
    ]


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(2, 3 << 20), min_size=5, max_size=40), st.randoms())
def test_records_come_back_in_order_over_many_laps(sizes: list[int], choice: random.Random) -> None:
    """Whatever sizes are put and however often it is drained, nothing is lost, doubled or mixed."""
    ring = Ring(None, {"writer": "w"})
    waiting: list[bytes] = []
    for mark, size in enumerate(sizes):
        line = line_of(size, mark)
        if not ring.put(b"s", 0, mark, line):
            assert [bytes(piece.data) for piece in waiting_in(ring)] == waiting
            ring.drained(ring.head)
            waiting.clear()
            assert ring.put(b"s", 0, mark, line)
        waiting.append(line)
        if choice.random() < 0.2:
            assert [bytes(piece.data) for piece in waiting_in(ring)] == waiting
            ring.drained(ring.head)
            waiting.clear()
    assert [bytes(piece.data) for piece in read_records(ring.view, ring.tail)] == waiting
    ring.close(remove=True)


def test_a_slot_takes_lines_until_it_is_full(ring: Ring) -> None:
    """A slot refuses the line that does not fit, whole."""
    slot = ring.lend("tracks/a", 0, 500)
    assert slot is not None
    count = 0
    with pytest.raises(ValueError, match="out of range"):
        while True:
            slot.map.write(line_of(1000, count))
            count += 1
    assert count == SLOT // 1000
    piece = ring.content(slot)
    assert (piece.path, piece.offset, len(piece.data)) == ("tracks/a", 500, count * 1000)
    del piece


def test_a_sealed_slot_refuses_latecomers_and_keeps_what_it_has(ring: Ring) -> None:
    """A writer that still holds the slot's method cannot write into what is another's by then."""
    slot = ring.lend("a", 0, 0)
    write = slot.map.write
    write(b"first\n")
    seal(slot)
    with pytest.raises(ValueError, match="closed"):
        write(b"late\n")
    assert bytes(ring.content(slot).data) == b"first\n"


def test_a_slot_given_back_is_empty_for_the_next(ring: Ring) -> None:
    """Nothing of one stream shows up in another."""
    slot = ring.lend("a", 0, 0)
    slot.map.write(line_of(SLOT // 2))
    seal(slot)
    ring.give_back(slot)
    assert found_after_crash(ring.path) == []
    again = ring.lend("b", 0, 9)
    assert again.number == slot.number
    again.map.write(b"new\n")
    assert found_after_crash(ring.path) == [("b", 9, b"new\n")]


def test_a_torn_line_at_the_end_of_a_slot_is_left_out(ring: Ring) -> None:
    """A line whose copying was cut short never returned to its caller."""
    slot = ring.lend("a", 0, 0)
    slot.map.write(b"whole\n")
    slot.map.write(b"torn, no newline")
    assert found_after_crash(ring.path) == [("a", 0, b"whole\n")]


def test_slots_run_out_and_come_back(ring: Ring) -> None:
    """When all slots are lent the ring says so."""
    lent = [ring.lend(f"s{i}", 0, 0) for i in range(SLOTS)]
    assert all(lent)
    assert ring.lend("one more", 0, 0) is None
    seal(lent[7])
    ring.give_back(lent[7])
    assert ring.lend("one more", 0, 0).number == 7


def test_a_ring_takes_its_place_on_the_disk_at_once(ring: Ring) -> None:
    """No write into the map can fail later for want of disk."""
    status = ring.path.stat()
    assert status.st_blocks * 512 >= SIZE


def test_an_unfinished_file_is_no_ring(tmp_path: Path) -> None:
    """A file cut short while it was made has no identity."""
    assert read_identity(memoryview(bytes(100))) is None
    assert read_identity(memoryview(bytes(SIZE))) is None


def test_a_ring_whose_file_was_removed_is_made_again_with_all_it_holds(ring: Ring) -> None:
    """Records and sealed slots are where they were; what comes then is in the new file, too."""
    assert ring.lost_path() is None
    slot = ring.lend("tracks/a", 2, 500)
    assert slot is not None
    slot.map.write(b"in a slot\n")
    seal(slot)
    ring.put(b"drained", 0, 0, b"long ago\n")
    ring.drained(ring.head)
    ring.put(b"logs", 0, 10, b"a record\n")
    path = ring.path
    assert path is not None
    path.unlink()
    assert ring.lost_path() == path
    ring.renew(path)
    ring.put(b"logs", 0, 19, b"another\n")
    assert ring.lost_path() is None
    assert read_identity(ring.view) == {"writer": "w", "pid": 1}
    logs = [("logs", 10, b"a record\n"), ("logs", 19, b"another\n")]
    assert found_after_crash(path) == [*logs, ("tracks/a", 500, b"in a slot\n")]
    ring.give_back(slot)
    assert found_after_crash(path) == logs
    assert ring.lend("tracks/b", 0, 0) is not None
