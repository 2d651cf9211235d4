"""Where an export goes: a folder or file that appears whole, or not at all.

It is written beside its place under a temporary name and renamed at the end. When it fails or is
interrupted, nothing of it stays, and what was there before is as it was.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SHOWN = 3


@contextmanager
def new_folder(to: Path, *, overwrite: bool, kinds: Collection[str]) -> Iterator[Path]:
    """A folder to write into; it becomes `to` when the block ends without an exception.

    Args:
        to: where it is to be.
        overwrite: replace a folder that is there.
        kinds: the suffixes of the files that such an export is made of. A folder that holds
            anything else is not an older export, and is never replaced.

    Raises:
        FileExistsError: there is something, and `overwrite` is false, or it is no older export.
    """
    to = check_target(to, overwrite=overwrite, kinds=kinds)
    temporary = _beside(to)
    temporary.mkdir()
    try:
        yield temporary
        _replace(temporary, to)
    except BaseException:  # Ctrl-C too: nothing half-written stays
        shutil.rmtree(temporary, ignore_errors=True)
        raise


@contextmanager
def new_file(to: Path, *, overwrite: bool) -> Iterator[Path]:
    """A file to write; it becomes `to` when the block ends without an exception.

    The temporary one has the same suffix, by which some writers choose a format.

    Raises:
        FileExistsError: there is something, and `overwrite` is false, or it is a folder.
    """
    to = check_target(to, overwrite=overwrite, kinds=None)
    temporary = _beside(to)
    try:
        yield temporary
        temporary.replace(to)
    except BaseException:  # Ctrl-C too: nothing half-written stays
        with suppress(OSError):
            temporary.unlink()
        raise


def check_target(to: Path, *, overwrite: bool, kinds: Collection[str] | None) -> Path:
    """Refuse a place that must not be written to; make the folder that it is in.

    Args:
        to: the place.
        overwrite: whether something there may be replaced.
        kinds: for a folder, as in `new_folder`; `None` for a file.

    Returns:
        The place with links resolved.
    """
    to = Path(to).expanduser().resolve()
    if to.exists():
        if not overwrite:
            raise FileExistsError(
                f"{to} exists already; give another place, or overwrite=True (--overwrite) to"
                " replace it"
            )
        if kinds is None and to.is_dir():
            raise FileExistsError(f"{to} is a folder, and a file is to be written; name another")
        if kinds is not None:
            _check_older_export(to, kinds)
    to.parent.mkdir(parents=True, exist_ok=True)
    return to


def _check_older_export(folder: Path, kinds: Collection[str]) -> None:
    """Only what looks like an export of ours is removed, never a folder of somebody's own."""
    if not folder.is_dir():
        raise FileExistsError(f"{folder} is a file, and a folder is to be written; name another")
    here = Path.cwd().resolve()
    if folder == here or folder in here.parents:
        raise FileExistsError(f"{folder} is the folder you are in, which is not replaced")
    foreign = []
    for place, _, names in os.walk(folder):
        inside = (Path(place, name).relative_to(folder) for name in names)
        foreign += [str(path) for path in inside if path.suffix not in kinds]
        if len(foreign) >= _SHOWN:
            break
    if foreign:
        raise FileExistsError(
            f"{folder} holds what no such export wrote ({', '.join(foreign[:_SHOWN])}), so it is"
            " not replaced; name another folder, or remove it yourself"
        )


def _beside(to: Path) -> Path:
    # Hidden, and never met by another export to the same place
    return to.with_name(f".{to.stem[:100]}.{secrets.token_hex(4)}.tmp{to.suffix[:20]}")


def _replace(temporary: Path, to: Path) -> None:
    """Put a finished folder in its place; an older one is removed only once that is done."""
    if not to.exists():
        temporary.rename(to)
        return
    old = _beside(to)
    to.rename(old)
    try:
        temporary.rename(to)
    except BaseException:
        old.rename(to)
        raise
    shutil.rmtree(old, ignore_errors=True)
