"""What a process must not do that was forked from one that had drawn.

The threads of a graphics driver do not come along, but the memory in which it waits for them does:
whatever calls into it waits for ever. Who has drawn there makes no difference.
"""

from __future__ import annotations

import atexit
import ctypes
import os
import sys
from pathlib import Path

FORKED = (
    "this process was forked from one that had drawn, and OpenGL hangs in such a one; start it by"
    " multiprocessing's 'spawn', or draw nothing before it is forked"
)

_THREADS = Path("/proc/self/task")
_OSMESA = ("mujoco.osmesa", "OpenGL.osmesa")

_has_drawn = False
_has_driver = False
_forked_after_drawing = False


def note_drawing() -> None:
    """This process draws."""
    global _has_drawn
    _has_drawn = True


def forked_after_drawing() -> bool:
    """Whether this process, or one that it descends from, was forked after drawing."""
    return _forked_after_drawing


def _driver_runs() -> bool:
    """Whether the user has drawn, with a context that may be closed.

    A display of EGL and the threads of Mesa's software driver both last until the process ends.
    """
    if getattr(sys.modules.get("mujoco.egl"), "EGL_DISPLAY", None) is not None:
        return True
    try:
        threads = list(_THREADS.iterdir())
    except OSError:  # not Linux
        return False
    return any(map(_is_of_mesa, threads))


def _is_of_mesa(thread: Path) -> bool:
    """Whether a thread draws, or writes the cache of compiled shaders, which each driver has."""
    try:
        name = (thread / "comm").read_bytes()
    except OSError:  # it has just ended
        return False
    return name.startswith(b"llvmpipe-") or b":disk$" in name


def _before_fork() -> None:
    global _has_driver
    _has_driver = _has_drawn or _driver_runs()


def _after_fork_in_child() -> None:
    global _forked_after_drawing
    if not _has_driver:
        return
    _forked_after_drawing = True
    _forget_displays()
    if any(name in sys.modules for name in _OSMESA):
        _leave_out_exit_handlers()


def _forget_displays() -> None:
    """Have EGL's displays not be ended with the process.

    Where all contexts are closed already, that ends the driver, which waits for its threads.
    """
    for module, name in (("mujoco.egl", "_terminate_display"), ("OpenGL.EGL", "eglTerminate")):
        if (end := getattr(sys.modules.get(module), name, None)) is not None:
            atexit.unregister(end)


def _leave_out_exit_handlers() -> None:
    """Have this process end when Python is done.

    Else the C library would call OSMesa's exit handler then, which waits for threads that a forked
    process does not have. What is registered last is called first.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "on_exit"):  # glibc's; it hands the exit status over
        libc.on_exit(libc._exit, None)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=_before_fork, after_in_child=_after_fork_in_child)
