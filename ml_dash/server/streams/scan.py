"""Numbers of lines that are all of one shape, found by where their quotes are.

A loop writes the same keys in the same order again and again. Then the quotes of all lines stand
for the same things, and the numbers between them are found for all lines at once, without reading
what nobody asked for. That each line is a whole row was found when it came.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

Places = NDArray[np.int64]

_QUOTE, _COLON, _COMMA, _OPEN, _CLOSE = (ord(char) for char in '":,{}')


@dataclass(frozen=True, slots=True)
class Scan:
    """Lines of one shape.

    Attributes:
        text: the lines.
        spans: by key, where its value begins and ends in each line; what stands in quotes is left
            out.
        keys: all keys of a line.
    """

    text: bytes
    spans: dict[str, tuple[Places, Places]]
    keys: frozenset[str]

    def tokens(self, key: str) -> Any:
        """The values of a key as an Arrow array of text."""
        begin, end = self.spans[key]
        count = len(begin)
        offsets = np.empty(2 * count + 1, np.int32)
        # Every second one is what stands between
        offsets[0:-1:2], offsets[1::2], offsets[-1] = begin, end, end[-1]
        buffers = [None, pa.py_buffer(offsets), pa.py_buffer(self.text)]
        # Of value, gap, value, gap, …
        whole = pa.StringArray.from_buffers(2 * count, buffers[1], buffers[2])
        return whole.take(pa.array(np.arange(0, 2 * count, 2)))

    def numbers(self, key: str, kind: Any) -> Any:
        """The values of a key as an Arrow array of numbers, null where it is null.

        Raises:
            pa.ArrowInvalid: one is something else.
        """
        tokens = self.tokens(key)
        try:
            return tokens.cast(kind)
        except pa.ArrowInvalid:
            empty = pc.equal(tokens, "null")
            if not pc.any(empty).as_py():
                raise
            return pc.if_else(empty, pa.scalar(None, pa.string()), tokens).cast(kind)


def scan(text: bytes, count: int) -> Scan | None:
    """Find the values of lines; `None` where these are not of one shape, or nested.

    Args:
        text: lines, each a whole row.
        count: how many.
    """
    if text.count(b"{") != count or b"\\" in text or len(text) >= 2**31:
        return None
    data = np.frombuffer(text, np.uint8)
    ends = np.flatnonzero(data == ord("\n"))
    quotes = np.flatnonzero(data == _QUOTE)
    starts = np.concatenate([[0], ends[:-1] + 1])
    if len(ends) != count or len(quotes) % (2 * count) or not len(quotes):
        return None
    grid = quotes.reshape(count, -1)
    opened, closed = grid[:, 0::2], grid[:, 1::2]
    if (
        not np.array_equal(opened[:, 0], starts + 1)
        or (data[starts] != _OPEN).any()
        or (data[ends - 1] != _CLOSE).any()
        or (closed[:, -1] >= ends).any()
    ):
        return None
    is_key = data[closed[0] + 1] == _COLON
    if not is_key[0]:
        return None
    names: list[str] = []
    spans: dict[str, tuple[Places, Places]] = {}
    for number in np.flatnonzero(is_key).tolist():
        name = _same(text, data, opened[:, number], closed[:, number], number == 0)
        if name is None or name in names:
            return None
        names.append(name)
        if number + 1 == len(is_key):
            spans[name] = closed[:, number] + 2, ends - 1
        elif is_key[number + 1]:
            spans[name] = closed[:, number] + 2, opened[:, number + 1] - 1
    return Scan(text, spans, frozenset(names))


def _same(
    text: bytes, data: NDArray[np.uint8], opened: Places, closed: Places, is_first: bool
) -> str | None:
    """The key that stands between quotes in every line; `None` where it is not the same."""
    key = text[opened[0] + 1 : closed[0]]
    if ((closed - opened) != len(key) + 1).any() or (data[closed + 1] != _COLON).any():
        return None
    if not is_first and (data[opened - 1] != _COMMA).any():
        return None
    for place, char in enumerate(key, 1):
        if (data[opened + place] != char).any():
            return None
    return key.decode("utf-8", "replace")
