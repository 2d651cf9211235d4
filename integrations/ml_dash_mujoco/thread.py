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

    def post(self, work: Callable[[], object]) -> None:
        """Have `work` called there, after what goes on, without waiting for it."""

    def leave(self) -> None:
        """Nothing more is to be done there."""


class RenderThread:
    """A thread that does what it is given, one after the other."""

    def __init__(self) -> None:
        self._jobs: _Jobs = SimpleQueue()
        # What is added after the end nobody would do. A signal's handler may come while it is held.
        self._adding = threading.RLock()
        self._left = False
        # A daemon: a graphics driver that hangs must not keep the program from ending.
        threading.Thread(
            target=_serve, args=(self._jobs,), name="ml-dash-mujoco", daemon=True
        ).start()

    def do(self, work: Callable[[], T], timeout: float | None = None) -> T:
        """Call `work` in the thread, and wait for what it returns.

        Raises:
            TimeoutError: it takes longer than `timeout` seconds; it is still going on.
            RuntimeError: the thread has ended.
            Exception: what `work` raised.
        """
        return self._add(work).result(timeout)

    def post(self, work: Callable[[], object]) -> None:
        """Have `work` called in the thread."""
        self._add(work)

    def leave(self) -> None:
        """End the thread, after what it has been given."""
        with self._adding:
            self._left = True
            self._jobs.put(None)

    def _add(self, work: Callable[[], T]) -> Future[T]:
        future: Future[T] = Future()
        with self._adding:
            if self._left:
                raise RuntimeError("the renderer is closed")
            self._jobs.put((future, work))
        return future


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

    def post(self, work: Callable[[], object]) -> None:
        """Call `work`."""
        self.do(work)

    def leave(self) -> None:
        """Nothing is kept."""


class AsItIs:
    """The caller's own thread, for a renderer of the user's."""

    def do(self, work: Callable[[], T], timeout: float | None = None) -> T:
        """Call `work`."""
        return work()

    def post(self, work: Callable[[], object]) -> None:
        """Call `work`."""
        self.do(work)

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
