"""The memory that copies of frames are made in."""

import gc
import mmap
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash.files.saving import JOB, Encoding, Saving
from ml_dash.image import memory as frame_memory
from ml_dash.image.memory import IDLE, LARGEST, SLAB, SMALLEST, apart, copy_of

pytestmark = pytest.mark.skipif(frame_memory._ADVICE is None, reason="no huge pages here")


@pytest.fixture(autouse=True)
def no_slabs(monkeypatch):
    """Each test begins without memory of others."""
    monkeypatch.setattr(frame_memory, "_slabs", [])
    monkeypatch.setattr(frame_memory, "_spare", [])


def frame(value, shape=(480, 640, 3)):
    """A frame of one value."""
    return np.full(shape, value, np.uint8)


@settings(max_examples=60, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, 300)] * 2, st.sampled_from([1, 3, 4])),
    dtype=st.sampled_from(["u1", "?", ">u2", "f4", "f8"]),
    axes=st.permutations([0, 1, 2]),
    flip=st.booleans(),
    seed=st.integers(0, 100),
)
def test_a_copy_equals_its_original_and_shares_nothing(shape, dtype, axes, flip, seed):
    """Of any shape, type and order of axes; writing to one does not reach the other."""
    original = np.random.default_rng(seed).integers(0, 2, shape).astype(dtype).transpose(axes)
    original = original[::-1] if flip else original
    expected = original.tobytes()
    copy = copy_of(original)
    assert copy.shape == original.shape and copy.dtype == original.dtype
    assert not np.shares_memory(copy, original)
    original[...] = 0
    assert copy.tobytes() == expected
    assert copy.transpose(np.argsort(axes)).flags.c_contiguous or flip


def test_frames_alive_at_once_have_places_of_their_own():
    """A hundred copies of different frames all keep their values."""
    copies = [copy_of(frame(value)) for value in range(100)]
    assert all((copy == value).all() for value, copy in enumerate(copies))


def test_a_place_is_used_again_only_when_nobody_refers_to_it():
    """A view keeps its frame's place; without one the next frame gets it."""
    first = copy_of(frame(1))
    address = first.ctypes.data
    view = first[100:200, ::2, 0]
    del first
    assert copy_of(frame(2)).ctypes.data != address
    assert (view == 1).all()
    del view
    gc.collect()
    assert copy_of(frame(3)).ctypes.data == address


def test_memory_goes_back_when_no_frame_is_in_flight():
    """After a burst at most `IDLE` slabs are kept."""
    copies = [copy_of(frame(0)) for _ in range(100)]
    assert len(frame_memory._slabs) == -(-100 // (SLAB // copies[0].nbytes))
    copies.clear()
    assert len(frame_memory._slabs) <= IDLE


def burst(count=100, shape=(480, 640, 3)):
    """Frames alive at once, and then none; whether they were right."""
    copies = [copy_of(frame(number, shape)) for number in range(count)]
    return all((copy == number).all() for number, copy in enumerate(copies))


def no_new_memory():
    """Stands in for the system's memory where none may be taken."""
    raise AssertionError("memory was taken from the system")


@pytest.mark.parametrize("shape", [(480, 640, 3), (200, 200, 3)])
def test_a_burst_uses_the_memory_of_the_one_before(monkeypatch, shape):
    """Also one of frames of another size; the frames are right."""
    assert burst()
    monkeypatch.setattr(frame_memory, "_new_memory", no_new_memory)
    assert burst(shape=shape)


def test_memory_without_a_frame_is_offered_to_the_system():
    """The kernel knows that it may take it without asking."""
    rollup = Path("/proc/self/smaps_rollup")
    if not rollup.exists():
        pytest.skip("no such account of memory here")
    assert burst()
    lines = (line.split() for line in rollup.read_text().splitlines())
    offered = next(int(line[1]) * 1024 for line in lines if line[0] == "LazyFree:")
    slabs = -(-100 // (SLAB // frame(0).nbytes)) - IDLE
    assert len(frame_memory._spare) == slabs and offered > 0.9 * slabs * SLAB


def test_no_more_than_so_much_memory_is_kept(monkeypatch):
    """Beyond `SPARE` it goes back at once; where it cannot be offered, all of it."""
    monkeypatch.setattr(frame_memory, "SPARE", 2)
    assert burst() and len(frame_memory._spare) == 2
    frame_memory._spare.clear()
    monkeypatch.setattr(frame_memory, "_OFFER", None)
    assert burst() and frame_memory._spare == []


def test_memory_that_no_frame_needs_is_given_back_when_asked():
    """But for one slab; and frames that are held keep theirs."""
    held = copy_of(frame(7))
    assert burst() and len(frame_memory._spare) > 2
    frame_memory.give_back()
    gc.collect()
    frame_memory.give_back()
    assert frame_memory._spare == []
    assert len(frame_memory._slabs) <= 2
    assert (held == 7).all() and (copy_of(frame(8)) == 8).all()


def test_spare_memory_goes_when_a_caller_encodes_its_own_frame():
    """The queue is full then, of bytes that are encoded already, which take its place."""
    assert burst() and frame_memory._spare
    saving = Saving("a.jpg", ("a.jpg",), {}, lambda draft: None)
    job = Encoding(lambda saving: None, saving, lambda: b"encoded", 1 << 20)
    assert job.shrink() == len(b"encoded") + JOB
    assert len(frame_memory._spare) <= 1


@pytest.mark.parametrize("size", [SMALLEST - 1, LARGEST])
def test_small_and_large_arrays_take_the_usual_way(size):
    """Outside its bounds a copy is numpy's own."""
    copy = copy_of(np.zeros(size, np.uint8))
    assert copy.flags.owndata and frame_memory._slabs == []


def test_threads_never_get_one_place_twice():
    """Eight threads that copy and drop frames find their own values in them."""
    wrong = []

    def work(thread):
        kept = []
        for number in range(300):
            value = (thread * 31 + number) % 256
            kept.append((value, copy_of(frame(value, (200, 200, 3)))))
            if len(kept) > 5:
                value, copy = kept.pop(number % 3)
                if not (copy == value).all():
                    wrong.append(thread)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    gc.collect()
    assert len(frame_memory._slabs) <= IDLE


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")  # of threads that it never needs
@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_forked_child_changes_no_frame_of_its_parent():
    """The memory is private: what a child writes there stays there."""
    copy = copy_of(frame(1))
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        copy[:] = 2
        os.write(write, b"x" if (copy_of(frame(3)) == 3).all() else b"-")
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(read, 1) == b"x"
    os.close(read)
    os.close(write)
    assert (copy == 1).all()


def test_many_encoded_bytes_have_pages_of_their_own():
    """The system has them back as soon as they are written; few bytes are not worth a page."""
    few, many = b"few", bytes(range(256)) * 1024
    assert apart(few) is few
    kept = apart(many)
    assert bytes(kept) == many
    assert isinstance(kept.obj, mmap.mmap)
