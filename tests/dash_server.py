"""A real `ml-dash serve` in a process of its own, and a person who sits at a browser, for tests."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests
from cli_process import command, environ

from ml_dash.auth.device import GRANT
from ml_dash.auth.store import Tokens, TokenStore
from ml_dash.remote import RemoteClient
from ml_dash.remote.transport import Hidden

PASSWORD = "correct horse battery"
_LINK = re.compile(r"/welcome\?token=(\S+)")
_RUNNING = re.compile(r"running on http://127\.0\.0\.1:(\d+)")


class ServerProcess:
    """`ml-dash serve` over a folder; started again, it has the same port.

    Args:
        folder: its data.
        variables: of its environment, such as `ML_DASH_SERVER_ACCESS_SECONDS`.

    Attributes:
        requests: method, path and status of each request that it logged.
    """

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.requests: list[tuple[str, str, int]] = []
        self.log: list[str] = []
        self._variables = variables
        self._port = 0
        self._running = False
        self._link = ""
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._came = threading.Event()
        self._logged = threading.Condition()

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> Self:
        """Start it, and wait until it takes connections."""
        self._came.clear()
        self._running = False
        self._process = subprocess.Popen(
            command("serve", "--folder", self.folder, "--port", self._port),
            env=environ(**self._variables),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, args=(self._process,), daemon=True)
        self._reader.start()
        if not (self._came.wait(60) and self._running):
            self.stop()
            raise AssertionError("".join(self.log[-20:]))
        return self

    def stop(self) -> None:
        """End it as `kill -9` does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None
        if self._reader is not None:
            self._reader.join(30)

    def add_user(self, name: str) -> Person:
        """A user, with a password and a browser."""
        words = ("server", "add-user", name, "--folder", str(self.folder))
        done = subprocess.run(
            command(*words), env=environ(), capture_output=True, text=True, check=True
        )
        found = _LINK.search(done.stderr)
        assert found is not None, done.stderr
        return Person(self, name, found[1])

    def execute(self, statement: str) -> None:
        """Change its database behind its back."""
        with sqlite3.connect(next(self.folder.glob("*.sqlite*")), timeout=30) as data:
            data.execute(statement)
        data.close()

    def settle(self) -> None:
        """Wait until its log has told of all that it has answered: the log comes by a pipe."""
        mark = f"/nothing/{os.urandom(4).hex()}"
        requests.get(self.url + mark, timeout=60)
        with self._logged:
            assert self._logged.wait_for(
                lambda: any(path == mark for _, path, _ in self.requests), timeout=60
            )
            self.requests = [asked for asked in self.requests if asked[1] != mark]

    def count(self, method: str, path: str) -> int:
        """How many requests for paths that begin so it has answered."""
        self.settle()
        return sum(m == method and p.startswith(path) for m, p, _ in self.requests)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def _read(self, process: subprocess.Popen[str]) -> None:
        assert process.stderr is not None
        with process.stderr:
            for line in process.stderr:
                self._take(line)
        self._came.set()

    def _take(self, line: str) -> None:
        self.log.append(line)
        if not line.startswith("{"):
            return
        row = json.loads(line)
        if "path" in row:
            with self._logged:
                self.requests.append((row["method"], row["path"], row["status"]))
                self._logged.notify_all()
        elif found := _RUNNING.search(row["message"]):
            self._port, self._running = int(found[1]), True
            self._came.set()


class Person:
    """Somebody with an account, who logs in by the pages of the server.

    Args:
        server: the server.
        name: theirs.
        link: the word of the link with which they set a password.
    """

    def __init__(self, server: ServerProcess, name: str, link: str) -> None:
        self.server = server
        self.name = name
        self._browser = requests.Session()
        self._browser.trust_env = False
        self._csrf = ""
        self.get(f"/welcome?token={link}")
        self.post("/welcome", {"token": link, "password": PASSWORD})
        self.get("/account")

    def get(self, path: str) -> requests.Response:
        """Load a page."""
        return self._look(self._browser.get(self.server.url + path, timeout=30))

    def post(self, path: str, fields: dict[str, str]) -> requests.Response:
        """Send a form of a page."""
        form = {"csrf": self._csrf} | fields
        return self._look(self._browser.post(self.server.url + path, data=form, timeout=30))

    def answer(self, code: str, decision: str = "approve") -> None:
        """Type the code that a terminal shows, and decide."""
        self.post("/device", {"user_code": code})
        assert self.post("/device/answer", {"user_code": code, "decision": decision}).ok

    def token(self, scopes: str = "read write admin") -> str:
        """A new API token."""
        made = self._browser.post(
            f"{self.server.url}/api/v1/tokens",
            json={"name": f"of a test {os.urandom(4).hex()}", "scopes": scopes.split()},
            headers={"X-CSRF-Token": self._csrf},
            timeout=30,
        )
        assert made.status_code == 201, made.text
        return str(made.json()["token"])

    def client(self, scopes: str = "read write admin") -> RemoteClient:
        """A client with such a token."""
        return RemoteClient(self.server.url, Token(self.token(scopes)))

    def login(self, folder: Path) -> TokenStore:
        """Log in as `ml-dash login` does, but without waiting; the tokens are kept in a folder."""
        url = self.server.url
        form = {"client_id": "ml-dash"}
        grant = requests.post(f"{url}/oauth/device_authorization", data=form, timeout=30).json()
        self.answer(grant["user_code"])
        form |= {"grant_type": GRANT, "device_code": grant["device_code"]}
        found = requests.post(f"{url}/oauth/token", data=form, timeout=30).json()
        made = TokenStore(folder)
        access, refresh = Hidden(found["access_token"]), Hidden(found["refresh_token"])
        made.save(url, Tokens(access, refresh, None, f"{url}/oauth/token", f"{url}/oauth/revoke"))
        return made

    def _look(self, answer: requests.Response) -> requests.Response:
        assert answer.ok, f"{answer.status_code} {answer.url}: {answer.text[:500]}"
        if found := re.search(r'name="csrf-token" content="(\w+)"', answer.text):
            self._csrf = found[1]
        return answer


class Token:
    """Credentials that are one token."""

    def __init__(self, text: str, again: Callable[[], bool] = lambda: False) -> None:
        self.text = text
        self._again = again

    def header(self) -> str | None:
        """What is sent."""
        return f"Bearer {self.text}"

    def refresh(self, stale: str) -> bool:
        """Whether there is another one."""
        return self._again()


def lines_of(path: Path) -> list[dict[str, Any]]:
    """The rows of a file of JSON Lines."""
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]
