"""One file on its way into the run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ml_dash import ids, lazy
from ml_dash.buffer.job import Shrinkable
from ml_dash.files.shelves import Draft

JOB = 3 << 10
"""Bytes that a queued file takes beside its content; with tiny files it is nearly all they take."""

Encode = Callable[[], bytes]


@dataclass(slots=True, eq=False)
class Saving:
    """One file on its way into the run.

    Attributes:
        path: what the user calls it.
        parts: the components of that.
        facts: what its row says besides, such as `step`; `fill` may add to it.
        fill: writes the content into a draft. Called again when the disk failed.
        id: its snowflake.
        row: what was written into the index, once it was.
    """

    path: str
    parts: tuple[str, ...]
    facts: dict[str, Any]
    fill: Callable[[Draft], object]
    id: str = field(default_factory=ids.new_id)
    row: dict[str, Any] | None = None


class Encoding(Shrinkable):
    """The job of saving what is still to be encoded.

    A caller for whom the queue has no room does that itself: it has the time, its cache still has
    the frame, and the encoded bytes are few.

    Args:
        save: writes the saving.
        saving: what `encode` returns becomes its content.
        encode: makes the content without any I/O.
        size: bytes that the saving holds on to until it is encoded.
    """

    __slots__ = ("_encode", "_save", "_saving", "_size")

    def __init__(
        self, save: Callable[[Saving], None], saving: Saving, encode: Encode, size: int
    ) -> None:
        self._save = save
        self._saving = saving
        self._encode = encode
        self._size = size
        saving.fill = lambda draft: draft.write(encode())

    def __call__(self) -> None:
        """See `Shrinkable`."""
        self._save(self._saving)

    def shrink(self) -> int:
        """See `Shrinkable`: encode."""
        try:
            data = self._encode()
        except Exception:  # noqa: BLE001 - it may raise anything; the worker meets it and counts it
            return self._size
        del self._encode  # and with it the frame
        memory = lazy.load("ml_dash.image.memory")
        memory.give_back()  # encoded bytes take its place
        kept = memory.apart(data)
        self._saving.fill = lambda draft: draft.write(kept)
        return len(data) + JOB
