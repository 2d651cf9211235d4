"""What aligned rows are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ml_dash.reading.entries import Floats, Integers
from ml_dash.reading.frame_files import FrameFiles
from ml_dash.reading.parts import Array, Part
from ml_dash.reading.topic import AlignedTopic

if TYPE_CHECKING:
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.run_view import RunView


class Pictures(Protocol):
    """Frames by number: those of a run, or of several."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Array: ...
    def read_bytes(self, index: int) -> bytes:
        """The file of one frame as it was saved."""

    def files(self) -> FrameFiles:
        """The same frames for the workers of a data loader."""


@dataclass(frozen=True, slots=True)
class Streams:
    """What belongs to the rows by time alone, as it was recorded: a grid takes it by its times.

    Of rows joined by time that is all but the first stream, of rows joined by step what has none.

    Attributes:
        tracks: each with all its entries, and their times.
        cameras: the times of all frames.
        tolerance: how old an entry or frame may be, in seconds.
    """

    tracks: Mapping[str, tuple[AlignedTopic, Floats]]
    cameras: Mapping[str, Floats]
    tolerance: float | None


@dataclass(frozen=True, slots=True)
class Pieces:
    """What the rows of several runs were joined of: a grid is made for each run.

    Attributes:
        runs: the rows of each.
        join: puts such rows together.
    """

    runs: Sequence[Aligned]
    join: Callable[[Sequence[Aligned]], Aligned]


@dataclass(frozen=True, slots=True)
class AlignedParts:
    """What aligned rows are made of.

    Attributes:
        topics: the tracks.
        cameras: the frames.
        frames: by camera the number of each row's frame, -1 where it has none.
        steps: of the rows.
        timestamps: of the rows, in seconds, ascending within a run.
        runs: of each row the number of its run.
        starts: of each run the time that its milliseconds count from.
        run: where they are from; `None` when there are several.
        hz: their rate, when they are the ticks of a grid.
        streams: what belongs to the rows by time alone.
        pieces: of rows of several runs of which any has such streams, the rows of each.
    """

    topics: Mapping[str, AlignedTopic]
    cameras: Mapping[str, Pictures]
    frames: Mapping[str, Integers]
    steps: Part
    timestamps: Floats
    runs: Integers
    starts: Floats
    run: RunView | None = None
    hz: float | None = None
    streams: Streams | None = None
    pieces: Pieces | None = None
