"""Whether the server lives, and whether it can work: for balancers and those who look after it."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable

from fastapi import APIRouter, Request

from ml_dash.server.problems import Problem
from ml_dash.server.store import reason
from ml_dash.version import __version__
from ml_dash.wire import API

BOUND = 3.0
"""Seconds in which database and store must answer."""

KEPT = 1.0
"""Seconds for which an answer of theirs counts."""

router = APIRouter(prefix=API, tags=["health"])
logger = logging.getLogger("ml_dash.server")


class Probe:
    """Asks something whether it works, once at a time: one that hangs takes up one thread.

    Args:
        name: what is asked, for the log.
        ask: raises unless it works.
    """

    def __init__(self, name: str, ask: Callable[[], None]) -> None:
        self.name = name
        self._ask = ask
        self._asked: asyncio.Future[str] | None = None
        self._word = ""
        self._at = float("-inf")

    async def check(self, bound: float = BOUND) -> str:
        """`ok`, `failing` or `silent`, after `bound` seconds at most."""
        if time.monotonic() - self._at < KEPT:
            return self._word
        if self._asked is None:
            self._asked = asyncio.get_running_loop().create_future()
            threading.Thread(
                target=self._run, args=(self._asked,), name=f"probe {self.name}", daemon=True
            ).start()
        try:
            return await asyncio.wait_for(asyncio.shield(self._asked), bound)
        except TimeoutError:
            return "silent"

    def _run(self, asked: asyncio.Future[str]) -> None:
        word = "ok"
        try:
            self._ask()
        except Exception as error:  # noqa: BLE001 - whatever it is, it does not work
            word = "failing"
            logger.warning("the %s fails: %s", self.name, reason(error))
        try:
            asked.get_loop().call_soon_threadsafe(self._take, asked, word)
        except RuntimeError:
            pass  # the server has ended meanwhile

    def _take(self, asked: asyncio.Future[str], word: str) -> None:
        self._asked, self._word, self._at = None, word, time.monotonic()
        asked.set_result(word)


@router.get("/health")
async def read_health() -> dict[str, str]:
    """Whether the process lives."""
    return {"status": "ok", "version": __version__}


@router.get("/ready")
async def read_readiness(request: Request) -> dict[str, str]:
    """Whether database and store answer; 503 if not, and once the server is about to end."""
    probes: list[Probe] = request.app.state.probes
    words = await asyncio.gather(*(probe.check() for probe in probes))
    found = {probe.name: word for probe, word in zip(probes, words, strict=True)}
    if getattr(request.app.state, "stopping", False):
        raise Problem(503, "the server is about to end", retry_after=2.0, facts=found)
    if bad := [f"the {name} is {word}" for name, word in found.items() if word != "ok"]:
        raise Problem(503, " and ".join(bad), retry_after=5.0, facts=found)
    return {"status": "ready", **found}
