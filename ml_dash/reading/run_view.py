"""A run, read back: also while it is written, and after a crash."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_dash.backends import Backend
from ml_dash.dotted import fold, unflatten
from ml_dash.hints import hint
from ml_dash.names import topic_of
from ml_dash.reading.files import Files, is_image
from ml_dash.reading.lines import Problem, Segment
from ml_dash.reading.logs import LogView
from ml_dash.reading.source import Source
from ml_dash.reading.status import RUNNING, Life, Session, fold_life
from ml_dash.reading.stream import Stream

if TYPE_CHECKING:
    from ml_dash.export import ExportReport
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.frames import Frames
    from ml_dash.reading.table import Table


class RunView:
    """A run to read from. `ml_dash.open_run` gives it.

    It shows the run as it was when each part was first looked at; `refresh` moves on to the
    present. Nothing is read before it is asked for.

    Attributes:
        tracks: the tables of all tracks by topic: `run.tracks["robot/position"]["x"]`.
        metrics: the tables of all metrics by name.
        logs: the messages.
        files: the files.
        folder: where the run lies, `None` when it is not kept in a folder.
    """

    def __init__(self, backend: Backend, prefix: str = "", *, recover: bool = True) -> None:
        self.source = Source(backend, recover=recover)
        self.folder: Path | None = self.source.folder
        self.tracks: Tables = Tables(self.source, "tracks", "track")
        self.metrics: Tables = Tables(self.source, "metrics", "metric")
        self.logs = LogView(Stream(self.source, "logs"))
        self.files = Files(self.source)
        self._prefix = prefix
        self._life: Life | None = None
        self._sessions: list[Session] | None = None

    def __repr__(self) -> str:
        return f"<RunView {self.prefix!r}>"

    def refresh(self) -> None:
        """Take in what was written since the run was opened, or last refreshed."""
        self.source.refresh()
        self._life = self._sessions = None

    # -- what it is ------------------------------------------------------------------------------

    @property
    def life(self) -> Life:
        """What the sessions said, folded."""
        if self._life is None:
            ask = getattr(self.source.backend, "sessions", None)  # of those that a server has
            self._life = fold_life(Stream(self.source, "run").rows(), ask=ask)
            known = {session.id for session in self._life.sessions}
            if self.source.live_writers() - known:
                self._life.status = RUNNING  # it has begun, and its first row is on its way
        return self._life

    @property
    def id(self) -> str:
        """The snowflake id that it got at its first start."""
        return self.life.id

    @property
    def prefix(self) -> str:
        """The run's key."""
        return self._prefix or self.life.prefix or (self.folder.name if self.folder else "")

    @property
    def status(self) -> str:
        """`RUNNING`, `COMPLETED`, `FAILED`, `CANCELLED`, or `INTERRUPTED`: gone without a word."""
        return self.life.status

    @property
    def error(self) -> str | None:
        """Why it failed, if it did."""
        return self.life.error

    @property
    def sessions(self) -> list[Session]:
        """Its sessions in the order they began: starts, resumptions, forked children."""
        if self._sessions is None:
            from ml_dash.reading.last_seen import see_last_rows

            self._sessions = self.life.sessions
            see_last_rows(self.source, self._sessions)
        return self._sessions

    @property
    def description(self) -> str | None:
        """What it is for."""
        return self.life.details.get("description")

    @property
    def tags(self) -> list[str]:
        """Its tags."""
        return list(self.life.details.get("tags") or ())

    @property
    def bindrs(self) -> list[str]:
        """The bindrs that it belongs to."""
        return list(self.life.details.get("bindrs") or ())

    @property
    def metadata(self) -> dict[str, Any]:
        """What else was said of it."""
        return dict(self.life.details.get("metadata") or {})

    @property
    def lost(self) -> dict[str, int]:
        """How many rows or files of a stream could not be written, as its sessions told."""
        return self.life.lost

    @property
    def problems(self) -> list[Problem]:
        """What was unreadable in all that has been read so far; `ml-dash check` reads everything.

        A line without an end counts only if its writer is gone, and nobody wrote it again.
        """
        running = {session.id for session in self.life.sessions if session.status == RUNNING}
        unfinished = list(self.source.problems.unfinished.values())
        gone = (
            line
            for line in unfinished
            if Segment(line.path, 0).writer not in running and not self.source.is_continued(line)
        )
        return [*self.source.problems, *gone, *self.source.unread(running)]

    # -- what it holds ---------------------------------------------------------------------------

    @property
    def params(self) -> Params:
        """Its parameters: `run.params["model"]["layers"]`; in `run.params.flat` by dotted name."""
        return Params(fold(Stream(self.source, "params").rows()))

    def frames(self, prefix: str) -> Frames:
        """The images below a folder of its files, in order of time.

        Raises:
            KeyError: there is no image there.
        """
        from ml_dash.reading.frames import find_frames

        prefix = prefix.strip("/")
        frames = find_frames(self.source, self.files, prefix)
        if not len(frames):
            cameras = hint(prefix, self.cameras, none="no folder of this run's files has images")
            raise KeyError(f"no frames below {prefix!r}; {cameras}")
        return frames

    @property
    def cameras(self) -> list[str]:
        """The folders of its files that hold images, sorted."""
        rows = self.files.list()
        return sorted({row["path"].rpartition("/")[0] for row in rows if is_image(row)} - {""})

    def aligned(
        self,
        *topics: str,
        frames: str | Sequence[str] | None = None,
        on: str = "step",
        tolerance: float | None = None,
        repeats: str | None = None,
        rows_without_frame: str = "keep",
        frames_without_row: str = "drop",
    ) -> Aligned:
        """Join tracks and frames row by row, as they are now. What does not fit is logged.

        Args:
            topics: the tracks. With `on="timestamp"` the first is what the others are fitted to.
            frames: the folder of the frames, or several cameras.
            on: `step`: what one `Recorder` call wrote is one row; else what shares episode and
                step, if every track has an `episode`; else what shares a step. `timestamp`: to each
                row of the first track the latest of each other one.
            tolerance: with `timestamp`, how old that may be, in seconds.
            repeats: `first` or `last`: keep one row of each step that repeats, of each track that
                one. By default repeats pair in order of arrival within a session.
            rows_without_frame: `keep` or `drop` rows for which a camera has no frame.
            frames_without_row: `keep` or `drop` frames that belong to no row; kept, they are rows
                in which the tracks are missing. The report counts both either way.

        Raises:
            AlignmentError: repeats that cannot be paired without guessing; it names the steps.
            KeyError: no such track or camera.
            ValueError: an argument has no such value.
        """
        found = self._joined(
            *topics,
            frames=frames,
            on=on,
            tolerance=tolerance,
            repeats=repeats,
            rows_without_frame=rows_without_frame,
            frames_without_row=frames_without_row,
        )
        if not found.report.is_whole:
            logging.getLogger("ml_dash").warning("aligned %s: %s", self.prefix, found.report)
        return found

    def _joined(
        self, *topics: str, frames: str | Sequence[str] | None = None, **options: Any
    ) -> Aligned:
        """As `aligned`, and nothing is logged."""
        from ml_dash.reading.align import align

        cameras = [frames] if isinstance(frames, str) else list(frames or ())
        tables = {topic: self.tracks[topic].fixed() for topic in topics}
        pictures = {camera: self.frames(camera) for camera in cameras}
        found = align(tables, pictures, self.files, **options)
        found.parts = replace(found.parts, run=self)
        return found

    def export(
        self,
        format: str,
        to: str | os.PathLike[str] | None = None,
        *,
        topics: str | Sequence[str] | None = None,
        frames: str | Sequence[str] | None = None,
        hz: float | None = None,
        size: tuple[int, int] | None = None,
        on: str = "step",
        tolerance: float | None = None,
        repeats: str | None = None,
        overwrite: bool = False,
        progress: Callable[[int, int], None] | None = None,
        **options: Any,
    ) -> ExportReport:
        """Write the run as a dataset that other programs load.

        It is written as it goes, so memory does not grow with the run, into a temporary place that
        is renamed at the end: a dataset that is there is whole.

        Args:
            format: `npy png video parquet lerobot minari hdf5 mcap`.
            to: the folder, or for `hdf5` and `mcap` the file, that is made; by default
                `<prefix>_<format>` in the present folder.
            topics: the tracks; all of them by default. With `on="timestamp"` the others are fitted
                to the first of them, by default to the one that has most rows.
            frames: the camera, or several; by default all, where the format is made of frames.
            hz: bring everything to this rate: at each tick the latest of each stream.
            size: height and width that frames are scaled to.
            on: how rows are joined, with `tolerance` and `repeats`; see `aligned`.
            tolerance: in seconds.
            repeats: `first` or `last`.
            overwrite: replace an older export.
            progress: called with how much is done, and of how much.
            options: of the format, such as `fps` for `video`; `ml_dash.export` lists them.

        Raises:
            FileExistsError: there is something at that place.
            ImportError: the format's package is not installed; the text is the pip line.
            KeyError: no such track, camera or column; it names similar ones.
            ValueError: no such format, or the run has not what it needs; it says what to pass.
        """
        from ml_dash.export import export_run

        joining: dict[str, Any] = {"on": on, "tolerance": tolerance, "repeats": repeats}
        options |= {"topics": topics, "frames": frames, "hz": hz, "size": size, **joining}
        options |= {"overwrite": overwrite, "progress": progress, "join": self._joined}
        return export_run(self, format, to, **options)

    def to_json(self) -> dict[str, Any]:
        """What it is, as plain JSON types."""
        life = self.life
        ends = [session.end or session.last_seen for session in self.sessions]
        return {
            "id": life.id,
            "prefix": self.prefix,
            "status": life.status,
            **({"error": life.error} if life.error else {}),
            **{key: value for key, value in life.details.items() if value},
            "started": life.sessions[0].start if life.sessions else None,
            "ended": max(ends, default=None) if life.status != RUNNING else None,
            "lost": life.lost,
            "sessions": [session.to_json() for session in self.sessions],
        }


class Params(dict[str, Any]):
    """Parameters, nested. `flat` has them by dotted name."""

    def __init__(self, flat: Mapping[str, Any]) -> None:
        super().__init__(unflatten(flat))
        self.flat = dict(flat)


class Tables(Mapping[str, "Table"]):
    """The tracks or metrics of a run by topic."""

    def __init__(self, source: Source, room: str, what: str) -> None:
        self._source = source
        self._room = room
        self._what = what
        self._tables: dict[str, Table] = {}
        self._listed: dict[str, str] = {}
        self._version = -1

    def __len__(self) -> int:
        return len(self._streams())

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._streams()))

    def __contains__(self, topic: object) -> bool:
        return topic in self._streams()

    def __getitem__(self, topic: str) -> Table:
        if topic not in self._tables:
            streams = self._streams()
            if topic not in streams:
                raise KeyError(f"no {self._what} {topic!r}; {self._instead(topic)}")
            from ml_dash.reading.table import Table

            self._tables[topic] = Table(Stream(self._source, streams[topic]), topic)
        return self._tables[topic]

    def __repr__(self) -> str:
        return f"<{self._what}s: {', '.join(self)}>"

    def _instead(self, topic: str) -> str:
        """What there is of that name, or like it."""
        other = {"tracks": "metrics", "metrics": "tracks"}[self._room]
        if topic in map(topic_of, self._source.streams(other)):
            return f"it is one of the {other}: run.{other}[{topic!r}]"
        return hint(topic, sorted(self._streams()), none="there are none in this run")

    def _streams(self) -> dict[str, str]:
        """The stream of each topic."""
        if self._version != self._source.version:
            streams = self._source.streams(self._room)
            self._listed = {topic_of(stream): stream for stream in streams}
            self._version = self._source.version
        return self._listed
