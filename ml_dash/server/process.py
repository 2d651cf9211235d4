"""The process around the application: how connections wait, and how it ends."""

from __future__ import annotations

import asyncio
import signal
from types import FrameType

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD = 20.0
"""Seconds for the head of a request, from its first byte or the connection's beginning."""


class PatientProtocol(H11Protocol):
    """HTTP/1.1 that closes connections whose requests do not begin in time."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
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
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to end. It is no failure, so the signal is not raised again afterwards."""
        self._app.state.stopping = True
        if self.should_exit and sig == signal.SIGINT:
            self.force_exit = True
        self.should_exit = True
