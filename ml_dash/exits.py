"""How a process ends, and what is done about the runs that are still open then.

| the process ends by | what happens |
|---|---|
| its last line, `sys.exit` | open runs are completed, after everything is written |
| an unhandled exception | they are failed, with the exception's text |
| Ctrl-C | they are cancelled; a second one ends the waiting |
| SIGTERM | they are cancelled and written; then the signal takes its course |
| SIGTERM, to a daemon of multiprocessing | they are completed: its parent ends it so as a rule |
| SIGKILL, a crash | nothing can be done, and need not: rows are in the ring file |

A SIGTERM handler of the program's own is left alone, as is any handler not on the main thread.

With what code `sys.exit` ends the process is told to nobody: when `atexit` calls, the exception is
gone, and only a `with` block has seen it. So a run that nobody ended is completed by any of them. A
child of multiprocessing knows it: there they are failed by any code but 0.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, Protocol

from ml_dash import wakeup


class Ending(Protocol):
    """What an open run must be able to do when its process ends."""

    def end(self, status: str, error: str | None = None) -> None:
        """Write everything and close."""

    def leave(self) -> None:
        """Say what finishes it, because nobody waits for that any longer."""

    def after_fork(self) -> None:
        """Let go of locks that threads of the parent may hold."""


_HERE = Path(__file__).parent
_OURS = f"{_HERE}{os.sep}"
_ENDS_RUNS = str(_HERE / "run.py")
# Modules that call the user's code, or wait without a lock: they are on the stack for long.
_LOCKLESS = frozenset(
    str(_HERE / name)
    for name in (
        *("run.py", "decorate.py", "experiment.py", "recorder.py", "auto_start.py", "exits.py"),
        *("files/movies.py", "files/video.py"),  # which asks the user's generator for frames
    )
)

_open: list[Ending] = []
_verdict: tuple[str, str | None] = ("COMPLETED", None)
_installed = False
_finalizer: object = None
_finalizer_pid: int | None = None
_previous_hook: Callable[..., Any] | None = None
_told_to_end = False


def watch(run: Ending) -> None:
    """See to it that `run` is ended when the process is."""
    _install()
    if run not in _open:
        _open.append(run)
    _catch_sigterm()
    _finalize_in_children()


def unwatch(run: Ending) -> None:
    """`run` has ended by itself."""
    if run in _open:
        _open.remove(run)
    if not _open:
        _release_sigterm()


def describe(error: object) -> str:
    """An exception as it is kept with a run: its type, its text and where it was raised.

    Anything else is its text. What is too long is cut in the middle; white space at the end is
    left out.
    """
    text = str(error)
    if isinstance(error, BaseException):
        import traceback

        text = "".join(traceback.format_exception(error))
    text = text.rstrip()  # so that its last line is the one that says what happened
    return text if len(text) <= 20_000 else text[:4_000] + "\n…\n" + text[-16_000:]


def status_after(error: BaseException | None) -> str:
    """What a run is called whose block was left by `error`."""
    if error is None or (isinstance(error, SystemExit) and error.code in (None, 0)):
        return "COMPLETED"
    # A cancelled task, which asyncio makes of Ctrl-C; a generator that nobody goes on with.
    cancelled = getattr(sys.modules.get("asyncio"), "CancelledError", KeyboardInterrupt)
    stopped = isinstance(error, (KeyboardInterrupt, GeneratorExit, cancelled))
    return "CANCELLED" if stopped else "FAILED"


def say(text: str) -> None:
    """Tell the user something at the end of a run, if there is still anywhere to tell it."""
    try:
        if sys.stderr is not None:
            print(f"ml-dash: {text}", file=sys.stderr)
    except (OSError, ValueError):
        pass  # a terminal that is gone, or a closed stream


def end_all(status: str, error: str | None = None) -> None:
    """End every open run, the last one started first.

    Raises:
        KeyboardInterrupt: a Ctrl-C ended the waiting, for all of them.
    """
    interrupt: KeyboardInterrupt | None = None
    for run in list(reversed(_open)):
        try:
            if interrupt is None:
                run.end(status, error)
            else:
                run.leave()
        except KeyboardInterrupt as another:
            interrupt = another  # the run has said what finishes it
        except Exception as defect:  # noqa: BLE001 - the others must be ended all the same
            print(f"ml-dash: a run could not be ended: {describe(defect)}", file=sys.stderr)
        unwatch(run)
    if interrupt is not None:
        raise interrupt


def reset_after_fork() -> None:
    """In a forked child: its own end is decided by itself. Open runs stay watched."""
    global _verdict, _finalizer_pid, _told_to_end
    _verdict = ("COMPLETED", None)
    _finalizer_pid = None
    _told_to_end = False
    wakeup.after_fork()
    for run in _open:
        run.after_fork()


def _install() -> None:
    global _installed, _previous_hook
    if not _installed:
        _installed = True
        atexit.register(_at_exit)
        _previous_hook = sys.excepthook
        sys.excepthook = _on_exception


def _at_exit() -> None:
    try:
        end_all(*_verdict)
    except KeyboardInterrupt:
        pass  # the runs have said what finishes them
    if _verdict[0] == "CANCELLED":
        _exit_as_interrupted()


def _at_end_of_child() -> None:
    """At the end of a child of multiprocessing, which shows no hook the exception that ends it.

    It calls while that is on its way through its bootstrap. One that a child was forked in the
    handling of is its parent's.
    """
    global _verdict
    error = sys.exc_info()[1]
    trace = None if error is None else error.__traceback__
    if trace is not None and trace.tb_frame.f_globals.get("__name__") == "multiprocessing.process":
        status = status_after(error)
        _verdict = (status, describe(error) if status == "FAILED" else None)
    _at_exit()


def _exit_as_interrupted() -> None:
    """Let Python end by SIGINT, as it would without us, so that a shell script stops, too.

    CPython remembers that Ctrl-C ended the program in a flag that each `exec` of a text clears, and
    importing a dataclass does that. This sets it again.
    """
    try:
        exec("raise KeyboardInterrupt")
    except KeyboardInterrupt:
        pass


def _on_exception(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    global _verdict
    if hasattr(sys, "ps1"):
        pass  # at Python's prompt, which goes on: it says nothing of how the program ends
    elif issubclass(kind, KeyboardInterrupt):
        _verdict = ("CANCELLED", None)
    else:
        _verdict = ("FAILED", describe(error))
    (_previous_hook or sys.__excepthook__)(kind, error, trace)


def _catch_sigterm() -> None:
    if threading.current_thread() is threading.main_thread():
        try:
            if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
                signal.signal(signal.SIGTERM, _on_sigterm)
                if _is_daemon():  # its parent waits for it, and sends nothing more
                    wakeup.insist(signal.SIGTERM, _sigterm_waits)
        except ValueError:
            pass  # a subinterpreter, where signals cannot be set


def _release_sigterm() -> None:
    if threading.current_thread() is threading.main_thread():
        try:
            if signal.getsignal(signal.SIGTERM) is _on_sigterm:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
        except ValueError:
            pass


def _sigterm_waits() -> bool:
    return not _told_to_end and signal.getsignal(signal.SIGTERM) is _on_sigterm


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    global _told_to_end
    _told_to_end = True
    if _may_hold_a_lock(frame):
        # Python runs handlers between two bytecodes of whatever the main thread is doing. If that
        # is a piece of ours that holds a lock, saving would wait for it forever: come back soon.
        # By the bare thread call, since the module `threading` has locks, too.
        _thread.start_new_thread(_send_again, (os.getpid(),))
    else:
        _terminate()


def _may_hold_a_lock(frame: FrameType | None) -> bool:
    """Whether the main thread is at work for us: it holds a lock, or is ending a run."""
    while frame is not None:
        name = frame.f_code.co_filename
        if name == _ENDS_RUNS and frame.f_code.co_name == "_end":
            return True
        if name.startswith(_OURS) and name not in _LOCKLESS:
            return True
        frame = frame.f_back
    return False


def _send_again(process: int) -> None:
    time.sleep(0.01)
    if os.getpid() == process:
        os.kill(process, signal.SIGTERM)


def _terminate() -> None:
    try:
        end_all("COMPLETED" if _is_daemon() else "CANCELLED")
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)


def _is_daemon() -> bool:
    """Whether this is a daemon of multiprocessing, which its parent ends by SIGTERM as a rule."""
    module = sys.modules.get("multiprocessing.process")
    return module is not None and bool(module.current_process().daemon)


def _multiprocessing_parent() -> object:
    """The process that started this one by multiprocessing, once its bootstrap knows."""
    return sys.modules["multiprocessing.process"].parent_process()


class _Finalizer:
    """Ends the runs of a child of multiprocessing, which leaves by `os._exit`.

    Only multiprocessing's own finalizers run there. Its bootstrap clears them after unpickling what
    the child works on, which may have joined a run already; then it calls who asked for that.
    """

    def __init__(self) -> None:
        from multiprocessing import util

        util.register_after_fork(self, _Finalizer.arm)
        if _multiprocessing_parent() is not None:
            self.arm()

    def arm(self) -> None:
        from multiprocessing import util

        util.Finalize(None, _at_end_of_child, exitpriority=0)


def _finalize_in_children() -> None:
    global _finalizer, _finalizer_pid
    if "multiprocessing.process" in sys.modules and _finalizer_pid != os.getpid():
        _finalizer_pid = os.getpid()
        _finalizer = _Finalizer()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=reset_after_fork)
