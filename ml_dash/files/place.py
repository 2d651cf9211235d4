"""Where a value is saved, and as what: what all ways of saving share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ml_dash import clock
from ml_dash.backends.blobs import Bytes
from ml_dash.files import serializers
from ml_dash.files.arguments import WHAT, as_text
from ml_dash.files.saving import Saving
from ml_dash.files.serializers import IMAGES, PathLike, suffix_of
from ml_dash.files.shelves import Draft
from ml_dash.files.spool import HELD
from ml_dash.files.store import FileStore
from ml_dash.moment import joined
from ml_dash.names import split_path, step_in_name
from ml_dash.steps import as_step, as_timestamp

Metadata = dict[str, Any]
"""What is known of a file: its row in the index, or how far it has got."""


def _nothing(draft: Draft) -> None:
    """What `Saving.fill` is until it is known."""


class Place:
    """A path prefix inside the run, and the details of files saved below it."""

    def __init__(
        self, store: FileStore, parts: tuple[str, ...], details: Mapping[str, Any]
    ) -> None:
        self._store = store
        self._parts = parts
        self._details = details

    def _save_bytes(
        self, data: Bytes, to: PathLike, step: int | None, timestamp: float | None
    ) -> Metadata:
        size = memoryview(data).nbytes
        saving = self._saving(to, step, timestamp, lambda draft: draft.write(data))
        if not isinstance(data, bytes):
            if size > HELD:
                return self._store.save(saving)
            kept = bytes(data)
            saving.fill = lambda draft: draft.write(kept)
        return self._store.queue(saving, size)

    def _saving(
        self,
        to: PathLike,
        step: int | None,
        timestamp: float | None,
        fill: Callable[[Draft], object] = _nothing,
    ) -> Saving:
        parts = self._target(to)
        path = "/".join(parts)
        if step is not None:
            step = as_step(step, f"file {path!r}")
        if timestamp is not None:
            at = as_timestamp(timestamp, f"file {path!r}")
        elif (moment := joined(self._store.buffer, step)) is not None:
            at, step = moment.timestamp, moment.step
        else:
            at = clock.now()
        facts: dict[str, Any] = {"content_type": serializers.content_type(parts[-1]), "at": at}
        if step is not None:
            facts["step"] = step
        elif suffix_of(parts[-1]) in IMAGES and (found := step_in_name(parts[-1])) is not None:
            facts["step"] = found
            facts["step_from"] = "name"
        facts.update(self._details)
        return Saving(path, parts, facts, fill)

    def check(self, to: PathLike) -> None:
        """Raise what a `save…` would for this path, without saving anything.

        Raises:
            ValueError: the path is refused.
        """
        self._target(to)

    def _target(self, to: PathLike) -> tuple[str, ...]:
        """The components of a path below the prefix, checked."""
        text = as_text(to)
        if text.endswith("/"):
            raise ValueError(f"{WHAT} {text!r} names a folder; add the file's name to it")
        parts = self._parts + split_path(text, WHAT)
        self._store.check(parts)
        return parts
