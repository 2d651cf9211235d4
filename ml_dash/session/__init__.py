"""Sessions: what a fixed-rate capture left, or `run.export("npy", …)`, loaded back.

<session>_frames.npy         (N, H, W, 3) uint8, or <session>_frame_000000.png and so on
<session>_timestamps.npy     (N,) milliseconds since the start
<session>_data.jsonl         line i is the sample of frame i
<session>_metadata.json      what the session is
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeGuard, overload

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.columns import Column
from ml_dash.export.pictures import Size, check_size
from ml_dash.reading.parts import read_only
from ml_dash.session.batches import FRAME, TIME, Keys, columns_of, grouped, windows
from ml_dash.session.store import SUFFIX, Frames, Lines, find, read_metadata

if TYPE_CHECKING:
    from torch.utils.data import DataLoader

__all__ = ["Session", "load_session"]

_LISTED = 5


def load_session(path: str | os.PathLike[str], *, size: tuple[int, int] | None = None) -> Session:
    """Open a session: frames with their samples, exported by ML-Dash or by any tool in this layout.

    Frames are mapped into memory or decoded as they are asked for, so that it opens at once and may
    be larger than memory. What is missing is said in a warning.

    Args:
        path: of `<session>_metadata.json`, or of the folder, if one session is in it.
        size: height and width that frames are scaled to.

    Raises:
        FileNotFoundError: there is no such session.
        ValueError: the file is no session's metadata, or several sessions are in that folder.
    """
    folder, name = find(Path(path))
    return Session(folder, name, check_size(size))


class Session:
    """Frames with their samples, by number, by time, by range. `load_session` gives it.

    `session[i]` and iterating give a dict: `frame` (uint8, (H, W, 3), or `None` where it is
    missing), `frame_timestamp_ms`, and the sample's own fields. `session[10:20]` is a session of
    these.

    Attributes:
        metadata: what `<session>_metadata.json` says.
        frame_timestamps: milliseconds since the start: shape (N,), float32 as they were saved;
            read-only, since `find` goes by them.
    """

    metadata: dict[str, Any]
    frame_timestamps: NDArray[Any]

    def __init__(self, folder: Path, name: str, size: Size | None = None) -> None:
        self.name = name
        self.folder = folder
        self.metadata = read_metadata(folder / f"{name}{SUFFIX}")
        self._frames = Frames(folder, name, size)
        self._lines = Lines(folder / f"{name}_data.jsonl")
        count = self._count()
        self._numbers: NDArray[np.int64] = np.arange(count, dtype=np.int64)
        self._columns: dict[str, Column] | None = None
        self.frame_timestamps = read_only(self._timestamps(count))

    def __len__(self) -> int:
        return len(self._numbers)

    def __repr__(self) -> str:
        return f"<Session {self.name!r}: {len(self):,} samples>"

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self._sample(number) for number in range(len(self)))

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Session: ...
    def __getitem__(self, index: int | slice) -> dict[str, Any] | Session:
        if isinstance(index, slice):
            return self._taken(np.arange(len(self))[index])
        return self._sample(range(len(self))[index])

    # -- by time ---------------------------------------------------------------------------------

    def find(self, timestamp_ms: float) -> dict[str, Any] | None:
        """The latest sample at or before a time; `None` when all are later."""
        end = int(np.searchsorted(self.frame_timestamps, timestamp_ms, side="right"))
        return self._sample(end - 1) if end else None

    def nearest(self, timestamp_ms: float) -> dict[str, Any]:
        """The sample that is nearest to a time.

        Raises:
            IndexError: the session is empty.
        """
        if not len(self):
            raise IndexError(f"{self!r} has no sample")
        return self._sample(int(np.argmin(np.abs(self.frame_timestamps - timestamp_ms))))

    def slice(self, start_ms: float | None = None, end_ms: float | None = None) -> Session:
        """The samples from one time to another, both included, as a session."""
        times = self.frame_timestamps
        first = 0 if start_ms is None else int(np.searchsorted(times, start_ms))
        last = len(times)
        if end_ms is not None:
            last = int(np.searchsorted(times, end_ms, side="right"))
        return self._taken(np.arange(first, max(first, last)))

    # -- parts -----------------------------------------------------------------------------------

    @property
    def frames_array(self) -> NDArray[Any] | None:
        """All frames: shape (N, H, W, 3). Mapped into memory, as far as they are one array.

        Frames in files of their own are decoded each time this is asked for, and need that much
        memory. `None` where there are none.

        Raises:
            ValueError: a frame is missing, or they differ in size.
        """
        if not self._frames.count:
            return None
        if self._frames.is_array and self._frames.size is None:
            first, last = self._numbers[[0, -1]] if len(self) else (0, -1)
            if last - first + 1 == len(self):
                return self._frames.array[first : last + 1]
        pictures = [self.frame(number) for number in range(len(self))]
        if any(picture is None for picture in pictures):
            raise ValueError(f"{self!r} lacks frames; go through it sample by sample")
        return np.stack([picture for picture in pictures if picture is not None])

    def frame(self, index: int) -> NDArray[Any] | None:
        """One frame: uint8 of shape (H, W, 3), a copy; `None` where it is missing."""
        return self._frames[int(self._numbers[index])]

    def fields(self, index: int) -> dict[str, Any]:
        """The fields of one sample, without its frame."""
        number = int(self._numbers[index])
        return self._lines[number] if number < len(self._lines) else {}

    @property
    def columns(self) -> dict[str, Column]:
        """What the samples' fields are, by dotted name. Takes one look at every line."""
        if self._columns is None:
            self._columns = columns_of(self._lines)
            if wrong := self._lines.unreadable:
                shown = ", ".join(map(str, wrong[:_LISTED]))
                _warn(
                    f"{self.name!r}: {len(wrong):,} samples are unreadable and have no fields"
                    f" (first: {shown})"
                )
        return self._columns

    @property
    def keys_of(self) -> dict[str, list[str]]:
        """For each key whose values are dicts the order of its columns in a batch (B, K)."""
        return grouped(self.columns)

    # -- for training ----------------------------------------------------------------------------

    def to_torch(
        self,
        batch_size: int | None = 32,
        shuffle: bool = False,
        num_workers: int = 0,
        *,
        columns: Sequence[str] | None = None,
        obs_horizon: int | None = None,
        action_horizon: int | None = None,
        actions: Sequence[str] | None = None,
        pad: bool = True,
        **options: Any,
    ) -> DataLoader[dict[str, Any]]:
        """A DataLoader: frames float32 (B, 3, H, W) in [0, 1], fields `(B, *shape)` by dotted name.

        Args:
            batch_size: how many samples a batch has; `None` for samples that are not batched.
            shuffle: draw them in another order each time.
            num_workers: processes that load; 0 loads in this one.
            columns: only these fields, by dotted name.
            obs_horizon: with one, samples are windows: observations (B, To, …) up to each sample.
            action_horizon: and actions (B, Ta, …) from it on; never across an episode's end.
            actions: which columns are actions; by default those called `action`.
            pad: repeat the first observation and the last action at an episode's edges.
            options: `transform`, `seed`, and what else `torch.utils.data.DataLoader` takes.

        Raises:
            ImportError: PyTorch is not installed; the text is the pip line.
            KeyError: there is no such column.
        """
        from ml_dash.loaders.torch import torch_loader

        samples = windows(*self._complete(), columns, (obs_horizon, action_horizon), actions, pad)
        return torch_loader(
            samples, batch_size, shuffle=shuffle, num_workers=num_workers, **options
        )

    def to_tensorflow(
        self,
        batch_size: int | None = 32,
        *,
        columns: Sequence[str] | None = None,
        obs_horizon: int | None = None,
        action_horizon: int | None = None,
        actions: Sequence[str] | None = None,
        pad: bool = True,
        **options: Any,
    ) -> Any:
        """A `tf.data.Dataset`: frames float32 (B, H, W, 3) in [0, 1], fields by dotted name.

        The arguments are those of `to_torch`; `options` are `shuffle`, `seed` and `drop_last`.

        Raises:
            ImportError: TensorFlow is not installed; the text is the pip line.
            KeyError: there is no such column.
        """
        from ml_dash.loaders.tensorflow import tensorflow_dataset

        samples = windows(*self._complete(), columns, (obs_horizon, action_horizon), actions, pad)
        return tensorflow_dataset(samples, batch_size, **options)

    def to_pytorch_dataloader(
        self, batch_size: int = 32, shuffle: bool = True, **options: Any
    ) -> DataLoader[dict[str, Any]]:
        """As `to_torch`, by the samples' own keys: numbers (B, 1), dicts of numbers (B, K).

        `keys_of` says in which order a dict's numbers stand. Text in a dict is a list, by its
        dotted name.
        """
        from ml_dash.loaders.torch import torch_loader

        return torch_loader(Keys(*self._complete()), batch_size, shuffle=shuffle, **options)

    def to_tensorflow_dataset(self, batch_size: int | None = 32, **options: Any) -> Any:
        """As `to_tensorflow`, by the samples' own keys: numbers (B, 1), dicts of numbers (B, K)."""
        from ml_dash.loaders.tensorflow import tensorflow_dataset

        return tensorflow_dataset(Keys(*self._complete()), batch_size, **options)

    # -- inside ----------------------------------------------------------------------------------

    def _sample(self, index: int) -> dict[str, Any]:
        return {
            **self.fields(index),
            FRAME: self.frame(index),
            TIME: float(self.frame_timestamps[index]),
        }

    def _taken(self, numbers: NDArray[np.int64]) -> Session:
        part: Session = object.__new__(Session)
        part.__dict__.update(self.__dict__)
        part._numbers = self._numbers[numbers]
        part.frame_timestamps = read_only(self.frame_timestamps[numbers])
        return part

    def _complete(self) -> tuple[Session, NDArray[np.int64]]:
        """What can be put into batches: all samples, or those with a frame where others have."""
        gaps = set(self._frames.missing)
        numbers = [i for i, number in enumerate(self._numbers.tolist()) if number not in gaps]
        return self, np.array(numbers, np.int64)

    def _count(self) -> int:
        frames, lines = self._frames, self._lines
        if not frames.count:
            _warn(f"{self.name!r} has no frames; its samples have None")
            return len(lines)
        if not len(lines):
            _warn(f"{self.name!r} has no samples in {lines.path.name}; its frames stand alone")
            return frames.count
        if frames.count != len(lines):
            _warn(
                f"{self.name!r} has {frames.count:,} frames and {len(lines):,} samples; what goes"
                " beyond the lesser number is left out"
            )
        count = min(frames.count, len(lines))
        if gaps := [number for number in frames.missing if number < count]:
            shown = ", ".join(map(str, gaps[:_LISTED]))
            _warn(f"{self.name!r} lacks {len(gaps):,} frames (first: {shown}); they are None")
        return count

    def _timestamps(self, count: int) -> NDArray[Any]:
        path = self.folder / f"{self.name}_timestamps.npy"
        found: NDArray[Any] | None = None
        what = "no timestamps"
        if path.exists():
            found = _read_times(path)
            what = "unreadable timestamps" if found is None else f"only {len(found):,} timestamps"
        if found is not None and len(found) >= count:
            return found[:count]
        made, how = self._made_up(count)
        if found is not None:
            made[: len(found)] = found
        _warn(f"{self.name!r} has {what}; {how}")
        return made

    def _made_up(self, count: int) -> tuple[NDArray[Any], str]:
        """Timestamps from what else is known, and how they were made."""
        times: list[float] = []
        for row in self._lines:
            elapsed = row.get("time_elapsed_s")
            time = row.get("timestamp_ms", elapsed * 1000 if _is_number(elapsed) else None)
            if not _is_number(time) or len(times) == count:
                break
            times.append(float(time))
        if len(times) == count and count:
            return np.array(times, np.float32), "those of its samples are taken"
        rate = self.metadata.get("sampling_rate_hz")
        if _is_number(rate) and rate > 0:
            made = np.arange(count, dtype=np.float64) * 1000 / rate
            return made.astype(np.float32), f"a steady {rate:g} Hz is assumed"
        return np.full(count, np.nan, np.float32), "they are NaN"


def _read_times(path: Path) -> NDArray[Any] | None:
    """Timestamps, or `None` where the file holds no numbers."""
    try:
        found: NDArray[Any] = np.load(path, allow_pickle=False).reshape(-1)
    except (ValueError, EOFError):  # cut short, pickled, or no array at all
        return None
    return found if found.dtype.kind in "iuf" else None


def _is_number(value: Any) -> TypeGuard[float]:
    return type(value) in (int, float)


def _warn(text: str) -> None:
    warnings.warn(f"session {text}", stacklevel=5)
