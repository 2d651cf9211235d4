r"""Text as a terminal may be given it.

Log messages, topics, tags and parameters are whatever a program recorded. A control character among
them must not move the cursor, change colours or the window's title, nor pretend to be another line:
it is shown as an escape, such as `\x1b`. So are the characters that turn the direction of writing.
"""

from __future__ import annotations

import re

# C0 and C1 controls, DEL, marks of direction, separators of lines, lone surrogates.
_UNSAFE = "\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff"
_NAMES = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def printable(text: str) -> str:
    """`text` on one line, everything in it that could drive a terminal shown as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return re.sub(f"[{_UNSAFE}]", _escape, text)


def printable_lines(text: str) -> list[str]:
    """`text` line by line, each as `printable` shows it, tabs as spaces; at least one line."""
    lines = text.replace("\r\n", "\n").split("\n")
    return [printable(line.expandtabs(4) if "\t" in line else line) for line in lines]


def width(text: str) -> int:
    """How many columns of a terminal a printable text takes."""
    if text.isascii():
        return len(text)
    import unicodedata  # a megabyte, needed by text that is not ASCII

    return sum(
        0
        if unicodedata.category(char) in ("Mn", "Me", "Cf")
        else 2
        if unicodedata.east_asian_width(char) in "WF"
        else 1
        for char in text
    )


def cut(text: str, columns: int, *, middle: bool = False) -> str:
    """A printable text in at most `columns` columns, `…` where something is left out.

    Args:
        text: what to cut.
        columns: at least 1.
        middle: leave out the middle, for names whose end tells most.
    """
    if width(text) <= columns:
        return text
    if not middle:
        return f"{_head(text, columns - 1)}…"
    tail = _head(text[::-1], (columns - 1) * 2 // 3)[::-1]
    return f"{_head(text, columns - 1 - width(tail))}…{tail}"


def pad(text: str, columns: int, *, right: bool = False) -> str:
    """A printable text filled with spaces to `columns` columns, on its left if `right`."""
    filling = " " * (columns - width(text))
    return filling + text if right else text + filling


def _head(text: str, columns: int) -> str:
    if text.isascii():
        return text[: max(0, columns)]
    taken = 0
    for index, char in enumerate(text):
        taken += width(char)
        if taken > columns:
            return text[:index]
    return text


def _escape(found: re.Match[str]) -> str:
    char = found[0]
    code = ord(char)
    return _NAMES.get(char) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
