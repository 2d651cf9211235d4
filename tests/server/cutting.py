"""A line before a server that breaks each connection after so many bytes, by a reset."""

from __future__ import annotations

import socket
import struct
import threading
from types import TracebackType
from typing import Self

_RESET = struct.pack("ii", 1, 0)


class CuttingLine:
    """Passes bytes on to a server at `port`, and resets connections.

    Args:
        port: the server's, on this machine.
        up: bytes to the server after which a connection is reset.
        down: likewise, bytes from it.

    Attributes:
        url: the line's address.
        cuts: connections that were reset.
        moved: bytes to the server, and from it.
    """

    def __init__(self, port: int, *, up: int = 1 << 40, down: int = 1 << 40) -> None:
        self.cuts = 0
        self.moved = [0, 0]
        self._port = port
        self._most = (up, down)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._port))
            except OSError:
                return
            for way, pair in enumerate([(client, server), (server, client)]):
                threading.Thread(target=self._pass, args=(*pair, way), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, way: int) -> None:
        left = self._most[way]
        try:
            while data := source.recv(min(left, 1 << 16)):
                target.sendall(data)
                self.moved[way] += len(data)
                left -= len(data)
                if not left:
                    self.cuts += 1
                    break
        except OSError:
            pass  # the other way has reset it
        for end in (source, target):
            try:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                end.shutdown(socket.SHUT_RD)
                end.close()
            except OSError:
                continue

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
