"""Where commands print: to a terminal, a pipe or a file, in whatever encoding it has."""

from __future__ import annotations

import os
import sys
import time
from typing import TextIO

from ml_dash.cli.text import cut, printable

STATUS_STYLES = {
    "RUNNING": ("blue",),
    "COMPLETED": ("green",),
    "FAILED": ("red",),
    "CANCELLED": ("yellow",),
    "INTERRUPTED": ("yellow",),
}
_STYLES = {"bold": "1", "faint": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34"}
_BLINK = 0.1  # seconds between two states of the progress line


class Screen:
    """Prints results to stdout, and remarks to stderr.

    Texts of others must be made `printable` before; `say` and `progress` do so themselves.

    Args:
        out: where results go; `sys.stdout` by default.
        err: where remarks go; `sys.stderr` by default.

    Attributes:
        room: the width of the terminal; `None` where there is none, and so no need to fit.
        colours: whether styles show.
        watched: whether `progress` shows.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        # Both are None in a program without a terminal, such as pythonw, or started with `>&-`.
        self._out: TextIO | None = sys.stdout if out is None else out
        self._err: TextIO | None = sys.stderr if err is None else err
        tty = _is_tty(self._out)
        self.room = _columns() if tty else None
        # Conventions of terminals, not settings of ours: hence not in `settings`.
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        self.colours = tty and not plain
        self.watched = _is_tty(self._err)
        self._shown = 0.0
        self._moving = False

    def line(self, text: str = "") -> None:
        """Print a line of the result."""
        self._clear()
        _write(self._out, f"{text}\n")

    def flush(self) -> None:
        """Hand over what was printed. Raises `BrokenPipeError` when nobody reads it."""
        for stream in (self._out, self._err):
            if stream is not None:
                stream.flush()

    def say(self, text: str) -> None:
        """Print a remark to stderr, made printable."""
        self._clear()
        _write(self._err, f"ml-dash: {printable(text)}\n")

    def style(self, text: str, *styles: str) -> str:
        """A printable text in colour, or as it is where colours do not show."""
        if not self.colours or not styles or not text:
            return text
        codes = ";".join(_STYLES[style] for style in styles)
        return f"\x1b[{codes}m{text}\x1b[0m"

    def progress(self, text: str) -> None:
        """Show on a terminal's stderr what goes on now, in place of what was shown before."""
        now = time.monotonic()
        if self.watched and now - self._shown >= _BLINK:
            self._shown = now
            self._moving = True
            shown = cut(printable(text), max(1, _columns() - 1))
            _write(self._err, f"\r\x1b[K{shown}", flush=True)

    def _clear(self) -> None:
        if self._moving:
            self._moving = False
            _write(self._err, "\r\x1b[K", flush=True)

    def close(self) -> None:
        """Leave the terminal as a next command expects it, and hand over what was printed."""
        self._clear()
        self.flush()


def _columns() -> int:
    import shutil  # brings the compressors along, and most output goes to a pipe or is one line

    return shutil.get_terminal_size().columns


def _is_tty(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:  # closed
        return False


def _write(stream: TextIO | None, text: str, *, flush: bool = False) -> None:
    if stream is None:
        return
    try:
        stream.write(text)
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    if flush:
        stream.flush()
