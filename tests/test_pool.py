"""The worker threads: what a caller does whose job finds no room."""

import errno
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from ml_dash.buffer import pool as pool_module
from ml_dash.buffer.job import Shrinkable
from ml_dash.buffer.pool import Pool

MANY = 100


class Encoding(Shrinkable):
    """A job that is one byte once it was shrunk; tells which thread did what."""

    def __init__(self, done: list[str], name: str = "it", error: type[BaseException] | None = None):
        self.done = done
        self.name = name
        self.error = error

    def __call__(self) -> None:
        self.done.append(f"written {self.name} {threading.current_thread().name}")

    def shrink(self) -> int:
        if self.error is not None:
            raise self.error
        self.done.append(f"shrunk {self.name} {threading.current_thread().name}")
        return 1


@contextmanager
def busy_pool(
    held: int, limit: int = MANY, key: str = "first"
) -> Iterator[tuple[Pool, threading.Event]]:
    """A pool of one thread, which is at a job that holds `held` bytes until the event."""
    lost: list[str] = []
    pool = Pool(1, limit, lost.append, lambda: 10.0)
    go_on = threading.Event()
    pool.submit(key, held, lambda: go_on.wait(10) and None)
    try:
        yield pool, go_on
    finally:
        go_on.set()
        pool.close(10)
        assert lost == [] and pool.in_flight == 0


def test_a_caller_who_finds_no_room_shrinks_the_job_itself() -> None:
    """In its own thread and once; the rest is the worker's."""
    done: list[str] = []
    here = threading.current_thread().name
    with busy_pool(MANY // 2 + 1) as (pool, _):
        assert pool.submit("frame", MANY // 2, Encoding(done))  # though only a part has room
        assert done == [f"shrunk it {here}"]
    assert done[1:] == ["written it ml-dash-files-0"]


def test_a_job_that_has_room_is_not_shrunk() -> None:
    """The caller goes on at once."""
    done: list[str] = []
    pool = Pool(1, MANY, done.append, lambda: 10.0)
    assert pool.submit("frame", MANY, Encoding(done))
    pool.close(10)
    assert done == ["written it ml-dash-files-0"]


def test_shrunk_jobs_are_bounded_in_number() -> None:
    """However small they are, only four of them take the place of one: the caller waits then."""
    done: list[str] = []
    with busy_pool(1) as (pool, go_on):

        def submit() -> None:
            for number in range(5):
                pool.submit(str(number), MANY, Encoding(done, str(number)))

        caller = threading.Thread(target=submit)
        caller.start()
        caller.join(0.3)
        assert caller.is_alive() and pool.unfinished == 1 + 3  # the fourth has one byte too many
        go_on.set()
        caller.join(10)
    assert [line.split()[1] for line in done if line.startswith("written")] == list("01234")


def test_jobs_of_one_key_keep_their_order_shrunk_or_not() -> None:
    """What was shrunk does not overtake what was submitted before it."""
    done: list[str] = []
    with busy_pool(MANY, limit=2 * MANY, key="x") as (pool, _):
        pool.submit("x", MANY // 2, Encoding(done, "a"))
        pool.submit("x", MANY, Encoding(done, "b"))  # has no room as it is
        pool.submit("x", 1, Encoding(done, "c"))
    assert [line.split()[1] for line in done if line.startswith("written")] == ["a", "b", "c"]
    assert [line.split()[1] for line in done if line.startswith("shrunk")] == ["b"]


def test_an_interrupt_while_shrinking_leaves_nothing_behind() -> None:
    """Ctrl-C reaches the caller; the job was not taken, and the bytes are not counted."""
    done: list[str] = []
    with busy_pool(MANY) as (pool, _):
        with pytest.raises(KeyboardInterrupt):
            pool.submit("frame", MANY, Encoding(done, error=KeyboardInterrupt))
        assert pool.in_flight == MANY and pool.unfinished == 1
    assert done == []


def test_a_late_job_that_another_thread_takes_is_not_missed() -> None:
    """Those of handlers are queued by whichever thread comes first."""

    class Taken(deque[object]):
        """Was not empty when it was looked at."""

        def __bool__(self) -> bool:
            return True

    lost: list[str] = []
    pool = Pool(1, MANY, lost.append, lambda: 10.0)
    pool._late = Taken()  # type: ignore[assignment]
    assert pool.wait(10)
    pool.close(10)
    assert lost == []


@pytest.fixture
def no_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """None can be started, as at the end of the interpreter from Python 3.12 on."""

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    monkeypatch.setattr(threading.Thread, "start", refuse)


@pytest.mark.parametrize("how", ["close", "wait", "exclusive", "submit"])
@pytest.mark.usefixtures("no_threads")
def test_where_no_thread_can_be_started_who_waits_does_the_jobs(how: str) -> None:
    """Nothing is lost, and nobody waits for a thread that there is not."""
    lost: list[str] = []
    done: list[str] = []
    pool = Pool(2, MANY, lost.append, lambda: 10.0)
    for name in "ab":
        pool.submit("key", 1, lambda name=name: done.append(name))
    if how == "wait":
        assert pool.wait(10)
    elif how == "exclusive":
        with pool.exclusive("key"):
            done.append("own")
    elif how == "submit":
        assert pool.submit("key", MANY, lambda: done.append("large"))
        assert done == ["a", "b"], "there was no room before"
    pool.close(10)
    assert lost == []
    assert done == ["a", "b", *{"exclusive": ["own"], "submit": ["large"]}.get(how, [])]


@pytest.mark.usefixtures("no_threads")
def test_a_job_done_by_who_waits_is_given_up_when_its_patience_is() -> None:
    """On a full disk a caller without threads does not try for ever."""
    lost: list[str] = []

    def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    pool = Pool(1, MANY, lost.append, lambda: 0.0)
    pool.submit("a", 1, full)
    pool.wait(None)
    assert len(lost) == 1 and "No space left" in lost[0]


def test_jobs_that_are_refused_wait_for_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once callers have waited their time, a full disk costs the loop nothing more."""
    lost: list[str] = []
    attempts = threading.Semaphore(0)
    freed = threading.Event()

    def write() -> None:
        attempts.release()
        if not freed.is_set():
            raise OSError(errno.ENOSPC, "No space left on device")

    pool = Pool(1, MANY, lost.append, lambda: 0.0)
    pool.submit("first", MANY, write)
    assert attempts.acquire(timeout=10) and attempts.acquire(timeout=10)  # once it has failed
    with monkeypatch.context() as patch:
        patch.setattr(pool_module, "SimpleQueue", lambda: pytest.fail("the caller waits"))
        assert not pool.submit("second", MANY, write)
    freed.set()
    pool.close(10)
    assert len(lost) == 1 and "No space left" in lost[0]
