"""Sees to it that episodes which still go on get their last row before their run ends.

That row is written when an episode ends. Programs end without closing their environments, and runs
end before their environments are closed.
"""

from __future__ import annotations

import os
import threading
import weakref
from functools import partial
from typing import Protocol

from ml_dash import Experiment


class Stream(Protocol):
    """What can be ended."""

    def close(self) -> None:
        """Write what is still to be written."""

    def abandon(self) -> None:
        """Record nothing any more."""


# Streams are held weakly: that of an environment which nobody has any more ends by itself.
_streams: weakref.WeakKeyDictionary[Experiment, weakref.WeakSet[Stream]] = (
    weakref.WeakKeyDictionary()
)


_left: list[Stream] = []  # to be closed by a thread that may wait


def put_off(stream: Stream) -> bool:
    """Whether a stream that nobody has any more is closed later.

    Garbage is collected in any thread. One that writes files cannot wait for room among them.
    """
    if not threading.current_thread().name.startswith("ml-dash-"):
        return False
    _left.append(stream)
    return True


def watch(experiment: Experiment, stream: Stream) -> None:
    """Close a stream when its run ends before its environment was closed.

    Args:
        experiment: its run, which was started.
        stream: whose last row may still be to come.
    """
    streams = _streams.get(experiment)
    if streams is None:
        streams = _streams[experiment] = weakref.WeakSet()
        # One call for all of them: there may be thousands, one after the other.
        experiment.run.before_end(partial(_close_all, weakref.ref(experiment)))
    streams.add(stream)
    _close_left()


def _close_left() -> None:
    while _left:
        _left.pop().close()


def _close_all(experiment: weakref.ref[Experiment]) -> None:
    alive = experiment()
    streams = None if alive is None else _streams.pop(alive, None)
    for stream in list(streams or ()):
        stream.close()
    _close_left()


def _after_fork_in_child() -> None:
    for streams in list(_streams.values()):
        for stream in list(streams):
            stream.abandon()  # the parent goes on with it
    _streams.clear()
    while _left:
        _left.pop().abandon()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
