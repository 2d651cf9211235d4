"""Where segments and blobs are kept: a folder, or memory for tests."""

from __future__ import annotations

from ml_dash.backends.base import Backend, SegmentGoneError, SegmentInfo
from ml_dash.backends.local import LocalBackend
from ml_dash.backends.memory import MemoryBackend

__all__ = ["Backend", "LocalBackend", "MemoryBackend", "SegmentGoneError", "SegmentInfo"]
