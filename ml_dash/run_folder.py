"""A run's place before it is written: can it be, and was it already."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ml_dash import ids
from ml_dash.backends import Backend, LocalBackend
from ml_dash.rows import decode_row


@contextmanager
def _naming(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OSError(
            error.errno,
            f"the run cannot be written, because its folder cannot:"
            f" {os.strerror(error.errno or 0)}. Choose another with dash_root= or ML_DASH_ROOT",
            str(folder),
        ) from None


def check_writable(folder: Path) -> None:
    """Fail now, with the folder's name, rather than later and in silence."""
    with _naming(folder):
        (folder / ".buffer").mkdir(parents=True, exist_ok=True)
        probe = folder / ".buffer" / f"{ids.new_writer_id()}.probe.tmp"
        os.close(os.open(probe, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        probe.unlink()


def claim_first(folder: Path, own: str) -> str | None:
    """Of processes that start a new run at once, one is its first: `None` for that one.

    For the others the id that it chose, instead of their `own`.
    """
    path = folder / ".buffer" / "first"
    draft = path.with_name(f"{ids.new_writer_id()}.first.tmp")
    with _naming(folder):
        try:
            draft.write_text(own, "ascii")
            _link(draft, path)
        except FileExistsError:
            return path.read_text("ascii") or own
        finally:
            draft.unlink(missing_ok=True)
    return None


def _link(draft: Path, path: Path) -> None:
    """Let `path` be the file `draft`, from its first moment on. It must not be there."""
    try:
        os.link(draft, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without links: for a moment it is empty
        with path.open("x", encoding="ascii") as file:
            file.write(draft.read_text("ascii"))


def first_id(backend: Backend) -> str | None:
    """The id that the run got at its first start."""
    first: tuple[float, str] | None = None
    for info in backend.list("run"):
        line = backend.read(info.path, 0, 1 << 20).split(b"\n", 1)[0]
        try:
            row = decode_row(line)
            found = (float(row["timestamp"]), str(row["id"]))
        except (ValueError, KeyError, TypeError):
            continue  # not a start row, or torn
        if first is None or found < first:
            first = found
    return first[1] if first else None


def prefix_in(folder: Path) -> str:
    """The run's key, as its first start said it; else the folder's name."""
    backend = LocalBackend(folder)
    for info in backend.list("run"):
        try:
            return str(decode_row(backend.read(info.path, 0, 1 << 20).split(b"\n", 1)[0])["prefix"])
        except (ValueError, KeyError):
            continue
    return folder.name
