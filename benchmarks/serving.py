"""Servers to measure, each in a process of its own, and connections that speak to them."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks.recording import Bench, environment
from ml_dash import wire
from tests.server.machines import Postgres
from tests.server.serving import Machines, Person, Served

KINDS = {"sqlite-folder": "SQLite and a folder", "postgres-s3": "PostgreSQL and S3"}
"""What a server stands on, and what the table calls it."""

REPOSITORY = Path(__file__).resolve().parent.parent
_PATIENCE = 60.0
_IDLE = 2.0  # seconds; a server may be about to close a connection that was idle for longer


class Link:
    """One connection to a server, which is kept open.

    Args:
        url: of the server.
        token: what every request carries.
    """

    def __init__(self, url: str, token: str = "") -> None:
        address = url.removeprefix("http://")
        self._connection = http.client.HTTPConnection(address, timeout=_PATIENCE)
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._used = 0.0

    def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> bytes:
        """Send a request, and read the whole answer.

        Raises:
            RuntimeError: the server answers that something is wrong.
        """
        if time.monotonic() - self._used > _IDLE:
            self._connection.close()  # the request opens it anew
        self._connection.request(method, path, body, {**self._headers, **(headers or {})})
        answer = self._connection.getresponse()
        text = answer.read()
        self._used = time.monotonic()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {text[:300]!r}")
        return text

    def json(self, method: str, path: str, content: Any = None) -> Any:
        """Send and receive JSON below the API's address."""
        body = None if content is None else orjson.dumps(content)
        headers = {} if body is None else {"Content-Type": "application/json"}
        return orjson.loads(self.send(method, wire.API + path, body, headers))

    def make_run(self, prefix: str) -> str:
        """The id of a new run."""
        made = self.json("POST", "/runs", {"prefix": prefix, "id": "1"})
        return str(made["run"]["id"])

    def close(self) -> None:
        """Close it."""
        self._connection.close()


class Site:
    """A server that runs, and one user of it.

    Attributes:
        served: the process.
        person: the user.
        url: the server's address.
    """

    def __init__(self, served: Served, person: Person) -> None:
        self.served = served
        self.person = person
        self.url = served.url

    def link(self) -> Link:
        """A new connection."""
        return Link(self.url, self.person.token)

    def cpu(self) -> float:
        """CPU seconds that the server's process has used."""
        return cpu_of(self.served.pid)

    def memory(self) -> int:
        """Bytes of memory that it holds now."""
        return int(psutil.Process(self.served.pid).memory_info().rss)

    def again(self) -> None:
        """Start it anew, so that it remembers nothing."""
        self.served.stop()
        self.served.start()


def cpu_of(pid: int) -> float:
    """CPU seconds of a process."""
    used = psutil.Process(pid).cpu_times()
    return float(used.user + used.system)


@contextmanager
def site(bench: Bench, kind: str = "sqlite-folder") -> Iterator[Site]:
    """`ml-dash serve` over an empty database and an empty store.

    Args:
        bench: where its folder is made.
        kind: `sqlite-folder`, or `postgres-s3`: a PostgreSQL that confirms on disk, and an S3
            server that keeps objects in memory.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(bench.place())
        machines = Machines()
        stack.callback(machines.close)
        settings = machines.settings("sqlite-folder", folder)
        if kind == "postgres-s3":
            stack.enter_context(environment(**machines.bucket.environment))
            settings = replace(
                settings,
                database=stack.enter_context(_postgres()).new_database(),
                store=machines.bucket.new_store(),
                endpoint=machines.bucket.endpoint,
                region="us-east-1",
            )
        served = Served(settings)
        stack.callback(served.kill)
        served.start()
        yield Site(served, served.person("bench"))


@contextmanager
def _postgres() -> Iterator[Postgres]:
    found = Postgres(durable=True)
    try:
        found.start()
        yield found
    finally:
        found.close()


class Bare:
    """The server that only reads, in a process of its own.

    Attributes:
        url: its address.
    """

    def __init__(self, folder: Path) -> None:
        port = folder / "port"
        arguments = [sys.executable, "-m", "benchmarks.bare", str(port), str(folder / "kept")]
        self._process = subprocess.Popen(arguments, cwd=REPOSITORY, env=dict(os.environ))
        end = time.monotonic() + _PATIENCE
        while not port.exists():
            if self._process.poll() is not None or time.monotonic() > end:
                raise RuntimeError("the bare server does not start")
            time.sleep(0.02)
        self.url = f"http://127.0.0.1:{port.read_text('utf-8')}"

    def cpu(self) -> float:
        """CPU seconds that it has used."""
        return cpu_of(self._process.pid)

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait()


@contextmanager
def bare(bench: Bench) -> Iterator[Bare]:
    """The floor's server."""
    with bench.place() as folder:
        found = Bare(folder)
        try:
            yield found
        finally:
            found.close()
