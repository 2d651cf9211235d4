"""Takes rows and files from the caller at once and writes them behind its back."""

from __future__ import annotations

from ml_dash.buffer.buffer import Buffer
from ml_dash.buffer.report import FlushReport
from ml_dash.buffer.stream import Stream

__all__ = ["Buffer", "FlushReport", "Stream"]
