"""Identifiers that are unique without asking anybody: of runs and files, and of writers.

A snowflake has 63 bits, so that it fits a signed 64-bit column:

    41 bits  milliseconds since 2016-01-01 UTC (until September 2085)
    15 bits  node: the process
     7 bits  sequence: 128ths of a millisecond

- *Epoch.* From it, every id made between mid-2023 and the end has 19 digits: as strings they sort
  as they do as numbers.
- *Node.* The pid, moved round by an offset drawn from host, boot and pid namespace. Processes that
  live side by side differ for certain, because their pids are less than 2^15 apart (32,768 is
  Linux's customary limit; where it is raised, it is so but for one pair in 32,768). Random bits
  alone would not do: 16 random nodes of 12 bits clash once in 34 times. Processes of other hosts
  and containers differ by their offset, and by chance alone meet in node and 8-microsecond tick.
- *Sequence.* A process that needs more than 128 ids in a millisecond borrows from the next one, so
  a burst costs accuracy of the time, never uniqueness or order. 128,000 a second without borrowing
  is far beyond what a disk takes in new files; the other bits are better spent on the node.
- *Clock.* Wall time is read once, at import, and a clock that nobody can set counts on from there:
  a stepped system clock neither repeats an id nor reorders two.
"""

from __future__ import annotations

import os
import threading
import time
import zlib
from pathlib import Path

EPOCH = 1_451_606_400
"""2016-01-01 UTC in epoch seconds: the moment that ids count from."""

_NODE_BITS = 15
_SEQUENCE_BITS = 7
_NODE_MASK = (1 << _NODE_BITS) - 1
_SEQUENCE_MASK = (1 << _SEQUENCE_BITS) - 1
_TEN_YEARS = 10 * 366 * 86_400 * 10**9  # nanoseconds
_END = (1 << 41) * 10**6 - _TEN_YEARS
_BOOTTIME: int | None = getattr(time, "CLOCK_BOOTTIME", None)
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def new_id() -> str:
    """A new snowflake as a string of decimal digits.

    Ids of one process increase strictly; ids of several are ordered by their millisecond. Safe in
    threads, forked children and signal handlers.
    """
    return str(_source.next())


def new_writer_id() -> str:
    """A random name for a writer: 12 characters out of `a`-`z` and `2`-`7`, 60 bits.

    Drawn from the system, never from `random`, which scripts seed: two seeded runs would then write
    the same segment.
    """
    bits = int.from_bytes(os.urandom(8), "little")
    return "".join(_ALPHABET[bits >> shift & 31] for shift in range(0, 60, 5))


def host_name() -> str:
    """The name of this host."""
    if hasattr(os, "uname"):
        return os.uname().nodename
    import platform

    return platform.node()


def boot_id() -> str | None:
    """The kernel's random name for this boot; `None` where there is no such thing."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip() or None
    except (OSError, ValueError):
        return None


def pid_namespace() -> str | None:
    """The namespace that this process's pid belongs to: each container has its own.

    `None` where there is no such thing.
    """
    try:
        return str(Path("/proc/self/ns/pid").readlink())  # such as `pid:[4026531836]`
    except OSError:
        return None


def _since_boot() -> int:
    """Nanoseconds on a clock that nobody sets and that counts while the machine sleeps."""
    return time.monotonic_ns() if _BOOTTIME is None else time.clock_gettime_ns(_BOOTTIME)


class _Source:
    """Makes the ids of one process."""

    __slots__ = ("_anchor", "_last", "_lock", "_node")

    def __init__(self) -> None:
        since_boot = _since_boot()
        anchor = time.time_ns() - EPOCH * 10**9 - since_boot
        # A board without a battery wakes up in 1970: its ids then count from its boot.
        self._anchor = max(0, min(anchor, _END - since_boot))
        self._last = 0
        self.renew()

    def renew(self) -> None:
        """Forget what belongs to the parent process; its clock and last id stay."""
        # A signal handler may ask for an id while its own thread is in `next`: hence re-entrant.
        self._lock = threading.RLock()
        self._node: int | None = None

    def next(self) -> int:
        node = self._node
        if node is None:
            node = self._node = self._find_node()
        now = (_since_boot() + self._anchor << _SEQUENCE_BITS) // 10**6
        with self._lock:
            # No call between reading `_last` and setting it: CPython runs a signal handler after
            # calls and loops only, so a handler's id cannot come in between either.
            tick = self._last + 1
            if tick < now:
                tick = now
            self._last = tick
        time_bits = tick >> _SEQUENCE_BITS << _NODE_BITS + _SEQUENCE_BITS
        return time_bits | node << _SEQUENCE_BITS | tick & _SEQUENCE_MASK

    @staticmethod
    def _find_node() -> int:
        place = f"{host_name()}\n{boot_id()}\n{pid_namespace()}"
        return os.getpid() + zlib.crc32(place.encode("utf-8", "replace")) & _NODE_MASK


_source = _Source()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_source.renew)


def stable_id(prefix: str) -> str:
    """The id by which the pages over a folder call a run: links to it stay good."""
    import hashlib  # with OpenSSL: a recording process that saves no file does without

    digest = hashlib.sha256(prefix.encode("utf-8", "surrogateescape")).digest()
    return str(int.from_bytes(digest[:8]) >> 1)
