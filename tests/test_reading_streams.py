"""Rows of a stream: merged, skipped where unreadable, read while they are written."""

import random

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from written import A, B, C, Written, line

from ml_dash.backends import MemoryBackend
from ml_dash.reading import Source, Stream, Tail, read_rows
from ml_dash.reading import lines as lines_module
from ml_dash.reading.lines import Problems, Segment, decode_line, read_blocks
from ml_dash.rows import MAX_LINE


@pytest.fixture
def run(tmp_path):
    """A run's folder."""
    return Written(tmp_path / "run")


def stored(segments, stream="logs"):
    """A backend that holds segments, given as bytes by writer."""
    backend = MemoryBackend()
    for writer, data in segments.items():
        backend.append(f"{stream}/{writer}.jsonl", 0, [data])
    return backend


# -- merging -----------------------------------------------------------------------------------


def test_rows_of_two_writers_come_in_order_of_time(run):
    """Segments are merged by timestamp, not read one after the other."""
    run.put("logs", line(1.0, n=0), line(3.0, n=2), writer=B)
    run.put("logs", line(2.0, n=1), line(4.0, n=3), writer=A)
    assert [row["n"] for row in read_rows(run.backend, "logs")] == [0, 1, 2, 3]


def test_equal_times_come_in_the_order_that_sessions_began(run):
    """Of two sessions' rows with one timestamp, the later session's is last, whatever its id."""
    run.start(1.0, writer=B).start(2.0, writer=A)
    run.put("logs", line(5.0, n="second"), writer=A)
    run.put("logs", line(5.0, n="first"), writer=B)
    assert [row["n"] for row in read_rows(run.backend, "logs")] == ["first", "second"]


def test_a_session_that_only_a_recovery_saved_has_its_place(run):
    """Killed at once, a session said in its ring only when it began; that counts all the same."""
    run.put("run", line(1.0, event="start", session=B), writer=B, part="-r")
    run.start(2.0, writer=A)
    run.put("logs", line(5.0, n="second"), writer=A)
    run.put("logs", line(5.0, n="first"), writer=B, part="-r")
    assert [row["n"] for row in read_rows(run.backend, "logs")] == ["first", "second"]


def test_equal_times_of_a_writer_come_in_the_order_of_its_segments(run):
    """A segment begun anew follows the first, and the rows saved after a crash follow both."""
    run.put("logs", line(5.0, n=3), part="-r")
    run.put("logs", line(5.0, n=2), part="-10")
    run.put("logs", line(5.0, n=1), part="-2")
    run.put("logs", line(5.0, n=0))
    assert [row["n"] for row in read_rows(run.backend, "logs")] == [0, 1, 2, 3]


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_merging_is_stable_and_complete_however_rows_are_split(data):
    """Split at random over writers and parts, all rows come back once, stably sorted by time."""
    times = data.draw(st.lists(st.integers(0, 20), max_size=60))
    names = [A, f"{A}-2", f"{A}-r", B, C]
    homes = data.draw(st.lists(st.sampled_from(names), min_size=len(times), max_size=len(times)))
    small = data.draw(st.sampled_from([1, 50, 1 << 17]))
    held = {name: [] for name in names}
    for number, (time, home) in enumerate(zip(times, homes, strict=True)):
        held[home].append((float(time), number))
    backend = stored({n: b"".join(line(t, n=i) for t, i in rows) for n, rows in held.items()})
    lines_module.BLOCK, before = small, lines_module.BLOCK
    try:
        found = [row["n"] for row in read_rows(backend, "logs")]
    finally:
        lines_module.BLOCK = before
    expected = [pair for name in names for pair in held[name]]
    assert found == [number for _, number in sorted(expected, key=lambda pair: pair[0])]


def test_many_rows_of_interleaved_writers_keep_each_writers_order(run):
    """30,000 rows of three writers, finely mixed, come back whole and in order."""
    rng = random.Random(1)
    held = {}
    for time in range(30_000):
        writer = rng.choice([A, B, C])
        held.setdefault(writer, []).append(line(float(time), n=time, pad="x" * rng.randrange(40)))
    for writer, rows in held.items():
        run.put("logs", *rows, writer=writer)
    assert [row["n"] for row in read_rows(run.backend, "logs")] == list(range(30_000))


def test_rows_in_random_order_of_time_are_sorted(run):
    """Explicit timestamps need not grow: 20,000 shuffled rows come back sorted."""
    times = list(range(20_000))
    random.Random(2).shuffle(times)
    run.put("logs", *(line(float(time), pad="y" * 50) for time in times))
    assert [row["timestamp"] for row in read_rows(run.backend, "logs")] == list(range(20_000))


# -- explicit timestamps -------------------------------------------------------------------------


def test_entries_of_one_explicit_time_are_one(run):
    """Fields are united, the later value winning."""
    run.put(
        "tracks/imu",
        line(1.0, explicit=True, ax=1, ay=2),
        line(1.0, explicit=True, ay=3, az=4),
        line(2.0, explicit=True, ax=5),
    )
    assert list(read_rows(run.backend, "tracks/imu")) == [
        {"timestamp": 1.0, "ax": 1, "ay": 3, "az": 4},
        {"timestamp": 2.0, "ax": 5},
    ]


def test_the_later_session_wins_within_an_entry(run):
    """Two sessions wrote the same time: the value of the one that began later is read."""
    run.start(1.0, writer=B).start(2.0, writer=A)
    run.put("tracks/imu", line(9.0, explicit=True, ax="new"), writer=A)
    run.put("tracks/imu", line(9.0, explicit=True, ax="old"), writer=B)
    assert [row["ax"] for row in read_rows(run.backend, "tracks/imu")] == ["new"]


def test_automatic_times_never_merge(run):
    """Rows that happen to share an automatic timestamp stay two, also beside explicit ones."""
    run.put(
        "tracks/imu",
        line(1.0, a=1),
        line(1.0, explicit=True, b=1),
        line(1.0, a=2),
        line(1.0, explicit=True, b=2),
    )
    found = [{k: v for k, v in row.items() if k != "timestamp"} for row in read(run, "tracks/imu")]
    assert found == [{"a": 1}, {"b": 2}, {"a": 2}]


def read(run, stream):
    """All rows of a stream."""
    return list(read_rows(run.backend, stream))


def test_conflicting_steps_keep_entries_apart(run):
    """Steps 3 and 4 at one explicit time are two entries; a row without a step joins the latest."""
    run.put(
        "tracks/imu",
        line(1.0, step=3, explicit=True, a=1),
        line(1.0, step=4, explicit=True, a=2),
        line(1.0, step=3, explicit=True, b=3),
        line(1.0, explicit=True, c=4),
    )
    assert read(run, "tracks/imu") == [
        {"timestamp": 1.0, "step": 3, "a": 1, "b": 3},
        {"timestamp": 1.0, "step": 4, "a": 2, "c": 4},
    ]


def test_metrics_and_logs_never_merge(run):
    """Only tracks unite rows."""
    rows = line(1.0, explicit=True, a=1), line(1.0, explicit=True, a=2)
    run.put("metrics/train", *rows)
    assert [row["a"] for row in read(run, "metrics/train")] == [1, 2]


# -- what is unreadable --------------------------------------------------------------------------


def problems_of(backend, stream="logs"):
    """Rows and problems of a stream."""
    problems = Problems()
    rows = list(read_rows(backend, stream, problems=problems))
    return rows, problems


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b'{"timestamp":2.0,"x":0.\n', "torn"),
        (b"\0\0\0\0\0\0\n", "6 NUL"),
        (b'{"timestamp":2.0,"x":"\xff"}\n', "not valid JSON"),
        (b"[1,2]\n", "does not begin"),
        (b'{"x":1}\n', "without a timestamp"),
        (b'{"timestamp":"soon"}\n', "without a timestamp"),
        (b'{"timestamp":true}\n', "without a timestamp"),
        (b'{"timestamp":1' + b"0" * 400 + b"}\n", "without a timestamp"),
        (b'{"timestamp":2.0,"_nonfinite":{"/x":"Huge"}}\n', "not valid JSON"),
        (b'{"timestamp":2.0,"x":' + b"[" * 5000 + b"]" * 5000 + b"}\n", "not valid JSON"),
    ],
)
@pytest.mark.parametrize("count", [2, 200])
def test_an_unreadable_line_is_skipped_and_told_with_its_byte(bad, reason, count):
    """Its neighbours are read; the problem names file, offset and size."""
    before = b"".join(line(1.0, n=n) for n in range(count))
    after = b"".join(line(3.0, n=n) for n in range(count))
    rows, problems = problems_of(stored({A: before + bad + after}))
    assert [row["n"] for row in rows] == [*range(count), *range(count)]
    (problem,) = problems
    assert (problem.path, problem.offset) == (f"logs/{A}.jsonl", len(before))
    assert problem.size == len(bad)
    assert reason in problem.reason
    assert str(len(bad)) in str(problem).replace(",", "")


def test_two_torn_lines_do_not_make_a_row():
    """Joined with a comma these would be one valid object; they must not be read as one."""
    torn = b'{"timestamp":1.0,"x":1\n"y":2}\n'
    rows, problems = problems_of(stored({A: line(0.5, n=0) * 20 + torn + line(2.0, n=1) * 20}))
    assert [row["n"] for row in rows] == [0] * 20 + [1] * 20
    assert len(problems) == 2


def test_a_row_behind_nul_bytes_is_read():
    """A file system may leave NULs where bytes were lost; the whole row behind them counts."""
    rows, problems = problems_of(stored({A: b"\0" * 100 + line(1.0, n=1) + line(2.0, n=2)}))
    assert [row["n"] for row in rows] == [1, 2]
    assert [problem.reason for problem in problems] == ["100 NUL bytes"]


def test_an_empty_line_is_no_problem():
    """A writer that ends a line that had just ended leaves an empty one."""
    rows, problems = problems_of(stored({A: line(1.0, n=1) + b"\n\n" + line(2.0, n=2)}))
    assert [row["n"] for row in rows] == [1, 2]
    assert len(problems) == 0


def test_a_hole_without_newlines_is_skipped_in_bounded_memory():
    """48 MiB of NULs are no line: what follows them is read, and one problem is told."""
    hole = 3 * MAX_LINE
    data = line(1.0, n=1) + b"\0" * hole + b"\n" + line(2.0, n=2)
    rows, problems = problems_of(stored({A: data}))
    assert [row["n"] for row in rows] == [1, 2]
    (problem,) = problems
    assert (problem.size, problem.reason) == (hole + 1, "a line longer than any row")


def test_the_longest_row_is_read():
    """A line of exactly 16 MiB comes back whole, beside others."""
    row = line(1.0, text="x" * (MAX_LINE - len(line(1.0, text=""))))
    assert len(row) == MAX_LINE
    rows, problems = problems_of(stored({A: line(0.5, n=0) + row + line(2.0, n=2)}))
    assert [len(row.get("text", "")) for row in rows] == [0, MAX_LINE - len(line(1.0, text="")), 0]
    assert len(problems) == 0


SMALL = b"".join(
    [
        line(1.0, n=0),
        line(2.0, step=1, n=1, text='br{ck"et\n'),
        line(3.0, explicit=True, n=2, v=[1.5, float("nan")]),
        line(4.0, n=3, big=2**70),
    ]
)


def whole_lines(data):
    """How many lines of `SMALL` end within its first bytes."""
    return data.count(b"\n")


@pytest.mark.parametrize(
    "tail", [b"", b"\n", b"\0" * 40, b"\0\n"], ids=["", "ended", "nul", "nul-"]
)
def test_a_segment_cut_at_any_byte_loses_no_whole_line(tail):
    """Torn at every byte, with what may follow, reading never raises nor loses a whole line."""
    for cut in range(len(SMALL) + 1):
        data = SMALL[:cut] + tail
        rows, problems = problems_of(stored({A: data}))
        ended = cut in ends(SMALL) or tail[:1] == b"\n"
        expected = whole_lines(SMALL[:cut])
        if tail[:1] == b"\n" and cut + 1 <= len(SMALL) and SMALL[cut : cut + 1] == b"\n":
            expected += 1  # only its newline was missing
        assert [row["n"] for row in rows] == list(range(expected)), cut
        if not ended:
            assert problems.unfinished or len(problems)


def ends(data):
    """The offsets behind each newline, and 0."""
    return [0, *(n + 1 for n, byte in enumerate(data) if byte == 10)]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SMALL)), st.integers(0, len(SMALL)), st.binary(max_size=30))
@example(0, 0, b"\n")
@example(5, 5, b"}\n{")
def test_garbage_anywhere_never_raises_and_harms_no_other_line(first, second, garbage):
    """Overwritten with anything, the lines outside of the damage are all read."""
    first, second = sorted((first, second))
    data = line(0.5, n="before") + SMALL[:first] + garbage + SMALL[second:] + b"\n"
    data += line(9.0, n="after")
    rows, _ = problems_of(stored({A: data}))
    found = [row.get("n") for row in rows]
    assert "before" in found
    assert "after" in found
    kept = [n for n, end in enumerate(ends(SMALL)[1:]) if end <= first]
    assert [n for n in found if n in kept][: len(kept)] == kept


def test_a_problem_is_told_once_however_often_it_is_read(run):
    """Reading again finds the same place again, not a second problem."""
    run.put("logs", line(1.0), b"garbage\n", line(2.0))
    stream = Stream(Source(run.backend), "logs")
    for _ in range(3):
        assert len(list(stream.rows())) == 2
        stream.source.refresh()
    assert len(stream.source.problems) == 1


# -- while it is written -------------------------------------------------------------------------


def test_a_line_in_the_making_is_not_read_yet_and_no_problem(run):
    """The bytes behind the last newline wait for their end, then they are a row."""
    whole = line(2.0, n=2)
    run.put("logs", line(1.0, n=1), whole[:9])
    problems = Problems()
    assert [row["n"] for row in read_rows(run.backend, "logs", problems=problems)] == [1]
    assert len(problems) == 0
    assert list(problems.unfinished) == [f"logs/{A}.jsonl"]
    run.put("logs", whole[9:])
    assert [row["n"] for row in read_rows(run.backend, "logs", problems=problems)] == [1, 2]
    assert not problems.unfinished


def test_a_stream_is_of_one_moment_until_refreshed(run):
    """Rows that come while a stream is read do not mix in; `refresh` shows them."""
    run.put("logs", line(1.0, n=1))
    stream = Stream(Source(run.backend), "logs")
    assert stream.count() == 1
    run.put("logs", line(2.0, n=2))
    run.put("logs", line(0.5, n=0), writer=B)
    assert [row["n"] for row in stream.rows()] == [1]
    stream.source.refresh()
    assert [row["n"] for row in stream.rows()] == [0, 1, 2]
    assert stream.span() == (0.5, 2.0)


def test_refreshing_reads_only_what_was_added(run, monkeypatch):
    """The index of a segment is extended from where it ended."""
    run.put("logs", *(line(float(n), n=n) for n in range(1000)))
    stream = Stream(Source(run.backend), "logs")
    stream.count()
    offsets = []
    read = run.backend.read
    monkeypatch.setattr(
        run.backend, "read", lambda p, o=0, s=None: (offsets.append(o), read(p, o, s))[1]
    )
    size = (run.folder / f"logs/{A}.jsonl").stat().st_size
    run.put("logs", line(5000.0, n=1000))
    stream.source.refresh()
    assert stream.count() == 1001
    assert min(offsets) == size


def test_rows_taken_before_a_refresh_go_on_as_they_began(run):
    """An iterator in use is not disturbed by a refresh that changes the order of rows."""
    run.put("logs", *(line(float(n), n=n) for n in range(9000)))
    stream = Stream(Source(run.backend), "logs")
    rows = stream.rows()
    first = [next(rows)["n"] for _ in range(10)]
    run.put("logs", *(line(n + 0.5, n="new") for n in range(10)), writer=B)
    stream.source.refresh()
    assert stream.count() == 9010
    assert [*first, *(row["n"] for row in rows)] == list(range(9000))


def test_a_tail_gives_each_row_once_as_it_comes(run):
    """`poll` gives all rows at first, then new ones, of old and new writers, but no half ones."""
    tail = Tail(run.backend, "logs")
    assert tail.poll() == []
    run.put("logs", line(1.0, n=1))
    assert [row["n"] for row in tail.poll()] == [1]
    run.put("logs", line(3.0, n=3), line(4.0, n=4)[:10])
    run.put("logs", line(2.0, n=2), writer=B)
    assert [row["n"] for row in tail.poll()] == [2, 3]
    run.put("logs", line(4.0, n=4)[10:])
    assert [row["n"] for row in tail.poll()] == [4]
    assert tail.poll() == []


@pytest.mark.parametrize("count", [None, 0, 1, 7, 60, 1000])
def test_a_tail_may_begin_with_the_last_rows_that_are_wanted(run, count, monkeypatch):
    """Of all writers, whatever lies between; `poll` goes on where that ended, half lines too."""
    monkeypatch.setattr("ml_dash.reading.stream.BLOCK", 50)
    for n in range(100):
        kind = "odd" if n % 2 else "x" * (n * 7 % 230)
        run.put("logs", line(float(n), n=n, kind=kind), writer=B if n % 3 else A)
    run.put("logs", line(100.0, n=100)[:9])
    tail = Tail(run.backend, "logs")
    wanted = [n for n in range(100) if n % 2]
    kept = wanted if count is None else wanted[len(wanted) - min(count, len(wanted)) :]
    assert [row["n"] for row in tail.begin(count, lambda row: row["kind"] == "odd")] == kept
    assert tail.poll() == []
    run.put("logs", line(100.0, n=100)[9:])
    run.put("logs", line(101.0, n=101), writer=C)
    assert [row["n"] for row in tail.poll()] == [100, 101]


def test_the_last_rows_of_a_long_stream_are_read_without_the_others(run, monkeypatch):
    """Of 40 MB a few hundred kilobytes, and all of it only for what is nowhere."""
    text = b"".join(line(float(n), n=n, text="x" * 1000) for n in range(4000))
    for number in range(10):
        run.put("logs", text, writer=f"{'abcdefghij'[number] * 12}")
    read = []
    plain = type(run.backend).read

    def counting(self, path, offset=0, size=None):
        data = plain(self, path, offset, size)
        read.append(len(data))
        return data

    monkeypatch.setattr(type(run.backend), "read", counting)
    assert [row["n"] for row in Tail(run.backend, "logs").begin(3, lambda _: True)] == [3999] * 3
    assert sum(read) < 10 * 600_000


def test_a_tail_of_a_stream_without_a_whole_line_begins_at_its_first(run):
    """What a writer has just begun is not missed, however few rows are asked for."""
    run.put("logs", line(1.0, n=1)[:9])
    tail = Tail(run.backend, "logs")
    assert list(tail.begin(0, lambda _: True)) == []
    run.put("logs", line(1.0, n=1)[9:])
    assert [row["n"] for row in tail.poll()] == [1]


# -- finding -------------------------------------------------------------------------------------


def test_rows_between_two_times_are_inclusive(run):
    """`start` and `end` are part of what is read."""
    run.put("tracks/a", *(line(float(n), n=n) for n in range(10)))
    rows = read_rows(run.backend, "tracks/a", start=3.0, end=5.0)
    assert [row["n"] for row in rows] == [3, 4, 5]
    assert list(read_rows(run.backend, "tracks/a", start=5.1, end=4.9)) == []


def test_find_gives_the_latest_row_at_or_before(run):
    """As-of: the row itself, the one before, none before the first."""
    run.put("tracks/a", *(line(float(n), n=n) for n in (1, 2, 4)))
    stream = Stream(Source(run.backend), "tracks/a")
    found = [stream.find(time) for time in (0.9, 1.0, 3.9, 4.0, 99.0)]
    assert [row and row["n"] for row in found] == [None, 1, 2, 4, 4]


def test_find_unites_what_is_one_entry(run):
    """An entry found has the fields of all rows of its explicit time."""
    run.put("tracks/a", line(1.0, explicit=True, a=1), line(2.0, explicit=True, a=2))
    run.put("tracks/a", line(1.0, explicit=True, b=3))
    stream = Stream(Source(run.backend), "tracks/a")
    assert stream.find(1.5) == {"timestamp": 1.0, "a": 1, "b": 3}


def test_a_slice_is_held_and_found_in(run):
    """What was sliced stays as it was, has a length, and is indexed and searched."""
    run.put("tracks/a", *(line(float(n), n=n) for n in range(10)))
    stream = Stream(Source(run.backend), "tracks/a")
    part = stream.slice(2.0, 6.0)
    run.put("tracks/a", line(3.5, n="new"))
    stream.source.refresh()
    assert [row["n"] for row in part] == [row["n"] for row in part] == [2, 3, 4, 5, 6]
    assert (len(part), part[0]["n"], part[-1]["n"], part[1:3][1]["n"]) == (5, 2, 6, 4)
    found = [part.find(time) for time in (1.0, 2.0, 3.9, 99.0)]
    assert [row and row["n"] for row in found] == [None, 2, 3, 6]


def test_columns_are_picked_from_rows(run):
    """Only the asked fields are kept, nested ones by their dotted name, beside the timestamp."""
    run.put("tracks/a", line(1.0, x=1, pose={"y": 2, "z": 3}), line(2.0, step=7))
    rows = list(read_rows(run.backend, "tracks/a", columns=["step", "pose.y"]))
    assert rows == [{"timestamp": 1.0, "pose.y": 2}, {"timestamp": 2.0, "step": 7}]


def test_values_come_back_as_they_were_recorded(run):
    """NaN, infinities, negative zero, large integers, NUL and surrogates in text."""
    fields = {
        "nan": float("nan"),
        "inf": [1.0, float("-inf")],
        "zero": -0.0,
        "big": 2**100,
        "text": "nul \0 and é",
        "lone": "\ud800",
    }
    run.put("tracks/a", line(1.0, **fields), *(line(2.0, n=1) for _ in range(20)))
    row = next(read_rows(run.backend, "tracks/a"))
    assert str(row.pop("nan")) == "nan"
    assert str(row["zero"]) == "-0.0"
    assert row == {"timestamp": 1.0, **{k: v for k, v in fields.items() if k != "nan"}}


def test_no_stream_has_no_rows(run):
    """A stream that nobody wrote is empty, not an error."""
    assert list(read_rows(run.backend, "tracks/none")) == []
    assert Stream(Source(run.backend), "tracks/none").find(1.0) is None


def test_a_stream_does_not_take_rows_of_one_below_it(run):
    """`metrics/a` and `metrics/a/b` are two streams."""
    run.put("metrics/a", line(1.0, n="a"))
    run.put("metrics/a/b", line(1.0, n="b"))
    assert [row["n"] for row in read_rows(run.backend, "metrics/a")] == ["a"]
    assert Source(run.backend).streams("metrics") == ["metrics/a", "metrics/a/b"]


def test_blocks_begin_and_end_where_lines_do():
    """Read in small pieces, the blocks of a segment are its text, cut between lines only."""
    data = b"".join(line(float(n), text="x" * (n * 37 % 200)) for n in range(200))
    backend = stored({A: data})
    before, lines_module.BLOCK = lines_module.BLOCK, 100
    try:
        segment = Segment(f"logs/{A}.jsonl", len(data))
        blocks = list(read_blocks(backend, segment, Problems()))
    finally:
        lines_module.BLOCK = before
    assert b"".join(block.text for block in blocks) == data
    assert all(block.text.endswith(b"\n") for block in blocks)
    for block in blocks:
        for start, size, found in zip(*block.spans(), block.rows, strict=True):
            assert decode_line(data[start : start + size - 1]) == (found, None)


# -- what a dead process left --------------------------------------------------------------------


def test_rows_that_only_a_ring_holds_are_added_where_they_cannot_be_written(run, monkeypatch):
    """In a folder that cannot be written, pending rows are read from memory, once."""
    from ml_dash.buffer import recovery

    run.put("logs", line(1.0, n=1))
    run.put("logs", line(2.0, n=2), part="-r")  # what had been drained before the disk was full
    (run.folder / ".buffer").mkdir()
    (run.folder / ".buffer" / f"{A}.ring").write_bytes(b"")
    report = recovery.RecoveryReport(problems=["read-only"])
    pending = {"logs": [line(2.0, n=2), line(3.0, n=3)], "tracks/only/there": [line(4.0, n=4)]}
    monkeypatch.setattr(recovery, "drain_dead", lambda folder: report)
    monkeypatch.setattr(recovery, "pending_rows", lambda folder: pending)
    assert [row["n"] for row in read(run, "logs")] == [1, 2, 3]
    assert [row["n"] for row in read(run, "tracks/only/there")] == [4]
    assert Source(run.backend).streams("tracks") == ["tracks/only/there"]
