"""Memory for copies of frames, taken in large pieces and used again.

What a copy costs is mostly its memory: a new page is a fault and a clearing, 225 of them for a
frame of 480x640x3, and on virtual machines these take several times as long as the copying itself.
So frames of middling size are copied into slabs that the kernel is asked to back with huge pages,
and a frame's place goes to the next one as soon as nobody refers to it.

At most `IDLE` slabs stay when no frame is in flight. The memory of up to `SPARE` more is offered to
the system, which takes it when it runs short (`MADV_FREE`); until then it counts as the process's,
and the next burst of frames finds it without a fault. While frames come faster than they are
encoded, their encoded bytes need that memory: it is given back. Small arrays come cheaply from the
heap, and for large ones numpy itself asks for huge pages.
"""

from __future__ import annotations

import mmap
from collections import deque
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

SLAB = 8 << 20
"""Bytes taken from the system at a time."""

SMALLEST, LARGEST = 64 << 10, 4 << 20
"""Bytes of the arrays that are copied into slabs."""

IDLE = 4
"""Slabs without a frame that are kept for the next ones."""

SPARE = 32
"""Slabs' worth of memory that is offered to the system, and kept until it is taken."""

_HUGE = 2 << 20
_ADVICE = getattr(mmap, "MADV_HUGEPAGE", None)
_OFFER = getattr(mmap, "MADV_FREE", None)


def give_back() -> None:
    """Let the system have what no frame needs at once. Safe to call from any thread."""
    for slab in _idle()[1:]:
        _let_go(slab)
    while _spare:
        try:
            _spare.pop()
        except IndexError:
            return  # another thread took the last one


def apart(data: bytes) -> bytes | memoryview:
    """The same bytes in pages of their own, if they are many: the system has these back at once.

    Of hundreds of encoded frames that wait, each of another size, the heap would keep the holes
    that they leave, beside the frames that come in their place.
    """
    if _ADVICE is None or len(data) < SMALLEST:
        return data
    try:
        pages = mmap.mmap(-1, len(data), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    except OSError:
        return data
    pages.write(data)
    return memoryview(pages)


def copy_of(array: Array) -> Array:
    """A copy of a numeric array, in the order that its memory has. Safe to call from any thread."""
    import numpy as np

    size = array.nbytes
    if size >= LARGEST:
        return array.copy(order="K")
    order: list[int] = []  # of its axes in memory, where that is not the usual one
    if not array.flags.c_contiguous:
        strides = array.strides
        order = sorted(range(array.ndim), key=lambda axis: -abs(strides[axis]))
    ordered = array.transpose(order) if order else array
    if _ADVICE is None or size < SMALLEST:
        copy: Array = np.empty(ordered.shape, array.dtype)
    else:
        copy = _take(-(-size // 64) * 64).as_array(ordered.shape, array.dtype.str)
    _fill(copy, ordered)
    return copy.transpose(sorted(order, key=order.__getitem__)) if order else copy


def _fill(copy: Array, array: Array) -> None:
    """Copy; what is small and in one piece without letting go of the interpreter lock.

    numpy lets go of it, and an encoder that waits for it has it the next moment: for a copy of
    some microseconds the caller would wait as long as that one keeps it.
    """
    import numpy as np

    if array.nbytes < SMALLEST and array.flags.c_contiguous:
        copy.reshape(-1).view(np.uint8).data[:] = array.reshape(-1).view(np.uint8).data
    else:
        np.copyto(copy, array)


class _Slab:
    """A piece of memory cut into places of one size."""

    __slots__ = ("count", "free", "memory", "size")

    def __init__(self, size: int) -> None:
        import numpy as np

        try:
            self.memory = _spare.pop()
        except IndexError:
            self.memory = _new_memory()
        begin = np.frombuffer(self.memory, np.uint8).ctypes.data
        begin += -begin % _HUGE
        self.size = size
        self.count = SLAB // size
        self.free = deque(begin + index * size for index in reversed(range(self.count)))

    def __del__(self) -> None:
        # Nobody refers to a place in it any more. As with a place, single operations only.
        memory = getattr(self, "memory", None)
        if memory is not None and _OFFER is not None and len(_spare) < SPARE:
            try:
                memory.madvise(_OFFER)
            except OSError:
                return  # a kernel that cannot: it is unmapped
            _spare.append(memory)


class _Place:
    """A place in a slab, for as long as anybody refers to it."""

    __slots__ = ("__array_interface__", "_address", "_slab")

    def __init__(self, slab: _Slab, address: int) -> None:
        self._slab = slab
        self._address = address

    def as_array(self, shape: tuple[int, ...], type_: str) -> Array:
        """An array here; its base, and that of every view of it, is this place."""
        import numpy as np

        self.__array_interface__ = {
            "version": 3,
            "shape": shape,
            "typestr": type_,
            "data": (self._address, False),
        }
        return np.asarray(self)

    def __del__(self) -> None:
        # May run at any time and in any thread: single operations only, each of them atomic.
        slab = self._slab
        slab.free.append(self._address)
        if len(slab.free) == slab.count and len(_idle()) > IDLE:
            _let_go(slab)


def _idle() -> list[_Slab]:
    """Slabs without a frame."""
    return [slab for slab in list(_slabs) if len(slab.free) == slab.count]


def _let_go(slab: _Slab) -> None:
    try:
        _slabs.remove(slab)
    except ValueError:
        pass  # another thread did it


def _new_memory() -> mmap.mmap:
    # The kernel backs only what is aligned with huge pages: take one more and begin inside.
    memory = mmap.mmap(-1, SLAB + _HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    if _ADVICE is not None:
        try:
            memory.madvise(_ADVICE)
        except OSError:
            pass  # a kernel without huge pages: it works, slower
    return memory


def _take(size: int) -> _Place:
    # A slab that was let go meanwhile lives on for as long as the place in it.
    for slab in _slabs:
        if slab.size == size and slab.free:
            try:
                return _Place(slab, slab.free.pop())
            except IndexError:
                continue  # another thread took the last one
    slab = _Slab(size)
    address = slab.free.pop()
    _slabs.append(slab)
    return _Place(slab, address)


_slabs: list[_Slab] = []
_spare: list[mmap.mmap] = []
