"""Servers in processes of their own, over real databases and stores, with users who hold tokens."""

from __future__ import annotations

import http.client
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from sqlalchemy.orm import Session

from ml_dash.remote import RemoteClient
from ml_dash.server.accounts.secrets import issue
from ml_dash.server.accounts.users import create_user
from ml_dash.server.database import Database
from ml_dash.server.settings import ServerSettings

from .machines import Bucket, Postgres, mortal, reserve_port

T = TypeVar("T")

KINDS = ("sqlite-folder", "postgres-s3")
SCOPES = ("read", "write", "admin")
_PATIENCE = 60.0


class Token:
    """Credentials that are one token, and never another."""

    def __init__(self, text: str) -> None:
        self._header = f"Bearer {text}"

    def header(self) -> str | None:
        """What is sent."""
        return self._header

    def refresh(self, stale: str) -> bool:
        """There is no other."""
        return False


@dataclass(frozen=True)
class Person:
    """A user of a server, and a token of theirs."""

    id: str
    name: str
    token: str


class Machines:
    """What servers stand on; each is started when it is first needed, and shared."""

    def __init__(self) -> None:
        self._postgres: Postgres | None = None
        self._bucket: Bucket | None = None

    @property
    def postgres(self) -> Postgres:
        """A PostgreSQL that runs."""
        if self._postgres is None:
            self._postgres = Postgres()
            self._postgres.start()
        return self._postgres

    @property
    def bucket(self) -> Bucket:
        """An S3 server that runs, whose variables are in the environment.

        They stay there: other machines of this process are reached with the same ones.
        """
        if self._bucket is None:
            self._bucket = Bucket()
            os.environ.update(self._bucket.environment)
        return self._bucket

    def settings(self, kind: str, folder: Path) -> ServerSettings:
        """Settings of a new server over an empty database and an empty store.

        Args:
            kind: one of `KINDS`.
            folder: of the server.
        """
        if kind == "sqlite-folder":
            return ServerSettings(folder=str(folder)).settled()
        assert kind == "postgres-s3", kind
        return ServerSettings(
            folder=str(folder),
            database=self.postgres.new_database(),
            store=self.bucket.new_store(),
            endpoint=self.bucket.endpoint,
            region="us-east-1",
        ).settled()

    def close(self) -> None:
        """End what was started."""
        if self._postgres is not None:
            self._postgres.close()
        if self._bucket is not None:
            self._bucket.close()


class Served:
    """`ml-dash serve` in a process of its own, which can be killed and started again.

    Args:
        settings: of the server; its port is chosen here.
        options: of the command, beyond those settings.

    Attributes:
        url: its address, the same after each start.
        log: what the process says.
    """

    def __init__(self, settings: ServerSettings, options: Sequence[str] = ()) -> None:
        self.settings = settings
        self.port = reserve_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.log = Path(settings.folder, f"log-{self.port}")
        self.shown = 0  # how much of the log belongs to earlier tests
        self._options = [*options]
        self._process: subprocess.Popen[bytes] | None = None
        self._people = 0
        Path(settings.folder).mkdir(parents=True, exist_ok=True)

    def begin(self) -> None:
        """Start it, and do not wait."""
        settings = self.settings
        arguments = [sys.executable, "-m", "ml_dash", "serve", "--port", str(self.port)]
        arguments += ["--folder", settings.folder, "--database", settings.database]
        arguments += ["--store", settings.store, *self._options]
        if settings.endpoint:
            arguments += ["--endpoint", settings.endpoint, "--region", settings.region]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("ML_DASH_")}
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                mortal(arguments), env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait(self) -> None:
        """Wait until it answers."""
        end = time.monotonic() + _PATIENCE
        while not self.answers():
            process = self._process
            if process is None or process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the server does not start: {self.said()[-3000:]}")
            time.sleep(0.02)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        self.begin()
        self.wait()

    def answers(self) -> bool:
        """Whether anything answers at its address."""
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            link.request("GET", "/api/v1/health")
            link.getresponse().read()
            return True
        except (OSError, http.client.HTTPException):
            return False
        finally:
            link.close()

    def kill(self) -> None:
        """As `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """As SIGTERM does; its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(_PATIENCE)
        self._process = None
        return code

    @property
    def pid(self) -> int:
        """Of the process."""
        assert self._process is not None
        return self._process.pid

    def said(self) -> str:
        """What the process has said since `shown`."""
        try:
            return self.log.read_bytes()[self.shown :].decode(errors="replace")
        except FileNotFoundError:
            return ""

    # -- users, made in the database itself ------------------------------------------------------

    def change(self, work: Callable[[Session], T]) -> T:
        """Do something in the server's database."""
        data = Database(self.settings.database)
        try:
            return data.transaction(work)
        finally:
            data.close()

    def person(
        self, name: str | None = None, scopes: Sequence[str] = SCOPES, *, admin: bool = False
    ) -> Person:
        """A new user, by default under a name that nobody has, and a token that does not expire."""
        self._people += 1
        name = name or f"user-{self.port}-{self._people}"

        def work(session: Session) -> Person:
            user = create_user(session, name, None, admin)
            _, text = issue(session, user.id, "access", list(scopes))
            return Person(user.id, user.name, text)

        return self.change(work)

    def client(
        self, person: Person, url: str | None = None, timeout: tuple[float, float] = (5.0, 30.0)
    ) -> RemoteClient:
        """A client of a user, also by way of a proxy."""
        return RemoteClient(url or self.url, Token(person.token), timeout=timeout)
