"""The front door: puts prefix, settings, backend, buffer and handles together.

This module alone knows what is plugged into what; no handle knows the experiment.
"""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, NoReturn, Self

from ml_dash import exits
from ml_dash.backends import Backend, LocalBackend
from ml_dash.buffer import Buffer, FlushReport
from ml_dash.decorate import decorated
from ml_dash.details import checked_details
from ml_dash.errors import ClosedError, NotStartedError
from ml_dash.files import Files
from ml_dash.log import Logs
from ml_dash.metrics import Metrics
from ml_dash.names import check_prefix, default_prefix, prefix_folder
from ml_dash.params import Params
from ml_dash.run import Run, remember
from ml_dash.run_end import with_replica
from ml_dash.settings import Settings, load, place_of
from ml_dash.track import Tracks

if TYPE_CHECKING:
    from ml_dash.recorder import Recorder

HANDLES = ("files", "log", "logs", "metrics", "params", "track", "tracks")


class Experiment:
    """One experiment: what you record goes into its run::

        with Experiment("robotics/arm").run as experiment:
            experiment.params.set(lr=1e-3)
            experiment.track("robot/position").append({"step": 0, "x": 0.1})

    Making one touches neither disk nor network; `run` starts it.

    Args:
        prefix: its key, such as `project/name`. Starting a prefix that exists continues its run:
            rows are added, parameters and the details below are replaced where they are given
            again, each as a whole, and stay where they are not. By default the script's name, the
            time and four random characters.
        project: joined in front of the prefix.
        description: what a reader should know.
        tags: labels to find it by.
        bindrs: collections that it belongs to.
        metadata: anything else, as a dict of JSON-able values.
        dash_root: the folder that runs are kept in; `ML_DASH_ROOT`, else `.dash`.
        dash_url: the server that the run is replicated to in the background, such as
            `https://dash.example`, or `False` for none. By default `ML_DASH_URL`, else the server
            that `ml-dash login` has kept; none where `dash_root` is given.
        backend: keep the run elsewhere, such as in a `MemoryBackend` in your tests.
        echo: print log messages to the terminal, too.
        environment: record packages, git state, command line and hardware at start.
        buffer_enabled: false: what a call records is in its file before the call returns.

    Attributes:
        prefix: the key, project included.
        run: starts and ends it: `with experiment.run`, `@experiment.run`, `experiment.run.start()`.
        folder: where the run lies; `None` with another backend.

    Raises:
        ValueError: a prefix that cannot be a path, an environment variable of a wrong kind, or
            metadata of more than 16 MiB.
        TypeError: an argument of a wrong type, or metadata that has no JSON form.
    """

    files: Files
    log: Logs
    logs: Logs
    metrics: Metrics
    params: Params
    track: Tracks
    tracks: Tracks

    def __init__(
        self,
        prefix: str | PurePath | None = None,
        *,
        project: str | PurePath | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = (),
        bindrs: Iterable[str] | None = (),
        metadata: Mapping[str, Any] | None = None,
        dash_root: str | os.PathLike[str] | None = None,
        dash_url: str | bool | None = None,
        backend: Backend | None = None,
        echo: bool | None = None,
        environment: bool | None = None,
        buffer_enabled: bool | None = None,
        _root: bool = True,
    ) -> None:
        self.settings = load(
            {
                "root": None if dash_root is None else os.fspath(dash_root),
                "url": dash_url or None,
                "echo": echo,
                "environment": environment,
                "buffer_enabled": buffer_enabled,
            }
        )
        if prefix is None:
            prefix = default_prefix(_script(), time.time())
        self.prefix = check_prefix(prefix, project)
        details = checked_details(
            description=description, tags=tags, bindrs=bindrs, metadata=metadata
        )
        asked = dash_url is None and dash_root is None and backend is None
        self.settings = replace(self.settings, url=_server(dash_url, self.settings.url, asked))
        self.folder: Path | None = None
        if backend is None:
            # Absolute: a program that changes its directory goes on recording in the same place.
            self.folder = Path(self.settings.root).absolute() / prefix_folder(self.prefix)
            backend = LocalBackend(self.folder)
        self.run: Run[Experiment] = Run(
            self.prefix,
            backend,
            self.settings,
            details,
            entered=self._enter,
            left=self._leave,
            root=_root,
        )

    @property
    def id(self) -> str:
        """The run's snowflake id; empty before the first start."""
        return self.run.id

    @property
    def description(self) -> str | None:
        """What a reader should know, as it was given here."""
        return self.run.details.get("description")

    @property
    def tags(self) -> list[str]:
        """The tags, as they were given here; `open_run` has those of all sessions."""
        tags: list[str] = self.run.details.setdefault("tags", [])
        return tags

    @property
    def bindrs(self) -> list[str]:
        """The bindrs, as they were given here."""
        bindrs: list[str] = self.run.details.setdefault("bindrs", [])
        return bindrs

    @property
    def metadata(self) -> dict[str, Any]:
        """The metadata, as they were given here."""
        metadata: dict[str, Any] = self.run.details.setdefault("metadata", {})
        return metadata

    def recorder(self, **options: Any) -> Recorder:
        """A recorder that writes frames and rows of one step together. See `Recorder`."""
        from ml_dash.recorder import Recorder

        return Recorder(self._buffer("recorder"), **options)

    def flush(self, timeout: float | None = None, fsync: bool = False) -> FlushReport:
        """Wait until everything recorded so far is on disk. Never raises once the run has started.

        A server gets it as soon as it takes it; that is not waited for, but reported.

        Args:
            timeout: seconds to wait at most; by default as long as there is progress.
            fsync: also wait for the disk itself.

        Returns:
            What is written, what is pending, what a server has not got yet, and what was lost.
        """
        buffer = self.run.open_buffer
        if buffer is None:
            return self.run.last_report
        report, replicator = buffer.flush(timeout, fsync), self.run.replicator
        if replicator is not None:
            replicator.kick()
            report = with_replica(report, replicator.report())
        return report

    def add_tags(self, *tags: str) -> None:
        """Add tags to the running run, beside those that it has from whichever session."""
        from ml_dash.reading import read_rows
        from ml_dash.reading.status import fold_life

        buffer = self._buffer("add_tags")
        buffer.show_rows(1.0)
        stored = fold_life(read_rows(buffer.backend, "run")).details.get("tags", ())
        self.run.update(tags=[*self.tags, *map(str, stored), *tags])

    def _buffer(self, name: str) -> Buffer:
        buffer = self.run.open_buffer
        if buffer is None:
            self._not_running(name)
        return buffer

    def _enter(self, buffer: Buffer) -> Experiment:
        if "track" not in self.__dict__:
            self.log = self.logs = Logs(buffer, echo=self.settings.echo)
            self.params = Params(buffer)
            self.metrics = Metrics(buffer)
            self.track = self.tracks = Tracks(buffer)
            self.files = Files(buffer)
            if self.folder is not None:
                remember(self.folder, self.run)
        return self

    def _leave(self) -> None:
        metrics = self.__dict__.get("metrics")
        for metric in metrics.used() if metrics is not None else ():
            if metric.unsummarized:
                exits.say(
                    f"{metric.unsummarized:,} values that metrics({metric.name!r}).buffer(…) had"
                    " gathered are gone with the run: log_summary() was not called after them"
                )
        for name in HANDLES:
            self.__dict__.pop(name, None)

    def __getattr__(self, name: str) -> NoReturn:
        # Only reached when the attribute is not there: handles exist while the run does.
        if name in HANDLES:
            self._not_running(name)
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def _not_running(self, name: str) -> NoReturn:
        if self.run.status == "NOT STARTED":
            raise NotStartedError(
                f"experiment.{name} was used before the run {self.prefix!r} was started; use"
                " `with experiment.run:` or call `experiment.run.start()` first"
            )
        raise ClosedError(
            f"experiment.{name} was used after the run {self.prefix!r} had ended; call"
            " `experiment.run.start()` to continue it"
        )

    def __enter__(self) -> NoReturn:
        raise TypeError(
            "an Experiment is started by its run: write `with Experiment(...).run as experiment:`"
        )

    def __exit__(self, *ending: object) -> None:
        """Never reached; without it Python would not come as far as the text above."""

    def __repr__(self) -> str:
        return f"<Experiment {self.prefix!r} {self.run.status}>"

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self  # as an open file would be: copies of what holds it go on recording

    def __reduce__(self) -> tuple[Any, ...]:
        if self.folder is None:
            raise TypeError("a run kept in memory cannot be taken to another process")
        # As it was settled here: there, another folder and other variables may hold.
        depth = len(PurePath(prefix_folder(self.prefix)).parts)
        arguments: dict[str, Any] = {
            "prefix": self.prefix,
            "description": self.description,
            "tags": self.tags,
            "bindrs": self.bindrs,
            "metadata": self.metadata,
            "dash_root": str(self.folder.parents[depth - 1]),
            "dash_url": self.settings.url or False,
            "echo": self.settings.echo,
            "environment": self.settings.environment,
            "buffer_enabled": self.settings.buffer_enabled,
        }
        if self.run.open_buffer is None:
            return functools.partial(type(self), **arguments), ()
        # Who started the run sends what all processes of it record.
        return _join, (self.folder, {**arguments, "dash_url": False})


def ml_dash_experiment(
    prefix: str | PurePath | None = None, **arguments: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a function: each call runs inside an experiment, given as argument `experiment`::

        @ml_dash_experiment("robotics/arm")
        def train(experiment): ...

    Args:
        prefix: as for `Experiment`.
        **arguments: likewise.

    Raises:
        TypeError, ValueError: as `Experiment`, when the function is decorated.
    """
    if callable(prefix):
        raise TypeError(
            'write `@ml_dash_experiment("project/name")`, or `@ml_dash_experiment()` for a name'
            " made of the script's and the time"
        )

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        Experiment(prefix, **arguments)  # a wrong argument is told where it is written
        return decorated(function, lambda: Experiment(prefix, **arguments).run)

    return decorate


def _join(folder: Path, arguments: Mapping[str, Any]) -> Experiment:
    """An unpickled experiment: the one that runs in this process, or one that joins its run."""
    from ml_dash.run import running_in

    run = running_in(folder)
    if run is not None:
        entered = run.start()
        if isinstance(entered, Experiment):
            return entered
    return Experiment(**arguments, _root=False).run.start()


def _server(given: str | bool | None, configured: str | None, asked: bool) -> str | None:
    """The server that a run is replicated to.

    Args:
        given: the argument `dash_url`.
        configured: what it or the settings say.
        asked: whether no argument says that the run is local, or where it is kept.
    """
    if given is True:
        raise TypeError("dash_url is True; give the server's address, or False for none")
    url = str(given) if given else configured if asked else None
    if url is None and asked:
        from ml_dash.auth import kept_server

        url = kept_server()
    if url is None:
        return None
    from ml_dash.remote.address import server_url

    try:
        return server_url(url)
    except ValueError as error:
        if given or configured is None:
            raise
        raise ValueError(f"{place_of('url')}: {error}") from None


def _script() -> str:
    return sys.argv[0] if sys.argv and sys.argv[0] not in ("", "-c") else "interactive"


__all__ = ["Experiment", "Settings", "ml_dash_experiment"]
