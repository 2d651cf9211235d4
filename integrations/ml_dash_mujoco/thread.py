"""The thread that a renderer lives in.

An OpenGL context is current in one thread at a time. In a thread of its own, ours never takes the
place of the user's: that of a viewer, or of an environment that renders. And the hook may be called
from any thread.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from concurrent.futures import Future
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

T = TypeVar("T")
_Jobs = SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]


class Place(Protocol):
    """Where a renderer is used."""

    def do(self, work: Callable[[], T], timeout: float | None = None) -> T:
        """Call `work` there, and wait for what it returns."""

    def leave(self) -> None:
        """Nothing more is to be done there."""


class RenderThread:
    """A thread that does what it is given, one after the other."""

    def __init__(self) -> None:
        self._jobs: _Jobs = SimpleQueue()
        # A daemon: a graphics driver that hangs must not keep the program from ending.
        threading.Thread(
            target=_serve, args=(self._jobs,), name="ml-dash-mujoco", daemon=True
        ).start()

    def do(self, work: Callable[[], T], timeout: float | None = None) -> T:
        """Call `work` in the thread, and wait for what it returns.

        Raises:
            TimeoutError: it takes longer than `timeout` seconds; it is still going on.
            Exception: what `work` raised.
        """
        future: Future[T] = Future()
        self._jobs.put((future, work))
        return future.result(timeout)

    def leave(self) -> None:
        """End the thread, after what it has been given."""
        self._jobs.put(None)


class Here:
    """The caller's own thread, for windows, which some systems make in the main thread only.

    Whatever context was current there is current again afterwards.
    """

    def do(self, work: Callable[[], T], timeout: float | None = None) -> T:
        """Call `work`."""
        import glfw

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # without a screen; that is told otherwise
            works = glfw.init()
        before: Any = glfw.get_current_context() if works else None
        try:
            return work()
        finally:
            if works:
                glfw.make_context_current(before)

    def leave(self) -> None:
        """Nothing is kept."""


class AsItIs:
    """The caller's own thread, for a renderer of the user's."""

    def do(self, work: Callable[[], T], timeout: float | None = None) -> T:
        """Call `work`."""
        return work()

    def leave(self) -> None:
        """Nothing is kept."""


def _serve(jobs: _Jobs) -> None:
    while (job := jobs.get()) is not None:
        future, work = job
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - it is raised where the result is waited for
            future.set_exception(error)
        del job, future, work  # what they hold is not kept until the next one comes
