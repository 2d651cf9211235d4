"""Where an export goes: a folder or file that appears whole, or not at all.

It is written beside its place in a temporary folder and renamed at the end. When it fails or is
interrupted, nothing of it stays, and what was there before is as it was. What an export left that
was killed (SIGKILL, a crash) is removed by the next one to the same place: whoever writes into a
temporary folder holds a lock on it, which ends with the process.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_SHOWN = 3
_NAME_BYTES = 100
_SETTLED = 60.0  # seconds after which a folder that nobody locks is nobody's


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
    with _temporary(to) as temporary:
        yield temporary
        _replace(temporary, to)
    _remove_leftovers(to)


@contextmanager
def new_file(to: Path, *, overwrite: bool) -> Iterator[Path]:
    """A file to write; it becomes `to` when the block ends without an exception.

    The temporary one has the same name, by whose suffix some writers choose a format.

    Raises:
        FileExistsError: there is something, and `overwrite` is false, or it is a folder.
    """
    to = check_target(to, overwrite=overwrite, kinds=None)
    with _temporary(to) as temporary:
        yield temporary / to.name
        (temporary / to.name).replace(to)
    _remove_leftovers(to)


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


@contextmanager
def _temporary(to: Path) -> Iterator[Path]:
    """A folder beside `to` that is gone when the block ends, unless it was renamed."""
    temporary = _beside(to)
    temporary.mkdir()
    try:
        with _locked(temporary):
            yield temporary
    finally:  # after Ctrl-C too: nothing half-written stays
        shutil.rmtree(temporary, ignore_errors=True)


def _beside(to: Path) -> Path:
    # Hidden, and never met by another export to the same place
    return to.with_name(f".{_stem(to)}.{secrets.token_hex(4)}.tmp")


def _stem(to: Path) -> str:
    whole = to.name.encode("utf-8", "surrogateescape")
    return whole[:_NAME_BYTES].decode("utf-8", "ignore")


@contextmanager
def _locked(folder: Path) -> Iterator[bool]:
    """Hold the lock of a folder, as far as its file system has locks; whether it is held."""
    try:
        import fcntl

        place = os.open(folder, os.O_RDONLY)
    except (ImportError, OSError):  # Windows: what was killed there stays
        yield False
        return
    held = False
    try:
        with suppress(OSError):
            fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = True
        yield held
    finally:
        os.close(place)


def _replace(temporary: Path, to: Path) -> None:
    """Put a finished folder in its place; an older one is removed only once that is done."""
    if not to.exists():
        temporary.rename(to)
        return
    old = _beside(to)
    with _locked(to):  # which goes with it when it is renamed
        to.rename(old)
        try:
            temporary.rename(to)
        except BaseException:  # whatever it is, the older export comes back first
            old.rename(to)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _remove_leftovers(to: Path) -> None:
    """Remove the temporary folders of exports to this place whose processes are gone."""
    pattern = re.compile(rf"\.{re.escape(_stem(to))}\.[0-9a-f]{{8}}\.tmp\Z")
    with suppress(OSError):  # nobody's export fails for want of cleanliness
        for folder in to.parent.iterdir():
            if not pattern.match(folder.name) or folder.is_symlink() or not folder.is_dir():
                continue
            if time.time() - folder.stat().st_mtime < _SETTLED:
                continue  # it may be about to be locked
            with _locked(folder) as nobodys:
                if nobodys:
                    shutil.rmtree(folder, ignore_errors=True)
