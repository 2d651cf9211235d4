"""Where things are kept: the root of the runs and its disk, the configuration file, the tokens."""

from __future__ import annotations

import errno
import os
import re
import shutil
import tempfile
import time
from pathlib import Path

from ml_dash.auth.store import TokenStore, keyring_name
from ml_dash.buffer.ring import SIZE
from ml_dash.cli.doctor.findings import Section
from ml_dash.cli.quantities import count, size
from ml_dash.settings import config_path

LOW_SPACE = 2 * 10**9
"""Bytes left on the root's disk below which that is a problem."""

LOW_FILES = 20_000
"""Files that can still be made there below which that is a problem: each frame is one."""

SKEW = 2.0
"""Seconds by which the clock of a file system may be off this machine's."""

_FULL = (errno.ENOSPC, errno.EDQUOT)
_MOUNTS = Path("/proc/self/mountinfo")
_ESCAPED = re.compile(r"\\([0-7]{3})")  # blanks and the like are \040 there
_REMOTE = (
    *("nfs", "cifs", "smb", "lustre", "beegfs", "gpfs", "ceph", "afs", "9p", "fuse.sshfs"),
    *("fuse.s3fs", "fuse.gcsfuse", "fuse.rclone", "fuse.glusterfs", "fuse.mount-s3"),
)


def examine_places(section: Section, root: Path) -> None:
    """Tell where runs, settings and tokens are kept, and whether that can be."""
    section.doing = f"looking at {root}"
    _look_at_root(section, root)
    section.doing = "looking for the configuration file"
    path = config_path().absolute()
    there = path.is_file()
    section.tell("config", str(path), f"{path}{'' if there else ' (not there)'}")
    section.doing = "asking the keyring of the system"
    store, keyring = TokenStore(), keyring_name()
    if keyring:
        section.tell("tokens", f"keyring: {keyring}", f"in the keyring ({keyring})")
    else:
        section.tell("tokens", str(store.path), f"{store.path}, as there is no keyring")
    section.doing = f"reading {store.path}"
    servers = store.servers()
    section.tell("logins", servers, ", ".join(servers) or "none")
    if fault := store.fault():
        section.problem(
            f"{store.path}, which keeps the logins, cannot be read: {fault}",
            "remove it, and log in again by `ml-dash login`",
        )


def _look_at_root(section: Section, root: Path) -> None:
    folder = root.absolute()
    nearest, error = folder, None
    try:
        nearest = next(path for path in (folder, *folder.parents) if path.exists())
    except OSError as refused:  # a folder on the way is somebody else's
        error = refused
    error = error or _try(section, nearest)
    new = nearest != folder and error is None
    section.tell("root", str(folder), f"{folder} (the first run makes it)" if new else str(folder))
    full = error is not None and error.errno in _FULL
    if error is not None:
        why = error.strerror or str(error)
        another = "take another folder by --root, dash_root= or ML_DASH_ROOT"
        section.tell("root writable", False, f"no: {why}")
        section.problem(
            f"the root {folder} cannot be written: {why}",
            f"make room there, or {another}" if full else f"{another}, or have this one opened",
        )
    kind = file_system(nearest)
    section.tell("file system", kind or None, kind or "not known here")
    if kind.startswith(_REMOTE):
        section.note(
            f"the root is on a network file system ({kind})",
            "a local disk is faster, and there when the network is not; a server, or `ml-dash"
            " sync`, brings runs to other machines",
        )
    if error is None or full:
        _look_at_space(section, nearest)


def _look_at_space(section: Section, folder: Path) -> None:
    try:
        space = shutil.disk_usage(folder)
    except OSError as error:
        section.tell("free", None, f"not known: {error.strerror}")
        return
    section.tell("free", space.free, f"{size(space.free)} of {size(space.total)}")
    if space.free < LOW_SPACE:
        section.problem(
            f"only {size(space.free)} are free on the disk of the root",
            "make room: `ml-dash clean --synced` removes runs that a server has; each process that"
            f" records needs {size(SIZE)} for its buffer alone",
        )
    if not hasattr(os, "statvfs"):
        return
    found = os.statvfs(folder)
    if found.f_files and found.f_favail < LOW_FILES:  # some file systems count none
        section.problem(
            f"only {count(found.f_favail, 'file')} more can be made on the disk of the root",
            "each frame is a file: remove runs, or take another disk",
        )


def _try(section: Section, folder: Path) -> OSError | None:
    """Write a file without a name, and find its time and its reserved bytes; why not, if not."""
    if not folder.is_dir():
        return NotADirectoryError(f"{folder} is not a folder")
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"\0")
            file.flush()
            skew = os.fstat(file.fileno()).st_mtime - time.time()
            reserved = _reserve(file.fileno())
    except OSError as error:
        return error
    section.tell("root writable", True, "yes")
    section.tell("survives kill -9", reserved, "yes" if reserved else "no")
    if not reserved:
        section.note(
            "files cannot be preallocated at the root, so there is no buffer file",
            "rows of the last quarter of a second die with a process that is killed; take a disk"
            " that can, or buffer_enabled=False",
        )
    if abs(skew) > SKEW:
        section.problem(
            f"the disk of the root has a clock that is {abs(skew):,.0f} s"
            f" {'ahead of' if skew > 0 else 'behind'} this machine's",
            "have both set by NTP",
        )
    return None


def _reserve(file: int) -> bool:
    try:
        os.posix_fallocate(file, 0, 1 << 16)
    except (OSError, AttributeError):  # AttributeError: not on this platform
        return False
    return True


def file_system(folder: Path) -> str:
    """The kind of file system that a folder is on, such as `ext4`; empty where nobody tells."""
    try:
        lines = _MOUNTS.read_text("utf-8", "replace").splitlines()
        device = folder.stat().st_dev
    except OSError:
        return ""
    number = f"{os.major(device)}:{os.minor(device)}"
    best, kind = -1, ""
    for line in lines:
        head, _, tail = line.partition(" - ")
        fields, kinds = head.split(), tail.split()
        if len(fields) < 5 or not kinds:
            continue
        place = _ESCAPED.sub(lambda found: chr(int(found[1], 8)), fields[4])
        inside = folder.resolve().is_relative_to(place)
        rank = len(place) + (10_000 if fields[2] == number else 0)
        if inside and rank >= best:
            best, kind = rank, kinds[0]
    return kind
