"""Whether EGL can draw here.

Asked without PyOpenGL, which is bound for good to what it is used with first: after an EGL that
does not work, OSMesa could not be used any more.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from typing import Any

_DEVICE = 0x313F  # EGL_PLATFORM_DEVICE_EXT
_OPENGL = 0x30A2  # EGL_OPENGL_API
_WANTED = (0x3033, 0x0001, 0x3040, 0x0008, 0x3025, 24, 0x3026, 8, 0x3038)
"""EGL_SURFACE_TYPE, EGL_RENDERABLE_TYPE, depth and stencil, as MuJoCo asks for them."""

_MOST = 64


def fault() -> str:
    """Why no context can be made; empty where one can. What was made is freed again."""
    try:
        egl = ctypes.CDLL(ctypes.util.find_library("EGL"))
        return _fault(egl)
    except (OSError, AttributeError) as error:
        return f"its library cannot be used: {error}"


def _fault(egl: Any) -> str:
    pointer, number = ctypes.c_void_p, ctypes.c_int
    egl.eglGetProcAddress.restype = pointer
    egl.eglGetProcAddress.argtypes = [ctypes.c_char_p]
    for name, *arguments in (
        ("eglInitialize", pointer, pointer, pointer),
        ("eglBindAPI", ctypes.c_uint),
        ("eglChooseConfig", pointer, pointer, pointer, number, pointer),
        ("eglDestroyContext", pointer, pointer),
    ):
        getattr(egl, name).argtypes = arguments
    egl.eglCreateContext.restype = pointer
    egl.eglCreateContext.argtypes = [pointer] * 4
    addresses = [
        egl.eglGetProcAddress(name) for name in (b"eglQueryDevicesEXT", b"eglGetPlatformDisplayEXT")
    ]
    if not all(addresses):
        return "its driver lists no devices"
    query = ctypes.CFUNCTYPE(number, number, pointer, pointer)(addresses[0])
    display_of = ctypes.CFUNCTYPE(pointer, number, pointer, pointer)(addresses[1])
    devices, count = (pointer * _MOST)(), number()
    if not query(_MOST, devices, ctypes.byref(count)) or not count.value:
        return "it finds no device"
    for device in devices[: count.value]:
        display = display_of(_DEVICE, device, None)
        # It stays initialized, as somebody else may use it; MuJoCo takes the first that works.
        if display and egl.eglInitialize(display, None, None):
            return "" if _makes_context(egl, display) else "it makes no context"
    return "none of its devices works"


def _makes_context(egl: Any, display: int) -> bool:
    wanted = (ctypes.c_int * len(_WANTED))(*_WANTED)
    config, count = ctypes.c_void_p(), ctypes.c_int()
    egl.eglBindAPI(_OPENGL)
    egl.eglChooseConfig(display, wanted, ctypes.byref(config), 1, ctypes.byref(count))
    context = egl.eglCreateContext(display, config, None, None) if count.value else None
    if context:
        egl.eglDestroyContext(display, context)
    return bool(context)
