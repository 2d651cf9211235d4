"""Loading modules at first use, without endangering forks.

A module that one thread is importing while another one forks stays locked in the child for ever:
the child hangs when it imports the same. So what we load late, we load under a lock that a fork
waits for, and always in the thread of a caller: our own threads find everything loaded.
"""

from __future__ import annotations

import logging  # noqa: F401 - before our hooks of fork, see there
import os
import sys
import threading
from contextlib import suppress
from importlib import import_module
from typing import Any

_lock = threading.RLock()
_loaded: dict[tuple[str, ...], Any] = {}
_PATIENCE = 10.0
_STORING = (
    *("hashlib", "fcntl", "platform", "shutil", "tempfile", "subprocess"),
    *("unicodedata", "mimetypes"),
)


def load(*names: str) -> Any:
    """Import the modules `names` and return the first; the others may be missing.

    Raises:
        ImportError: the first one cannot be imported.
        RuntimeError: this very thread is importing it, and a signal's handler wants it meanwhile.
    """
    try:
        return _loaded[names]
    except KeyError:
        pass
    with _lock:
        first = _import(names[0])
        for name in names[1:]:
            try:
                _import(name)
            except ImportError:
                continue  # who needs it says so
        _loaded[names] = first
    return first


def _import(name: str) -> Any:
    module = import_module(name)
    if getattr(module.__spec__, "_initializing", False):  # another thread's import is waited for
        raise RuntimeError(
            f"{name} is just being loaded by what this handler of a signal interrupts; save one"
            " such file before signals may come, so that all is loaded by then"
        )
    return module


def images() -> Any:
    """The module `ml_dash.image`, with all that a worker thread needs to encode and store."""
    return load(
        "ml_dash.image",
        "ml_dash.image.jpeg",
        "ml_dash.image.png",
        "ml_dash.image.scaling",
        "simplejpeg",
        "deflate",
    )


def pillow() -> None:
    """Load Pillow, with all that it would load itself when it first saves an image."""
    plugins = (f"PIL.{kind}ImagePlugin" for kind in ("Bmp", "Gif", "Jpeg", "Ppm", "Png"))
    load("PIL.Image", *plugins)


def storing() -> None:
    """Load what a worker thread needs to store a file, and to look round its machine."""
    if _STORING in _loaded:
        return
    with _lock:
        # It finds its folder once, under a lock that a child forked meanwhile would wait for.
        with suppress(OSError):
            import_module("tempfile").gettempdir()
        load(*_STORING)


if hasattr(os, "register_at_fork"):
    _held = threading.local()

    def _before() -> None:
        _held.lock = _lock.acquire(timeout=_PATIENCE)

    def _after() -> None:
        if _held.lock:
            _lock.release()

    def _after_in_child() -> None:
        if _held.lock:
            _lock.release()
        elif sys.implementation.name == "cpython":
            globals()["_lock"] = threading.RLock()

    # What was registered first is called last: the lock of `logging` is taken after this one. A
    # fork that held it while it waits here would wait for a thread whose import wants it.
    os.register_at_fork(before=_before, after_in_parent=_after, after_in_child=_after_in_child)
