"""The life of a run: started, going on, ended; as one process sees it.

A run may be written by many sessions: processes that start it, later resumptions, forked children.
Each writes rows of its own into the stream `run`; readers fold them into one status.
"""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from ml_dash import clock, exits, ids
from ml_dash.backends import Backend, LocalBackend
from ml_dash.buffer import Buffer, FlushReport
from ml_dash.buffer.recovery import drain_dead
from ml_dash.environment import capture, process_identity
from ml_dash.errors import NotStartedError
from ml_dash.rows import decode_row, encode_row
from ml_dash.settings import Settings

T = TypeVar("T")

HEARTBEAT = 15.0
"""Seconds between two signs of life."""

STATUSES = ("COMPLETED", "FAILED", "CANCELLED")


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
        self._details = dict(details)
        self._entered = entered
        self._left = left
        self._root = root
        self._buffer: Buffer | None = None
        self._ending = threading.Lock()
        self._last_beat = 0.0
        self._status = "NOT STARTED"
        self._finished: FlushReport | None = None

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

    def start(self) -> T:
        """Start the run, or continue it where it exists. Does nothing when it is started.

        Raises:
            OSError: its folder cannot be made or written.
        """
        if self._buffer is None:
            self._open()
        return self._entered(self.buffer)

    def complete(self) -> None:
        """End the run as COMPLETED, after everything is written."""
        self.end("COMPLETED")

    def fail(self, error: BaseException | str | None = None) -> None:
        """End the run as FAILED, keeping the text of `error`."""
        self.end("FAILED", exits.describe(error) if isinstance(error, BaseException) else error)

    def cancel(self) -> None:
        """End the run as CANCELLED."""
        self.end("CANCELLED")

    def end(self, status: str, error: str | None = None) -> None:
        """End the run. Does nothing when it has ended or never began.

        Waits until everything is on disk, for `close_timeout` seconds at most. A Ctrl-C meanwhile
        ends the waiting; what is in the buffer file then is finished by `ml-dash check`.
        """
        with self._ending:
            buffer, self._buffer = self._buffer, None
        if buffer is None:
            return
        exits.unwatch(self)
        joined = buffer.forked or not self._root
        self._status = status
        try:
            if buffer.forked and not buffer.is_open:
                return  # a child that recorded nothing leaves nothing
            buffer.finish_files(self.settings.close_timeout)
            row: dict[str, Any] = {
                "event": "end",
                "session": buffer.writer,
                "status": "CLOSED" if joined else status,
            }
            if error:
                row["error"] = error
            if buffer.lost:
                row["lost"] = dict(buffer.lost)
            self._put(buffer, row)
            self._finished = buffer.close()
            if not joined:
                self._after_end()
            self._say(self._finished)
        except KeyboardInterrupt:
            self._say_interrupted()
            raise
        finally:
            self._left()

    def after_fork(self) -> None:
        """See `exits.Ending`."""
        self._ending = threading.Lock()

    def __enter__(self) -> T:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
            self.complete()
        elif isinstance(error, KeyboardInterrupt):
            self.cancel()
        else:
            self.fail(error)

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate `function`: each call is a run, given as its argument `experiment`.

        A function without such a parameter gets it as its first argument, if it takes one.
        """

        @functools.wraps(function)
        def recorded(*args: Any, **kwargs: Any) -> Any:
            with self as entered:
                args, kwargs = _with_argument(function, entered, args, kwargs)
                return function(*args, **kwargs)

        return recorded

    # -- starting --------------------------------------------------------------------------------

    def _open(self) -> None:
        first_id = _first_id(self.backend)
        first = first_id is None and self._root
        if isinstance(self.backend, LocalBackend):
            _check_writable(self.backend.folder)
            drain_dead(self.backend.folder)
            first = first and _claim_first(self.backend.folder)
        self.id = first_id or ids.new_id()
        self._status = "RUNNING"
        buffer = Buffer(self.backend, self.settings, self._write_start)
        buffer.first = first
        buffer.on_tick(self._beat)
        self._buffer = buffer
        buffer.open()

    def _write_start(self, buffer: Buffer) -> None:
        """Say who writes: at the first write, in a forked child, after the folder was removed."""
        root = self._root and not buffer.forked
        row: dict[str, Any] = {
            "event": "start",
            "session": buffer.writer,
            "id": self.id,
            "prefix": self.prefix,
            "root": root,
            "anchor": clock.anchor(),
            **process_identity(),
        }
        if root:
            row |= {key: value for key, value in self._details.items() if value}
        self._put(buffer, row)
        self._last_beat = time.monotonic()
        exits.watch(self)
        if root and self.settings.environment:
            buffer.submit("run/environment", 0, lambda: self._write_environment(buffer))

    def _write_environment(self, buffer: Buffer) -> None:
        """On a worker thread: asking git and listing packages takes longer than a start may."""
        row = {"event": "environment", "session": buffer.writer, "environment": capture()}
        self._put(buffer, row)

    def _beat(self) -> None:
        now = time.monotonic()
        buffer = self._buffer
        if buffer is not None and now - self._last_beat > HEARTBEAT:
            self._last_beat = now
            self._put(buffer, {"event": "heartbeat", "session": buffer.writer})

    def update(self, **details: Any) -> None:
        """Write changed details, such as tags, for readers to fold."""
        self._details |= details
        self._put(self.buffer, {"event": "update", "session": self.buffer.writer, **details})

    @staticmethod
    def _put(buffer: Buffer, row: Mapping[str, Any]) -> None:
        head = {"timestamp": clock.now()}
        buffer.put("run", encode_row(row, head=head, where="run", strict=False))

    # -- ending ----------------------------------------------------------------------------------

    def _after_end(self) -> None:
        if isinstance(self.backend, LocalBackend):
            drain_dead(self.backend.folder)  # of children that were killed
            try:
                from ml_dash.reading import write_views

                write_views(self.backend.folder)
            except Exception as error:  # noqa: BLE001 - a view must not hide how the run ended
                print(f"ml-dash: run.json could not be written: {error!r}", file=sys.stderr)

    def _say(self, report: FlushReport) -> None:
        if not report.ok:
            print(
                f"ml-dash: the run {self.prefix!r} ended, but not all of it is on disk: {report}."
                f" When the disk takes data again, `ml-dash check {self._place}` finishes it",
                file=sys.stderr,
            )

    def _say_interrupted(self) -> None:
        print(
            f"ml-dash: interrupted while the run {self.prefix!r} was being written; rows are safe"
            f" in its buffer file, `ml-dash check {self._place}` finishes it",
            file=sys.stderr,
        )

    @property
    def _place(self) -> str:
        return str(getattr(self.backend, "folder", self.prefix))


_by_folder: dict[Path, Run[Any]] = {}


def remember(folder: Path, run: Run[Any]) -> None:
    """Let what is pickled and unpickled in this very process find its run again."""
    _by_folder[folder] = run


def running_in(folder: Path) -> Run[Any] | None:
    """The run of `folder` that goes on in this process, if there is one."""
    run = _by_folder.get(folder)
    return run if run is not None and run.open_buffer is not None else None


def attach(folder: Path | None, settings: Settings) -> Buffer:
    """The buffer of the run in `folder`: this process's own, or one that joins the run.

    Called when handles are unpickled, for example in a spawned DataLoader worker.

    Raises:
        TypeError: the run is kept in memory, which no other process sees.
    """
    if folder is None:
        raise TypeError("a run kept in memory cannot be taken to another process")
    run = running_in(folder)
    if run is None:
        run = Run(
            _prefix_in(folder),
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


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"the run cannot be written, because its folder cannot:"
            f" {os.strerror(error.errno or 0)}. Choose another with dash_root= or ML_DASH_ROOT",
            str(folder),
        ) from None


def _check_writable(folder: Path) -> None:
    """Fail now, with the folder's name, rather than later and in silence."""
    with _naming(folder):
        (folder / ".buffer").mkdir(parents=True, exist_ok=True)
        probe = folder / ".buffer" / f"{ids.new_writer_id()}.probe.tmp"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()


def _claim_first(folder: Path) -> bool:
    """Of processes that start a new run at once, only one is its first."""
    try:
        os.close(os.open(folder / ".buffer" / "first", os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    return True


def _first_id(backend: Backend) -> str | None:
    """The id that the run got at its first start."""
    first: tuple[float, str] | None = None
    for info in backend.list("run"):
        line = backend.read(info.path, 0, 1 << 20).split(b"\n", 1)[0]
        try:
            row = decode_row(line)
            found = (float(row["timestamp"]), str(row["id"]))
        except (ValueError, KeyError, TypeError):
            continue  # not a start row, or torn
        if first is None or found < first:
            first = found
    return first[1] if first else None


def _prefix_in(folder: Path) -> str:
    backend = LocalBackend(folder)
    for info in backend.list("run"):
        try:
            return str(decode_row(backend.read(info.path, 0, 1 << 20).split(b"\n", 1)[0])["prefix"])
        except (ValueError, KeyError):
            continue
    return folder.name


def _with_argument(
    function: Callable[..., Any], value: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    parameters = inspect.signature(function).parameters.values()
    kinds = inspect.Parameter
    by_name = (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    if any(p.name == "experiment" and p.kind in by_name for p in parameters):
        return args, {"experiment": value, **kwargs}
    free = [
        p
        for p in parameters
        if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD) and p.name not in kwargs
    ]
    takes_more = len(free) > len(args) and free[0].default is kinds.empty
    if takes_more or any(p.kind is kinds.VAR_POSITIONAL for p in parameters):
        return (value, *args), kwargs
    return args, kwargs
