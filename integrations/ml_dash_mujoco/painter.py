"""Draws what the cameras see."""

from __future__ import annotations

import atexit
import ctypes
import os
import weakref
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import mujoco
from numpy.typing import NDArray

from ml_dash_mujoco.cameras import View
from ml_dash_mujoco.contexts import NoOpenGLError, find_context, given
from ml_dash_mujoco.forks import FORKED, forked_after_drawing, note_drawing
from ml_dash_mujoco.pictures import Labels, depth_picture
from ml_dash_mujoco.simulation import alike
from ml_dash_mujoco.thread import AsItIs, Here, Place, RenderThread

Picture = NDArray[Any]

PATIENCE = 60.0
"""Seconds for the first picture: a driver may compile for some, a forked process wait for ever."""

_MOST_GEOMS = 10_000


@dataclass(frozen=True, slots=True)
class Look:
    """What is drawn, and how.

    Attributes:
        views: by name.
        size: height and width in pixels.
        depth: metres that a count of the depth stands for; `None` for no depth.
        labels: for segmentation; `None` for none.
        shadows: whether lights cast shadows. In software they cost ten times the rest together.
    """

    views: Mapping[str, View]
    size: tuple[int, int]
    depth: float | None = None
    labels: Labels | None = None
    shadows: bool = False

    @property
    def folders(self) -> list[str]:
        """The names of all folders that frames go to."""
        endings = [
            "",
            *(["_depth"] if self.depth else []),
            *(["_segmentation"] if self.labels else []),
        ]
        return [f"{name}{ending}" for name in self.views for ending in endings]


@dataclass(slots=True)
class Pictures:
    """The pictures of one moment, by the name of their folder.

    Attributes:
        colour: uint8[height, width, 3].
        exact: uint16[height, width], depth and segmentation.
    """

    colour: dict[str, Picture] = field(default_factory=dict)
    exact: dict[str, Picture] = field(default_factory=dict)


class Painter:
    """Draws pictures of a simulation. Makes a renderer at the first one, unless one is given.

    Args:
        model: what is drawn.
        look: see there.
        renderer: one of the user's, to be used in the thread that made it; its own size and flags
            hold, and it is left set to depth or segmentation where it was.

    Raises:
        ValueError: that renderer is one for another model.
    """

    def __init__(self, model: mujoco.MjModel, look: Look, renderer: Any = None) -> None:
        own = getattr(renderer, "model", None)
        if isinstance(own, mujoco.MjModel) and not alike(own, model):
            raise ValueError("the renderer is one for another model; make one for that of the hook")
        self._model = model
        self._look = look
        self._given = renderer
        # One that is made here is put here and taken away by the jobs of its thread alone, which
        # come one after the other: whoever stops waiting for them never has a second one made.
        self._renderer: Any = renderer
        self._place: Place = AsItIs()
        self._make_context: Callable[[], Any] | None = None
        self._backend = ""
        self._ready = self._closed = False
        self._unable = ""
        self._at_exit = partial(_close, weakref.ref(self))
        _painters.add(self)

    def draw(self, data: mujoco.MjData) -> Pictures:
        """Draw what all cameras see.

        Args:
            data: a simulation whose poses are up to date; it is read only.

        Raises:
            NoOpenGLError: this process cannot draw, now and later.
            RuntimeError: the user's renderer is one of another thread.
        """
        if self._unable:
            raise NoOpenGLError(self._unable)
        if forked_after_drawing():
            self._give_up(FORKED)
            raise NoOpenGLError(FORKED)
        if self._given is not None:
            note_drawing()
            with _in_its_thread(), _in_colour(self._given):
                return self._draw(data)
        if self._ready:
            return self._place.do(partial(self._draw, data))
        try:
            return self._draw_first(data)
        except NoOpenGLError as error:
            self._give_up(str(error))
            raise

    def close(self) -> None:
        """Free the renderer and its context, also one that is still being made."""
        self._unable = self._unable or "the hook is closed"
        closed, self._closed = self._closed, True
        if closed or self._given is not None:
            return
        try:
            self._place.do(self._free, PATIENCE)
        except Exception:  # noqa: BLE001 - a driver that hangs must not end the program
            pass
        finally:
            self._place.leave()
            atexit.unregister(self._at_exit)

    def _draw_first(self, data: mujoco.MjData) -> Pictures:
        if self._make_context is None:  # else a call was broken off, and it is being made
            self._backend, make_context = find_context(*self._look.size)
            self._place = Here() if self._backend == "glfw" else RenderThread()
            self._make_context = make_context
            atexit.register(self._at_exit)

        def first() -> Pictures:
            if self._renderer is None:
                self._renderer = self._build()
            return self._draw(data)

        note_drawing()
        try:
            pictures = self._place.do(first, PATIENCE)
        except TimeoutError:
            raise NoOpenGLError(
                f"OpenGL ({self._backend}) made no picture within {PATIENCE:.0f} s; in a forked"
                " process use multiprocessing's 'spawn'"
            ) from None
        except NoOpenGLError:
            raise
        except Exception as error:  # once only: MuJoCo ends a process that tries again
            raise NoOpenGLError(f"MuJoCo cannot draw with {self._backend}: {error}") from error
        self._ready = True
        return pictures

    def _build(self) -> Any:
        assert self._make_context is not None
        height, width = self._look.size
        with given(self._make_context()):
            renderer = mujoco.Renderer(
                self._model, height, width, max_geom=max(_MOST_GEOMS, 2 * self._model.ngeom)
            )
        if not self._look.shadows:
            renderer.scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False
        # Again, so that it comes before MuJoCo ends what the context depends on.
        atexit.register(self._at_exit)
        return renderer

    def _draw(self, data: mujoco.MjData) -> Pictures:
        renderer, look = self._renderer, self._look
        pictures = Pictures()
        for name, view in look.views.items():
            renderer.update_scene(data, camera=view)
            pictures.colour[name] = renderer.render()
            if look.depth is not None:
                renderer.enable_depth_rendering()
                try:
                    far = float(self._model.vis.map.zfar * self._model.stat.extent)
                    depth = depth_picture(renderer.render(), far, look.depth)
                finally:
                    renderer.disable_depth_rendering()
                pictures.exact[f"{name}_depth"] = depth
            if look.labels is not None:
                renderer.enable_segmentation_rendering()
                try:
                    segmentation = look.labels.picture(renderer.render())
                finally:
                    renderer.disable_segmentation_rendering()
                pictures.exact[f"{name}_segmentation"] = segmentation
        return pictures

    def _free(self) -> None:
        renderer, self._renderer = self._renderer, None
        try:
            if renderer is not None:
                renderer.close()
        except Exception:  # noqa: BLE001 - nor one that cannot let go
            _keep_for_ever(renderer)

    def _give_up(self, reason: str) -> None:
        """Never draw; what is still being made frees itself once it is there."""
        self._unable, self._closed = reason, True
        if self._renderer is not None:  # it is there, and of no use
            _keep_for_ever(self._renderer)
        else:
            self._place.post(self._free)
        self._place.leave()

    def _after_fork(self) -> None:
        """In the child: its threads and its graphics driver are gone, whatever they look like."""
        renderer, self._renderer = self._renderer, None
        if renderer is not None:
            _keep_for_ever(renderer)
            self._unable = FORKED
        self._place = AsItIs()


_painters: weakref.WeakSet[Painter] = weakref.WeakSet()


@contextmanager
def _in_its_thread() -> Iterator[None]:
    """Say in words what EGL says of a context that another thread holds."""
    try:
        yield
    except Exception as error:  # PyOpenGL's own, which need not be installed
        if "EGL_BAD_ACCESS" not in str(error):
            raise
        raise RuntimeError(
            "renderer= is in use in another thread; call the hook in the thread that made the"
            " renderer, or leave renderer= out"
        ) from error


@contextmanager
def _in_colour(renderer: Any) -> Iterator[None]:
    """Have a renderer of the user's draw colours first, and then again what it was set to."""
    if getattr(renderer, "_depth_rendering", False):
        off, on = renderer.disable_depth_rendering, renderer.enable_depth_rendering
    elif getattr(renderer, "_segmentation_rendering", False):
        off, on = renderer.disable_segmentation_rendering, renderer.enable_segmentation_rendering
    else:
        yield
        return
    off()
    try:
        yield
    finally:
        on()


def _close(painter: weakref.ref[Painter]) -> None:
    if (one := painter()) is not None:
        one.close()


def _keep_for_ever(thing: Any) -> None:
    """Never free it: not at the end of the process either, where that would call into OpenGL."""
    ctypes.pythonapi.Py_IncRef(ctypes.py_object(thing))


def _after_fork_in_child() -> None:
    for painter in list(_painters):
        painter._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
