"""What is exported: as much of a recorded run as the formats need to know.

`ml_dash.reading.RunView` is such a recording. These are protocols, so that any other source of
rows and frames can be exported, too, and so that exporting stands below reading.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Row = Mapping[str, Any]


class Series(Protocol):
    """A track: rows in order of time, each with `timestamp` and, where it is known, `step`."""

    def __len__(self) -> int: ...

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows, decoded as they are asked for."""
        ...


class Images(Protocol):
    """A camera: frames in order of time."""

    paths: list[str]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any:
        """Decode one: (H, W), (H, W, 3) or (H, W, 4), uint8 or uint16."""
        ...

    @property
    def steps(self) -> Array:
        """The step of each frame; masked where one has none."""
        ...

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """The time of each frame in seconds, ascending."""
        ...

    @property
    def ids(self) -> NDArray[np.int64]:
        """Numbers in the order in which the frames were saved."""
        ...

    def read_bytes(self, index: int) -> bytes:
        """The file of one frame as it was saved."""
        ...


class Placed(Protocol):
    """One track, brought to aligned rows."""

    index: NDArray[np.int64]
    is_blended: bool
    """Whether its numbers lie between those that were recorded."""

    def row(self, index: int) -> dict[str, Any] | None:
        """The fields of one aligned row, by dotted name."""
        ...


class Together(Protocol):
    """Aligned rows of several tracks and cameras."""

    report: Any

    def __len__(self) -> int: ...

    def __getitem__(self, name: str, /) -> Placed:
        """One of the tracks."""
        ...

    @property
    def steps(self) -> Array:
        """The step of each row; masked where one has none."""
        ...

    @property
    def timestamps(self) -> NDArray[np.float64]:
        """The time of each row in seconds."""
        ...

    @property
    def episode_index(self) -> NDArray[np.int64]:
        """The number of each row's episode."""
        ...

    def frame_index(self, camera: str | None = None) -> NDArray[np.int64]:
        """For each row the number of its frame, -1 where there is none."""
        ...

    def resample(self, hz: float) -> Together:
        """The same on a grid of fixed rate."""
        ...


class Recording(Protocol):
    """A run."""

    @property
    def prefix(self) -> str:
        """Its key."""
        ...

    @property
    def tracks(self) -> Mapping[str, Series]:
        """Its tracks by topic."""
        ...

    @property
    def cameras(self) -> list[str]:
        """The folders that hold frames."""
        ...

    @property
    def files(self) -> Any:
        """Its files: `exists` and `read_json` by path."""
        ...

    @property
    def params(self) -> Mapping[str, Any]:
        """Its parameters, nested."""
        ...

    def frames(self, prefix: str) -> Images:
        """The frames of one camera."""
        ...

    def aligned(
        self,
        *topics: str,
        frames: str | Sequence[str] | None = None,
        on: str = "step",
        tolerance: float | None = None,
        repeats: str | None = None,
    ) -> Together:
        """Join tracks and frames row by row."""
        ...

    def to_json(self) -> dict[str, Any]:
        """What it is: `id`, `status`, `description`, `tags`, `metadata`, …."""
        ...
