"""Processes of one run that do something one after the other."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import pytest

from ml_dash import turn


def test_a_turn_is_ones_own(tmp_path: Path) -> None:
    """Also where a signal's handler takes it again in the middle."""
    fcntl = pytest.importorskip("fcntl")

    def is_free() -> bool:
        other = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        finally:
            os.close(other)
        return True

    with turn(tmp_path):
        assert not is_free()
        with turn(tmp_path):
            assert not is_free()
        assert not is_free()
    assert is_free()


def test_turns_come_one_after_the_other(tmp_path: Path) -> None:
    """Also of threads; those with another folder are apart, and memory needs none."""
    other = tmp_path / "other"
    other.mkdir()
    seen: list[str] = []

    def take() -> None:
        with turn(tmp_path):
            seen.append("thread")

    with turn(tmp_path):
        thread = threading.Thread(target=take)
        thread.start()
        with turn(other), turn(None):
            time.sleep(0.05)
        assert seen == []
    thread.join(10)
    assert seen == ["thread"]


def test_who_never_gives_up_a_turn_is_waited_for_so_long(tmp_path: Path) -> None:
    """A process may have been stopped in the middle of its own."""
    fcntl = pytest.importorskip("fcntl")
    held = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(held, fcntl.LOCK_EX)
    begun = time.monotonic()
    with turn(tmp_path, patience=0.1):
        assert time.monotonic() - begun >= 0.1
    os.close(held)


def test_a_folder_that_is_not_there_is_no_error(tmp_path: Path) -> None:
    """There is nothing to lock, and nothing to wait for."""
    with turn(tmp_path / "gone"):
        assert not (tmp_path / "gone").exists()
