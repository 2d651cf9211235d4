"""Which topic of a run a stream of episodes has, so that no two streams are ever mixed.

The first environment of a run has the topic it was given, `env`, the next one `env/1`, and so on; a
worker of an `AsyncVectorEnv` has the number of its environment. Processes of one host choose one
after the other, so that those that begin at once have topics of their own, too. A topic is free
again when its environment was closed, and is then continued: steps and episodes count on, also in a
run that is continued by another process.
"""

from __future__ import annotations

import math
import os
import re
import socket
import sys
import threading
import weakref
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, count
from pathlib import Path
from typing import Any

from ml_dash import Experiment, turn

ABOUT = "spaces.json"
"""The file of a topic that says what its rows mean."""

_PATIENCE = 10.0
"""Seconds that a process waits for those that choose before it."""

_WORKER = re.compile(r"Worker<.*>-(\d+)$")


@dataclass(slots=True)
class Claim:
    """A topic that is one stream's own until it is let go.

    Attributes:
        topic: its name.
        step: the number of the next step.
        episode: the number of the next episode.
        about: what its rows mean; streams that differ in it never share a topic.
        taken: whether some stream has it now.
    """

    topic: str
    step: int = 0
    episode: int = 0
    about: Mapping[str, Any] | None = None
    taken: bool = True

    def release(self) -> None:
        """Let the next environment continue the topic."""
        self.taken = False


_claims: dict[object, dict[str, Claim]] = {}
_lock = threading.RLock()  # a signal's handler that makes an environment may come while it is held
_busy = False
"""Whether the thread that holds the lock is choosing: what comes again then is its handler."""


def claim(experiment: Experiment, topic: str, about: Mapping[str, Any] | None = None) -> Claim:
    """The first topic that nobody has: `topic`, or one that it is the beginning of.

    Args:
        experiment: a run that was started.
        topic: the one wanted.
        about: what the rows mean, JSON types. Kept with the topic in the file `spaces.json`.
    """
    return claim_first(experiment, names(topic), about)


def claim_first(
    experiment: Experiment, topics: Iterable[str], about: Mapping[str, Any] | None = None
) -> Claim:
    """The first of some topics that nobody has, and that means the same where it has rows.

    Raises:
        ValueError: there is none left.
    """
    global _busy
    with _lock:
        if _busy:  # it has the turn already, and must not wait for it
            return _chosen(experiment, topics, about, handler=True)
        _busy = True
        try:
            with turn(experiment.folder, _PATIENCE):
                return _chosen(experiment, topics, about)
        finally:
            _busy = False


def _chosen(
    experiment: Experiment,
    topics: Iterable[str],
    about: Mapping[str, Any] | None,
    handler: bool = False,
) -> Claim:
    """The claim of `claim_first`. One of a handler takes none that the thread may be at."""
    claims = _of(experiment)
    for topic in topics:
        mine = Claim(topic, about=about)
        known = claims.setdefault(topic, mine)  # in one step, and before it is looked at
        if known is mine:
            fits = False
            try:
                fits = _continue(experiment, mine)
            finally:
                if not fits:  # also where it could not be found out
                    del claims[topic]
            if fits:
                return mine
        elif not (handler or known.taken or known.about != about):
            known.taken = True
            return known
    raise ValueError("all of the topics wanted are in use")


def names(topic: str) -> Iterator[str]:
    """The topics that an environment may have, the best first."""
    worker = worker_index()
    if worker is None:
        return chain([topic], (f"{topic}/{number}" for number in count(1)))
    own = f"{topic}/{worker}"
    return chain([own], (f"{own}-{number}" for number in count(2)))


def worker_index() -> int | None:
    """The number of the environment that this process was made for by `AsyncVectorEnv`."""
    module = sys.modules.get("multiprocessing")
    found = module and _WORKER.match(module.current_process().name)
    return int(found[1]) if found else None


def _of(experiment: Experiment) -> dict[str, Claim]:
    """The topics of a run in this process; a forked child has none yet.

    By its id, too: a run that was removed and recorded again is another one in the same folder.
    """
    key = (os.getpid(), experiment.folder or id(experiment), experiment.id)
    mine: dict[str, Claim] = {}
    claims = _claims.setdefault(key, mine)
    if claims is mine and experiment.folder is None:  # another one may get its number, once gone
        weakref.finalize(experiment, _claims.pop, key, None)
    return claims


def _continue(experiment: Experiment, claim: Claim) -> bool:
    """Count on where a topic ends that was not used in this process yet, if that can be."""
    topic, about = claim.topic, claim.about
    files = experiment.files(topic)
    known = about is None  # whether there may be rows: looking for them takes a look at all topics
    if about is not None and files.exists(ABOUT):
        known, before = True, files.read_json(ABOUT)
        who = before.pop("process", None)
        if before != about or _alive(who):
            return False
    # Episodes that were not recorded have a summary only, and the last one may have none.
    for name in ("steps", "episodes") if known else ():
        last = experiment.track(f"{topic}/{name}").find(math.inf) or {}
        claim.step = max(claim.step, last.get("last_step", last.get("step", -1)) + 1)
        claim.episode = max(claim.episode, last.get("episode", -1) + 1)
    if about is not None:
        files.save_json({**about, "process": _process()}, to=ABOUT)
        experiment.flush()  # for other processes to see
    return True


def _process() -> dict[str, Any]:
    return {"host": socket.gethostname(), "pid": os.getpid(), "start": _started(os.getpid())}


def _alive(who: Any) -> bool:
    """Whether another process that has a topic goes on."""
    if not isinstance(who, dict) or who.get("host") != socket.gethostname():
        return False
    pid = who.get("pid")
    if not isinstance(pid, int) or pid == os.getpid() or os.name == "nt":
        return False  # there, asking with signal 0 would end it
    try:
        os.kill(pid, 0)
    except PermissionError:
        pass
    except OSError:
        return False
    return _started(pid) == who.get("start")


def _started(pid: int) -> str | None:
    """When a process began, where the system tells: its number may be another's by now."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
    except (OSError, IndexError):
        return None


def _after_fork_in_child() -> None:
    global _lock, _busy
    _lock = threading.RLock()  # a thread that is not here may hold the parent's
    _busy = False


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
