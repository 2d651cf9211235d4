"""Connections that notice when bytes only trickle.

A time-out of a socket begins anew with each byte, and one for sending holds for the whole body. So
an answer could drip for ever, and a large part would never get through a slow line. Here the time
that is spent waiting for an answer is held against what has come of it, and a body goes out in
pieces, each with a time-out of its own.
"""

from __future__ import annotations

import http.client
import io
import socket
import time
from collections.abc import Callable
from typing import Any

from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool

LEAST = 8 << 10
"""Bytes a second that an answer must bring, once it has begun and the time-out is over."""

PIECE = 16 << 10
"""Bytes that are sent at a time."""

Moved = Callable[[int], object]


class PacedAdapter(HTTPAdapter):
    """An adapter of `requests` whose connections are paced.

    Args:
        moved: called whenever bytes have gone out or come in, with how many went out.
        patience: seconds that a piece of a body may take.
    """

    def __init__(self, moved: Moved, patience: float) -> None:
        self._pools = _pools(moved, patience)
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        """Make the pools, as `requests` asks for them."""
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *arguments: Any, **options: Any) -> Any:
        """The pools of a proxy."""
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def _pools(moved: Moved, patience: float) -> dict[str, Any]:
    """A class of pools for each scheme."""
    found: dict[str, Any] = {}
    bases: dict[str, type[HTTPConnectionPool]]
    bases = {"http": HTTPConnectionPool, "https": HTTPSConnectionPool}
    for scheme, base in bases.items():
        about = {"moved": staticmethod(moved), "response_class": _answer_class(moved)}
        about |= {"patience": patience}
        connection = type("Connection", (_Sending, base.ConnectionCls), about)
        found[scheme] = type("Pool", (base,), {"ConnectionCls": connection})
    return found


def _answer_class(moved: Moved) -> type[http.client.HTTPResponse]:
    class Answer(http.client.HTTPResponse):
        def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
            super().__init__(sock, *arguments, **options)
            assert isinstance(self.fp, io.BufferedReader)
            self.fp = io.BufferedReader(_Paced(self.fp.detach(), sock.gettimeout(), moved))

    return Answer


class _Sending:
    """What a connection does otherwise: sends a body piece by piece."""

    moved: Moved
    patience: float
    sock: socket.socket | None

    def send(self, data: Any) -> None:
        """Send bytes; each piece of them has the whole patience for itself."""
        send = super().send  # type: ignore[misc]  # that of the connection it is mixed into
        if not isinstance(data, (bytes, bytearray, memoryview)):
            send(data)
            self.moved(0)
            return
        view = memoryview(data)
        for begin in range(0, len(view), PIECE):
            if begin and self.sock is not None:
                # Until now it had the time-out for connecting. A full buffer takes nothing before
                # a third of it is empty, which is some hundred kilobytes of a slow line.
                self.sock.settimeout(self.patience)
            piece = view[begin : begin + PIECE]
            send(piece)
            self.moved(len(piece))


class _Paced(io.RawIOBase):
    """Reads an answer from a socket, as long as it comes fast enough.

    Args:
        raw: the socket, as a file.
        grace: seconds that waiting may take in any case; for ever without it.
        moved: called when bytes have come, with 0: none went out.
    """

    def __init__(self, raw: io.RawIOBase, grace: float | None, moved: Moved) -> None:
        self._raw = raw
        self._grace = grace
        self._moved = moved
        self._size = 0
        self._waited = 0.0

    def readable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """The socket's."""
        return self._raw.fileno()

    def readinto(self, buffer: Any) -> int | None:
        """Read what is there.

        Raises:
            TimeoutError: nothing came in time, or too little.
        """
        begun = time.monotonic()
        size = self._raw.readinto(buffer)
        if size:
            self._moved(0)
            # The first byte is waited for by the time-out alone. The caller's own time, between
            # two reads, is no fault of the server.
            self._waited += time.monotonic() - begun if self._size else 0.0
            self._size += size
            if self._grace is not None and self._waited > self._grace + self._size / LEAST:
                raise TimeoutError("the answer comes too slowly")
        return size

    def close(self) -> None:
        """Close the socket's file."""
        if not self.closed:
            self._raw.close()
        super().close()
