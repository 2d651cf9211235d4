"""Worker threads for what takes time: encoding images, hashing and writing files.

- Jobs of one key (a file's path) run in the order of their calls, one at a time; others at once.
- Bytes in flight are bounded: a caller over the bound has the time to do a part of its job itself,
  such as encoding a frame; if that makes it no smaller, it waits until a worker has finished one.
- A job that fails for want of disk is tried again until it works or the pool closes; one that fails
  for another reason is counted as lost. Neither is raised to the one who submitted it.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import Empty, SimpleQueue

from ml_dash.buffer.job import Job, Shrinkable, Turn
from ml_dash.buffer.reentry import is_owned
from ml_dash.errors import TRANSIENT, ClosedError

Lose = Callable[[str], None]

_RETRY = (0.05, 0.1, 0.2, 0.5, 1.0)
_SHRUNK = (
    4  # a shrunk job counts as a fourth at least: closing must get through all of them in time
)


class Pool:
    """A few threads, started when the first job comes.

    Args:
        threads: how many.
        limit: bytes in flight beyond which `submit` waits.
        lose: called with the reason when a job is given up.
        patience: seconds that a caller still may wait, shared by all callers of one outage.
    """

    def __init__(self, threads: int, limit: int, lose: Lose, patience: Callable[[], float]) -> None:
        self.threads = threads
        self.limit = limit
        self._lose = lose
        self._patience = patience
        self.reset_after_fork()

    def reset_after_fork(self) -> None:
        """Forget the jobs, which are the parent's, and the threads, which are not here."""
        self._lock = threading.RLock()
        self._late: deque[Turn] = deque()  # jobs of `interrupted` callers
        self._queue: SimpleQueue[Turn | None] = SimpleQueue()
        self._turns: dict[str, deque[Turn]] = {}
        self._callers: set[Turn] = set()  # turns without a job
        self._started: list[threading.Thread] = []
        self._waiters: set[SimpleQueue[None]] = set()
        self._closing: float | None = None
        self._active: set[int] = set()
        self._last = 0
        self.in_flight = 0
        self.error: OSError | None = None

    def submit(self, key: str, size: int, job: Job) -> bool:
        """Queue a job; false when an outage lasts too long and it was refused."""
        turn = Turn(key, size, job)
        if self.interrupted:
            self._late.append(turn)
            return True
        try:
            return self._submit(turn)
        finally:
            self._submit_late()

    @property
    def interrupted(self) -> bool:
        """Whether the caller came in the middle of a step of its own thread here."""
        return is_owned(self._lock)

    def _submit_late(self) -> None:
        while True:
            try:
                turn = self._late.popleft()
            except IndexError:
                return
            try:
                self._submit(turn)
            except ClosedError as error:
                self._lose(str(error))

    def _submit(self, turn: Turn) -> bool:
        job, size = turn.job, turn.size
        shrinkable = job if isinstance(job, Shrinkable) else None
        while not self._admit(turn):
            if shrinkable is not None:
                turn.size = max(shrinkable.shrink(), size // _SHRUNK)
                shrinkable = None
            elif not self._wait_for_progress():
                self._lose(f"the queue of files is full: {self.error}")
                return False
        return True

    @contextmanager
    def exclusive(self, *keys: str) -> Iterator[None]:
        """The caller's own turn at `keys`, after all jobs of them that were submitted before.

        Raises:
            OSError: an outage keeps those jobs from being done, and callers' patience is used up.
        """
        outer = self._own_turns()
        for turn in outer:
            if turn.key in keys:
                self._step_aside(turn)
        # In the order of the names: two callers cannot wait in a ring.
        own = threading.get_ident()
        turns = [Turn(key, 0, None, SimpleQueue(), thread=own) for key in sorted(set(keys))]
        try:
            for turn in turns:
                self._callers.add(turn)
                with self._lock:
                    self._line_up(turn)
                self._await(turn, outer)
            yield
        finally:
            for turn in turns:
                self._callers.discard(turn)
                self._leave(turn)

    def _own_turns(self) -> list[Turn]:
        """The turns in the middle of which this thread comes again, as in the handler of a signal.

        What is behind them waits for this thread, so it must not wait for that.
        """
        own = threading.get_ident()
        return [turn for turn in list(self._callers) if turn.thread == own]

    def _step_aside(self, turn: Turn) -> None:
        """Let others go before this thread ends what it has the turn for."""
        self._leave(turn)
        assert turn.granted is not None
        turn.granted.put(None)  # perhaps it still waits for the turn

    def _let_pass(self, turns: list[Turn]) -> None:
        """While this thread waits: step aside where somebody is behind it."""
        for turn in turns:
            if len(self._turns.get(turn.key, ())) > 1:
                self._step_aside(turn)

    def _leave(self, turn: Turn) -> None:
        with self._lock:
            waiting = self._turns.get(turn.key)
            if waiting is not None and waiting and waiting[0] is turn:
                self._next(turn.key)
            else:
                turn.abandoned = True

    def _await(self, turn: Turn, outer: list[Turn]) -> None:
        assert turn.granted is not None
        while True:
            self._let_pass(outer)
            self._work_without_threads()
            try:
                return turn.granted.get(timeout=0.5)
            except Empty:
                error = self.error
                if error is not None and self._patience() <= 0:
                    raise OSError(error.errno, error.strerror) from None

    def wait(self, timeout: float | None) -> bool:
        """Wait until every job submitted so far is done; whether it is."""
        self._submit_late()
        deadline = None if timeout is None else time.monotonic() + timeout
        ticket: SimpleQueue[None] = SimpleQueue()
        with self._lock:
            self._waiters.add(ticket)
            last = self._last
        outer = self._own_turns()
        try:
            while self._unfinished_until(last):
                self._let_pass(outer)
                self._work_without_threads()
                left = 0.5 if deadline is None else min(0.5, deadline - time.monotonic())
                if left <= 0 or (self.error is not None and self._patience() <= 0):
                    return False
                try:
                    ticket.get(timeout=left)
                except Empty:
                    continue
            return True
        finally:
            with self._lock:
                self._waiters.discard(ticket)

    def close(self, timeout: float) -> None:
        """Finish the jobs, for `timeout` seconds at most, and end the threads.

        What is not done by then is given up and counted.
        """
        if self._closing is not None:
            return  # the run ended its files before it ends its rows
        self._closing = time.monotonic() + timeout
        self.wait(timeout)
        self._closing = time.monotonic()
        for _ in self._started:
            self._queue.put(None)
        for thread in self._started:
            thread.join(1.0)
        with self._lock:
            left = len(self._active)
            self._active.clear()
        for _ in range(left):
            self._lose(f"not finished when the run was closed: {self.error or 'time ran out'}")

    @property
    def unfinished(self) -> int:
        """How many jobs are not done."""
        return len(self._active)

    def _unfinished_until(self, number: int) -> bool:
        with self._lock:
            return any(active <= number for active in self._active)

    def _admit(self, turn: Turn) -> bool:
        with self._lock:
            if self._closing is not None:
                raise ClosedError("the run is ending, so no more files can be saved in it")
            if self.in_flight and self.in_flight + turn.size > self.limit:
                return False
            turn.number = self._last = self._last + 1
            try:
                self._active.add(turn.number)
                self.in_flight += turn.size
                if len(self._started) < self.threads:
                    self._start()
                self._line_up(turn)
            except BaseException:  # Ctrl-C in the middle
                waiting = self._turns.get(turn.key, deque())
                if turn.begun or turn.job is None:
                    pass
                elif turn not in waiting:  # it was not taken
                    self._active.discard(turn.number)
                    self.in_flight = max(0, self.in_flight - turn.size)
                elif waiting[0] is turn:  # perhaps it was queued, perhaps not
                    self._queue.put(turn)
                raise
            return True

    def _line_up(self, turn: Turn) -> None:
        waiting = self._turns.get(turn.key)
        if waiting is None:
            self._turns[turn.key] = deque((turn,))
            self._grant(turn)
        else:
            waiting.append(turn)

    def _grant(self, turn: Turn) -> None:
        if turn.granted is None:
            self._queue.put(turn)
        elif turn.abandoned:
            self._next(turn.key)
        else:
            turn.granted.put(None)

    def _next(self, key: str) -> None:
        waiting = self._turns[key]
        waiting.popleft()
        if waiting:
            self._grant(waiting[0])
        else:
            del self._turns[key]

    def _start(self) -> None:
        name = f"ml-dash-files-{len(self._started)}"
        thread = threading.Thread(target=self._work, name=name, daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is shutting down: who waits does the jobs
            return
        self._started.append(thread)

    def _wait_for_progress(self) -> bool:
        if self.error is not None and self._patience() <= 0:
            return False  # workers try by themselves; to wait for that at each job would add up
        if self._work_without_threads():
            return True
        self._let_pass(self._own_turns())
        ticket: SimpleQueue[None] = SimpleQueue()
        with self._lock:
            self._waiters.add(ticket)
        try:
            ticket.get(timeout=0.5)
        except Empty:
            return self.error is None or self._patience() > 0
        finally:
            with self._lock:
                self._waiters.discard(ticket)
        return True

    def _work(self) -> None:
        while (turn := self._queue.get()) is not None:
            self._run(turn)

    def _work_without_threads(self) -> bool:
        """Do what is queued here and now, where no thread could be started; whether there was."""
        worked = False
        while not self._started:
            try:
                turn = self._queue.get_nowait()
            except Empty:
                break
            if turn is not None:
                self._run(turn)
                worked = True
        return worked

    def _run(self, turn: Turn) -> None:
        with self._lock:
            begun, turn.begun = turn.begun, True
        if begun or turn.job is None:
            return  # an interrupt queued it twice
        try:
            self._attempt(turn.job)
        finally:
            turn.job = None  # frees the frame before the next one is taken
            with self._lock:
                self.in_flight -= turn.size
                self._active.discard(turn.number)
                self._next(turn.key)
                waiters = list(self._waiters)
            for ticket in waiters:
                ticket.put(None)

    def _attempt(self, job: Job) -> None:
        for attempt in range(1 << 30):
            try:
                job()
            except OSError as error:
                if error.errno not in TRANSIENT or self._out_of_time():
                    self._lose(str(error))
                    return
                self.error = error
                time.sleep(_RETRY[min(attempt, len(_RETRY) - 1)])
            except Exception as error:  # noqa: BLE001 - an encoder may raise anything; training goes on
                self._lose(f"{type(error).__name__}: {error}")
                return
            else:
                self.error = None
                return

    def _out_of_time(self) -> bool:
        if self._closing is not None:
            return time.monotonic() >= self._closing
        return not self._started and self._patience() <= 0  # the caller's own time
