"""What aligned rows are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from ml_dash.reading.entries import Floats, Integers
from ml_dash.reading.frame_files import FrameFiles
from ml_dash.reading.parts import Array, Part
from ml_dash.reading.topic import AlignedTopic


class Pictures(Protocol):
    """Frames by number: those of a run, or of several."""

    def __len__(self) -> int: ...
    def __getitem__(self, index: int, /) -> Array: ...
    def read_bytes(self, index: int) -> bytes:
        """The file of one frame as it was saved."""

    def files(self) -> FrameFiles:
        """The same frames for the workers of a data loader."""


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
    """

    topics: Mapping[str, AlignedTopic]
    cameras: Mapping[str, Pictures]
    frames: Mapping[str, Integers]
    steps: Part
    timestamps: Floats
    runs: Integers
    starts: Floats
