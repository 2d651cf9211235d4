"""Frames: the images below one folder of a run's files, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from ml_dash.reading.entries import Floats, Integers, whole_numbers
from ml_dash.reading.files import Files, is_image, open_data
from ml_dash.reading.frame_files import FrameFiles
from ml_dash.reading.lines import Row
from ml_dash.reading.parts import Array, Part, finish, pack, read_only, select

if TYPE_CHECKING:
    from ml_dash.reading.source import Source


@dataclass(frozen=True, slots=True)
class FrameFacts:
    """What joining needs to know of frames.

    Attributes:
        steps: of each frame; missing where unknown.
        episodes: the `episode` of each frame's metadata.
        sessions: the number of the session that saved it.
        ids: snowflakes, in the order of the calls that saved them.
    """

    steps: Part
    episodes: Part
    sessions: Integers
    ids: Integers


class Frames:
    """Images in order of time. `frames[i]` decodes one; `len`, iterating and slices work.

    A frame is an array of shape (H, W), (H, W, 3) or (H, W, 4), uint8, or uint16 for 16-bit
    grayscale. Nothing is kept: what was decoded is forgotten unless you keep it.
    """

    def __init__(self, source: Source, prefix: str, entries: list[tuple[Row, int]]) -> None:
        self.prefix = prefix
        self._source = source
        # By the time they belong to, then by their ids, which are in order of the calls
        entries.sort(key=lambda entry: (_time(entry[0]), _id(entry[0])))
        rows = [row for row, _ in entries]
        self._places: list[str] = [str(row["data"]) for row in rows]
        self.paths: list[str] = [str(row["path"]) for row in rows]
        self._timestamps: Floats = np.array([_time(row) for row in rows], np.float64)
        self._steps = whole_numbers(pack([row.get("step") for row in rows]))
        self.facts = FrameFacts(
            self._steps,
            pack([_episode(row) for row in rows]),
            np.array([session for _, session in entries], np.int64),
            np.array([_id(row) for row in rows], np.int64),
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Array]:
        return (self[index] for index in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> Array: ...
    @overload
    def __getitem__(self, index: slice) -> Frames: ...
    def __getitem__(self, index: int | slice) -> Array | Frames:
        if isinstance(index, slice):
            return self._taken(np.arange(len(self), dtype=np.int64)[index])
        from ml_dash import image

        data = self.read_bytes(index)
        try:
            return image.decode(data)
        except ValueError as error:
            raise ValueError(f"frame {self.paths[index]!r}: {error}") from None

    def __repr__(self) -> str:
        return f"<Frames {self.prefix!r}: {len(self)}>"

    @property
    def names(self) -> list[str]:
        """The path of each frame below `prefix`."""
        return [path[len(self.prefix) + 1 :] for path in self.paths]

    @property
    def steps(self) -> Array:
        """The step of each frame: shape (frames,), int64; a masked array where one has none."""
        return finish(self._steps)

    @property
    def timestamps(self) -> Floats:
        """The time that each frame belongs to, in seconds, ascending: shape (frames,), float64."""
        return read_only(self._timestamps)

    @property
    def ids(self) -> Integers:
        """Snowflakes, in the order of the calls that saved the frames: shape (frames,), int64."""
        return read_only(self.facts.ids)

    def read_bytes(self, index: int) -> bytes:
        """The file of one frame as it was saved.

        Raises:
            FileNotFoundError: its bytes are gone.
        """
        with open_data(self._source, self._places[index]) as file:
            return file.read()

    def files(self) -> FrameFiles:
        """The same frames in little memory, to be pickled: for the workers of a data loader."""
        store = self._source.folder or self._source.backend
        places = [place.encode() for place in self._places]
        return FrameFiles([store], np.zeros(len(places), np.int64), places)

    def to_numpy(self) -> Array:
        """All frames decoded and stacked: shape (frames, H, W[, C]). Needs that much memory.

        Raises:
            ValueError: they differ in shape or type; decode them one by one then.
        """
        stacked: NDArray[Any] | None = None
        for index, frame in enumerate(self):
            if stacked is None:
                stacked = np.empty((len(self), *frame.shape), frame.dtype)
            if frame.shape != stacked.shape[1:] or frame.dtype != stacked.dtype:
                raise ValueError(
                    f"frames below {self.prefix!r} differ: {self.paths[0]!r} is"
                    f" {stacked.shape[1:]} {stacked.dtype}, {self.paths[index]!r} is"
                    f" {frame.shape} {frame.dtype}; decode them one by one"
                )
            stacked[index] = frame
        return np.empty((0, 0, 0, 3), np.uint8) if stacked is None else stacked

    def _taken(self, numbers: Integers) -> Frames:
        frames = Frames(self._source, self.prefix, [])
        frames._places = [self._places[number] for number in numbers]
        frames.paths = [self.paths[number] for number in numbers]
        frames._timestamps = self._timestamps[numbers]
        frames._steps = select(self._steps, numbers)
        facts = self.facts
        frames.facts = FrameFacts(
            frames._steps,
            select(facts.episodes, numbers),
            facts.sessions[numbers],
            facts.ids[numbers],
        )
        return frames


def find_frames(source: Source, files: Files, prefix: str) -> Frames:
    """The images below `prefix`; none are an empty `Frames`."""
    found = ((entry.row(), source.session(entry.writer)) for entry in files.under(prefix))
    return Frames(source, prefix, [(row, session) for row, session in found if is_image(row)])


def _time(row: Row) -> float:
    """The time that a file belongs to; when it was saved, if nothing says more."""
    at = row.get("at")
    return float(at if isinstance(at, (int, float)) else row["timestamp"])


def _episode(row: Row) -> Any:
    metadata = row.get("metadata")
    episode = metadata.get("episode") if isinstance(metadata, dict) else None
    return row.get("episode", episode)


def _id(row: Row) -> int:
    identity = row.get("id")
    return int(identity) if isinstance(identity, str) and identity.isdecimal() else 0
