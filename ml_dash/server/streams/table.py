"""Chunks of a stream as one table: their rows united to entries, their columns as arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ml_dash.reading.entries import Booleans, Floats, make_entries
from ml_dash.reading.parts import Part
from ml_dash.server.streams.chunks import Piece
from ml_dash.server.streams.values import Loaded


class Table:
    """Entries in order of time, as rows by number have them.

    Args:
        loaded: the rows of the chunks.
        pieces: the chunks.
        is_track: whether rows of one explicit timestamp are one entry.

    Attributes:
        entries: how rows become entries.
    """

    def __init__(self, loaded: Sequence[Loaded], pieces: Sequence[Piece], is_track: bool) -> None:
        self._loaded = loaded
        bases = [base for base, _ in loaded]
        sizes = [len(base.times) for base in bases]
        ranks = np.repeat(np.array([piece.rank for piece in pieces], np.int64), sizes)
        self._stepped = joined([base.stepped for base in bases], np.bool_)
        steps = joined([base.steps for base in bases], np.int64)
        self._steps = Part("int", steps, None if self._stepped.all() else ~self._stepped)
        explicit = joined([base.explicit for base in bases], np.bool_) if is_track else None
        times = joined([base.times for base in bases], np.float64)
        self.entries = make_entries(times, ranks, explicit, self._steps)

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def timestamps(self) -> Floats:
        """Of each entry, in seconds."""
        return self.entries.timestamps

    def steps(self) -> Floats:
        """Of each entry; NaN where it has none."""
        picked = self.entries.pick(self._steps, self._stepped)
        found: Floats = picked.data.astype(np.float64)
        if picked.missing is not None:
            found[picked.missing] = np.nan
        return found

    def column(self, name: str) -> tuple[Floats, Booleans]:
        """Of each entry its value, NaN where it has none; and whether it has one."""
        present = joined([own[name].present for _, own in self._loaded], np.bool_)
        values = joined([own[name].data for _, own in self._loaded], np.float64)
        part = self.entries.pick(Part("float", values, ~present), present)
        there = np.ones(len(part), np.bool_) if part.missing is None else ~part.missing
        return part.data, there

    def is_numeric(self, name: str) -> bool:
        """Whether no row has anything but a number in a column."""
        return not any(own[name].mixed for _, own in self._loaded)


def joined(arrays: Sequence[Any], kind: Any) -> Any:
    """Arrays one after another."""
    return np.concatenate([np.empty(0, kind), *arrays])
