"""The life of a run: started, going on, ended; as one process sees it.

A run may be written by many sessions: processes that start it, later resumptions, forked children.
Each writes rows of its own into the stream `run`; readers fold them into one status.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from weakref import WeakValueDictionary

from ml_dash import exits, ids, lazy
from ml_dash.backends import Backend, LocalBackend
from ml_dash.buffer import Buffer, FlushReport
from ml_dash.buffer.recovery import drain_dead
from ml_dash.decorate import decorated
from ml_dash.details import checked_details
from ml_dash.errors import NotStartedError
from ml_dash.run_end import Waiting, close_books, finish_replica, tell_end, tell_interrupted
from ml_dash.run_folder import check_writable, claim_first, first_id, prefix_in
from ml_dash.run_rows import put_end, put_environment, put_event, put_start
from ml_dash.settings import Settings

if TYPE_CHECKING:
    from ml_dash.sync.replicator import Replicator

T = TypeVar("T")

HEARTBEAT = 15.0
"""Seconds between two signs of life."""


class Run(Generic[T]):
    """Starts and ends a run: a context manager, a decorator, or direct calls.

    Args:
        prefix: the run's key.
        backend: where it is kept.
        settings: how it is buffered.
        details: description, tags and the like, written at each start.
        entered: makes what `start` and `with` hand out, from the open buffer.
        left: called when the run has ended.
        root: false for a process that only joins a run, such as a spawned worker; its end does not
            end the run.
    """

    def __init__(
        self,
        prefix: str,
        backend: Backend,
        settings: Settings,
        details: Mapping[str, Any],
        *,
        entered: Callable[[Buffer], T],
        left: Callable[[], None],
        root: bool = True,
    ) -> None:
        self.prefix = prefix
        self.backend = backend
        self.settings = settings
        self.id = ""
        self.details = dict(details)
        self._entered = entered
        self._left = left
        self._root, self._decides = root, True
        self._buffer: Buffer | None = None
        self._ending = threading.RLock()  # held while it ends: what ends it may be called by that
        self._depth = 0  # how many `with` blocks are open
        self._before_end: list[Callable[[], object]] = []
        self._last_beat, self._status = 0.0, "NOT STARTED"
        self._finishing: Buffer | None = None
        self._finished: FlushReport | None = None
        self.replicator: Replicator | None = None  # what sends it to a server, if we do

    def __repr__(self) -> str:
        return f"<Run {self.prefix!r} {self._status}>"

    @property
    def status(self) -> str:
        """As this process sees it: `NOT STARTED`, `RUNNING`, `COMPLETED`, `FAILED`, `CANCELLED`."""
        return self._status

    @property
    def buffer(self) -> Buffer:
        """The open buffer. Raises `NotStartedError` when there is none."""
        if self._buffer is None:
            raise NotStartedError(
                f"the run {self.prefix!r} is not started; use `with experiment.run:` or"
                " `experiment.run.start()` first"
            )
        return self._buffer

    @property
    def open_buffer(self) -> Buffer | None:
        """The open buffer, while the run goes on."""
        return self._buffer

    @property
    def last_report(self) -> FlushReport:
        """What `end` found; an empty report before."""
        return self._finished or FlushReport(written=0, pending=0)

    def start(self, *, decides: bool = True) -> T:
        """Start the run, or continue it where it exists. Does nothing when it is started.

        Args:
            decides: false to add to a run that has ended: it keeps its status, however this ends.

        Raises:
            OSError: its folder cannot be made or written.
        """
        with starting:
            if self._buffer is None:
                self._decides = decides
                self._open()
            return self._entered(self.buffer)

    def complete(self) -> None:
        """End the run as COMPLETED, after everything is written."""
        self.end("COMPLETED")

    def fail(self, error: BaseException | str | None = None) -> None:
        """End the run as FAILED, keeping the text of `error`."""
        self.end("FAILED", None if error is None else exits.describe(error))

    def cancel(self) -> None:
        """End the run as CANCELLED."""
        self.end("CANCELLED")

    def end(self, status: str, error: str | None = None) -> None:
        """End the run. Does nothing when it has ended or never began.

        Waits until everything is on disk, for `close_timeout` seconds at most, also when another
        thread is ending it. A Ctrl-C meanwhile ends the waiting; what is in the buffer file then is
        finished by `ml-dash check`.
        """
        try:
            with self._ending:
                buffer, self._buffer = self._buffer, None
                if buffer is not None:
                    self._end(buffer, status, error)
        except KeyboardInterrupt:
            self.leave()
            raise

    def leave(self) -> None:
        """See `exits.Ending`."""
        if self._finished is None or self._buffer is not None:  # else all is on the disk
            buffer = self._buffer or self._finishing
            report = None if buffer is None else buffer.report()
            tell_interrupted(self.prefix, self.backend, report)

    def _end(self, buffer: Buffer, status: str, error: str | None) -> None:
        joined = buffer.forked or not self._root
        self._status, self._finished, self._finishing = status, None, buffer
        # A child that starts the run anew has still not made it.
        self._root = self._root and not buffer.forked
        try:
            self._call_before_end()
            if buffer.forked and not buffer.is_open:
                buffer.close()  # a child that recorded nothing leaves nothing
                return
            buffer.on_tick(Waiting(self.prefix, buffer, self.settings.close_timeout))
            buffer.finish_files(self.settings.close_timeout)
            buffer.show_rows(self.settings.close_timeout)  # what is lost by now is told below
            put_end(buffer, status if self._decides and not joined else "CLOSED", error)
            self._finished, self._finishing = buffer.close(), None
            tell_end(self.prefix, self.backend, self._finished)
            if not joined:
                close_books(self.backend)
                self._finished = finish_replica(self.replicator, self._finished, self.settings)
        finally:
            if self._buffer is None:  # else another thread has started it anew
                exits.unwatch(self)
            self._left()

    def before_end(self, action: Callable[[], object]) -> None:
        """Have `action` called once when the run ends, by whatever ends it, before it is closed.

        For adapters that hold back a row until they have seen what follows: handles that they have
        can still record, new ones cannot be had. An exception of `action` is told on stderr and
        stops nothing. A forked child does not call what its parent asked for.
        """
        self._before_end.append(action)

    def _call_before_end(self) -> None:
        actions, self._before_end = self._before_end, []
        for action in actions:
            try:
                action()
            except Exception as error:  # noqa: BLE001 - the run must be written all the same
                exits.say(f"while the run {self.prefix!r} was ending: {exits.describe(error)}")

    def after_fork(self) -> None:
        """See `exits.Ending`."""
        self._before_end = []
        self.replicator = None  # the parent's thread sends what the child writes, too
        self._ending = threading.RLock()
        self._depth = 0  # the blocks are the parent's; those of the child are counted anew

    def __enter__(self) -> T:
        with starting:
            entered = self.start()
            self._depth += 1
        return entered

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with starting:
            self._depth -= 1
            if self._depth > 0:
                return  # the outermost block ends the run
        status = exits.status_after(error)
        self.end(status, exits.describe(error) if status == "FAILED" else None)

    def __call__(self, function: Callable[..., Any] | None = None) -> Callable[..., Any]:
        """Decorate `function`: each call is a run, given as its argument `experiment`.

        A function without such a parameter gets it as its first argument, if it takes one.

        Raises:
            TypeError: it is a generator function, or there is none.
        """
        if function is None:
            raise TypeError("write `@experiment.run`, without parentheses")
        return decorated(function, lambda: self)

    # -- starting --------------------------------------------------------------------------------

    def _open(self) -> None:
        folder = self.backend.folder if isinstance(self.backend, LocalBackend) else None
        if folder is not None:
            check_writable(folder)
            drain_dead(folder)  # a run that was killed at once is known by its ring only
        known = first_id(self.backend)
        own = ids.new_id()
        if known is None and self._root and folder is not None:
            known = claim_first(folder, own)
        before, self._status = self._status, "RUNNING"
        self.id = known or own
        buffer = Buffer(self.backend, self.settings, self._write_start)
        buffer.first = known is None and self._root
        buffer.since = None if buffer.first else time.time()
        self._buffer = buffer
        try:
            buffer.ensure_open()
            buffer.show_rows(1.0)  # so that whoever looks from now on finds the run
        except BaseException:
            self._buffer, self._status = None, before
            exits.unwatch(self)
            buffer.close(0.0)
            raise
        if self._root and folder is not None and self.settings.url:
            replicator = lazy.load("ml_dash.sync.replicator")
            self.replicator = replicator.replicate_run(folder, self.prefix, self.settings)

    def _write_start(self, buffer: Buffer) -> None:
        """Say who writes: at the first write, in a forked child, after the folder was removed."""
        root = self._root and self._decides and not buffer.forked
        put_start(buffer, self.id, self.prefix, root=root, details=self.details)
        self._last_beat = time.monotonic()
        buffer.rejoin = attach
        buffer.on_tick(self._beat)
        exits.watch(self)
        if root and self.settings.environment:
            # On a worker thread: it takes longer than a start may.
            buffer.submit("run/environment", 0, lambda: put_environment(buffer))

    def _beat(self) -> None:
        now = time.monotonic()
        if (buffer := self._buffer) is not None and now - self._last_beat > HEARTBEAT:
            self._last_beat = now
            put_event(buffer, "heartbeat")
        if buffer is not None and self.replicator is not None:
            self.replicator.note(buffer.rows_by_room())

    def update(
        self,
        *,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        bindrs: Iterable[str] | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """Replace details of the running run, each as a whole; what is not given stays.

        Args:
            description: what a reader should know.
            tags: labels to find it by, in place of those that it has; `Experiment.add_tags` adds.
            bindrs: collections that it belongs to.
            metadata: anything else, as a dict of JSON-able values.

        Raises:
            NotStartedError: the run is not going on.
            TypeError: an argument of a wrong type, or metadata that has no JSON form.
            ValueError: details of more than 16 MiB. Nothing was changed then, as above.
        """
        buffer = self.buffer
        details = checked_details(
            description=description, tags=tags, bindrs=bindrs, metadata=metadata
        )
        put_event(buffer, "update", **details)
        self.details |= details


starting = threading.RLock()
"""Held while a run starts: two threads that use `dxp` at once start it once."""

_by_folder: WeakValueDictionary[Path, Run[Any]] = WeakValueDictionary()


def remember(folder: Path, run: Run[Any]) -> None:
    """Let what is pickled and unpickled in this very process find its run again."""
    _by_folder[folder] = run


def running_in(folder: Path) -> Run[Any] | None:
    """The run of `folder` that goes on in this process, if there is one."""
    run = _by_folder.get(folder)
    return run if run is not None and run.open_buffer is not None else None


def attach(folder: Path, settings: Settings) -> Buffer:
    """The buffer of the run in `folder`: this process's own, or one that joins the run.

    Called when handles are unpickled, for example in a spawned DataLoader worker.
    """
    run = running_in(folder)
    if run is None:
        run = Run(
            prefix_in(folder),
            LocalBackend(folder),
            settings,
            {},
            entered=lambda buffer: buffer,
            left=lambda: None,
            root=False,
        )
        run.start()
        remember(folder, run)
    return run.buffer


def _after_fork_in_child() -> None:
    global starting
    starting = threading.RLock()  # a thread that is not here may hold the parent's


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
