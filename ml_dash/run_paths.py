"""What belongs to a run in its folder: other runs and a user's own files may lie beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from ml_dash.names import ROOMS, VIEWS

_BUFFER = ".buffer"


def paths_of(folder: Path) -> Iterator[Path]:
    """The files of a run, without those of the runs below it."""
    for name in (*sorted(ROOMS), _BUFFER):
        yield from (path for path in (folder / name).rglob("*") if not path.is_dir())
    yield from (folder / name for name in sorted(VIEWS) if (folder / name).exists())


def remove_run(folder: Path) -> None:
    """Remove a run; what somebody else has put into its folder stays."""
    import shutil

    # The room `run` last: what is interrupted is still known as a run.
    for name in sorted(ROOMS | {_BUFFER}, key=lambda name: (name == "run", name)):
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in VIEWS:
        (folder / name).unlink(missing_ok=True)
    try:
        folder.rmdir()
    except OSError:
        pass  # other runs are below it
