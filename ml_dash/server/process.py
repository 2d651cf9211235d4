"""The process around the application: how connections wait, and how it ends."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 20.0
"""Seconds for the head of a request, from its first byte or the connection's beginning."""


_log = logging.getLogger("ml_dash.server")


def listen(host: str, port: int) -> list[socket.socket]:
    """Take a port before anybody is told of it.

    Args:
        host: a name or an address; of a name, each of its addresses is listened on.
        port: 0 takes one that is free.

    Raises:
        OSError: it is taken, it is not for this user, or the host is none of this machine.
    """
    made: list[socket.socket] = []
    try:
        for family, _, _, _, address in socket.getaddrinfo(
            host or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        ):
            chosen = made[0].getsockname()[1] if made else port
            made.append(socket.create_server((address[0], chosen), family=family, backlog=2048))
    except OSError:
        for each in made:
            each.close()
        raise
    return made


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes connections whose requests do not begin in time."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
        """A client is there."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """It said something."""
        super().data_received(data)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone."""
        super().connection_lost(exc)
        self._stop_waiting()

    def _watch(self) -> None:
        if not self._is_due():
            self._stop_waiting()
        elif self._waiting is None:
            self._waiting = self.loop.call_later(HEAD, self._give_up)

    def _is_due(self) -> bool:
        """Whether the next thing to come is the head of a request."""
        return bool(self.conn.their_state is h11.IDLE)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self._is_due() and not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """Ends with SIGTERM or Ctrl-C: what has no end of its own is ended, the rest is answered.

    Args:
        config: of uvicorn.
        app: its `state.stopping` becomes true.
        address: what the log says that it runs on.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, address: str) -> None:
        super().__init__(config)
        self._app = app
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to take connections."""
        await super().startup(sockets)
        if self.started:
            _log.info("running on %s", self._address)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end. It is no failure, so the signal is not raised again afterwards."""
        self._app.state.stopping = True
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
