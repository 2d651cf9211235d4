"""Finds an OpenGL context that can be drawn in without a screen."""

from __future__ import annotations

import ctypes.util
import importlib
import os
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import mujoco

from ml_dash_mujoco import egl

REMEDY = (
    "On Debian and Ubuntu: apt-get install -y libegl1 libgles2 libgl1-mesa-dri libosmesa6;"
    " then set MUJOCO_GL=egl, or MUJOCO_GL=osmesa, before Python starts"
)

_OFF = ("disable", "disabled", "off", "false", "0")
_BOUND = "PYOPENGL_PLATFORM"
_LIBRARIES = {"egl": "EGL", "osmesa": "OSMesa"}
_building = threading.Lock()


class NoOpenGLError(Exception):
    """No picture can be drawn in this process; the message says why."""


def find_context(height: int, width: int) -> tuple[str, Callable[[], Any]]:
    """What MuJoCo would draw with, or what works where that does not.

    What `MUJOCO_GL` says wins, also when it was set after MuJoCo had been imported. Without it and
    without a screen that works, EGL or else OSMesa is taken.

    Args:
        height: of the pictures, in pixels.
        width: likewise.

    Returns:
        Its name (`egl`, `osmesa`, `glfw`, `cgl`, …), and what makes the context; for `egl`, that
            may turn out to be one of OSMesa.

    Raises:
        NoOpenGLError: nothing can be found.
    """
    module = _contexts_of_mujoco()
    asked = os.environ.get("MUJOCO_GL", "").lower().strip()
    if asked in _OFF:
        raise NoOpenGLError(f"OpenGL is switched off by MUJOCO_GL={asked}")
    if asked in _LIBRARIES:
        names = [asked]
    else:
        names = ["glfw"] if asked in ("glfw", "glx") else _defaults(module)
    name = names[0]
    if len(names) > 1:
        return name, lambda: _first_of(names, height, width)
    if name in _LIBRARIES:
        context_class = _backend(name)
    else:
        context_class = getattr(module, "GLContext", None)
        if context_class is None:
            raise NoOpenGLError("this MuJoCo was started without OpenGL")
    return name, lambda: _made(name, context_class, height, width)


def _defaults(module: Any) -> list[str]:
    """The backends where nobody has chosen one, the best first."""
    loaded = getattr(getattr(module, "GLContext", None), "__module__", "").rpartition(".")[2]
    if sys.platform != "linux" or loaded in _LIBRARIES:
        return [loaded]
    if _has_screen():
        return ["glfw"]
    # Asked of the linker, not tried: PyOpenGL is bound for good to the first one it is used with.
    bound = os.environ.get(_BOUND)
    names = [
        name
        for name, library in _LIBRARIES.items()
        if bound in (None, "", name) and ctypes.util.find_library(library)
    ]
    if not names:
        raise NoOpenGLError("there is no screen, and neither EGL nor OSMesa is installed")
    return names


def _has_screen() -> bool:
    """Whether there is one that answers: the variable may be of a session that is over."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return bool(importlib.import_module("glfw").init())
        except Exception:  # noqa: BLE001 - its library is missing, or will not be loaded
            return False


def _first_of(names: list[str], height: int, width: int) -> Any:
    """A context of the first backend that can make one. To be called in the thread it is for."""
    faults = []
    for name in names:
        if name == "egl" and (reason := egl.fault()):
            faults.append(f"MuJoCo cannot use egl: {reason}")
            continue
        try:
            return _made(name, _backend(name), height, width)
        except NoOpenGLError as error:
            # Not the next one: PyOpenGL has been bound to this one.
            raise NoOpenGLError("; ".join([*faults, str(error)])) from error
    raise NoOpenGLError("; ".join(faults))


def _backend(name: str) -> Any:
    """The class of contexts of EGL or OSMesa."""
    before = os.environ.get(_BOUND)
    try:
        return importlib.import_module(f"mujoco.{name}").GLContext
    except Exception as error:  # PyOpenGL raises what it likes for what is missing
        raise NoOpenGLError(f"MuJoCo cannot use {name}: {error}") from error
    finally:
        # Importing it sets the variable, which a child that takes another one would choke on.
        if before is None:
            os.environ.pop(_BOUND, None)
        else:
            os.environ[_BOUND] = before


def _made(name: str, context_class: Any, height: int, width: int) -> Any:
    """A context that is there: MuJoCo ends the process when it meets one that is not, twice."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of glfw; its news are in the exception
            context = context_class(width, height)
    except Exception as error:  # each backend raises its own
        raise NoOpenGLError(f"MuJoCo cannot use {name}: {error}") from error
    if not getattr(context, "_context", True):
        raise NoOpenGLError(f"{name} made no context, as without a screen")
    return context


def _contexts_of_mujoco() -> Any:
    """The module in which MuJoCo's own renderer looks for its contexts, in 3.x and 4.x."""
    if not hasattr(mujoco, "Renderer"):
        raise NoOpenGLError(f"mujoco {mujoco.__version__} is built without its classic renderer")
    return sys.modules[mujoco.Renderer.__module__].gl_context


@contextmanager
def given(context: Any) -> Iterator[None]:
    """Have MuJoCo's renderer take this context, instead of making one of the kind it prefers."""
    module = _contexts_of_mujoco()
    with _building:
        missing = object()
        before = getattr(module, "GLContext", missing)
        module.GLContext = lambda width, height: context
        try:
            yield
        finally:
            if before is missing:
                del module.GLContext
            else:
                module.GLContext = before
