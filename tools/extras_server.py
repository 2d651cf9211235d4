"""A server as a team would run it: started, logged in to, written to and read from."""

from __future__ import annotations

import os
import re
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from ml_dash import Experiment, open_run

ROWS = 100
PASSWORD = "correct horse battery"
PATIENCE = 60.0
"""Seconds until a command has said what is waited for."""


@contextmanager
def saying(*words: str) -> Iterator[_Said]:
    """A command in a process of its own, ended at the end."""
    process = subprocess.Popen(
        ["ml-dash", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield _Said(process)
    finally:
        process.terminate()
        process.wait(PATIENCE)


class _Said:
    """What a process has said so far."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._text = ""
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def find(self, pattern: str) -> str:
        """The first group of a pattern, once it has been said."""
        with self._changed:
            self._changed.wait_for(
                lambda: re.search(pattern, self._text) or not self._reader.is_alive(), PATIENCE
            )
            found = re.search(pattern, self._text)
        assert found is not None, f"ml-dash did not say {pattern!r} but:\n{self._text}"
        return found[1]

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self._text += line
                self._changed.notify_all()


class _Browser:
    """Whoever sits before the pages of the server."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._session = requests.Session()
        self._session.trust_env = False
        self._csrf = ""

    def get(self, path: str) -> None:
        """Load a page."""
        self._look(self._session.get(self._url + path, timeout=PATIENCE))

    def post(self, path: str, **fields: str) -> None:
        """Send a form of a page."""
        form = {"csrf": self._csrf} | fields
        self._look(self._session.post(self._url + path, data=form, timeout=PATIENCE))

    def _look(self, answer: requests.Response) -> None:
        assert answer.ok, f"{answer.status_code} {answer.url}: {answer.text[:500]}"
        if found := re.search(r'name="csrf-token" content="(\w+)"', answer.text):
            self._csrf = found[1]


def serve() -> None:
    """Serve, log in by the pages, record to it, read from it, over SQLite and a folder."""
    os.environ["ML_DASH_CONFIG"] = str(Path("config/config.toml").absolute())
    with saying("serve", "--folder", "data", "--port", "0") as server:
        word = server.find(r"/welcome\?token=([\w-]+)")
        url = server.find(r"running on (http://127\.0\.0\.1:\d+)")
        browser = _Browser(url)
        browser.get(f"/welcome?token={word}")
        browser.post("/welcome", token=word, password=PASSWORD)
        browser.get("/account")
        with saying("login", url, "--no-browser") as login:
            code = login.find(r"enter +(\S+)")
            browser.post("/device", user_code=code)
            browser.post("/device/answer", user_code=code, decision="approve")
            assert login.process.wait(PATIENCE) == 0
        with Experiment("robotics/shared", dash_url=url, echo=False).run as experiment:
            for step in range(ROWS):
                experiment.track("robot/position").append({"step": step, "x": step / 2})
        found = open_run(f"{url}/admin/robotics/shared")
        assert found.tracks["robot/position"]["step"].tolist() == list(range(ROWS))
        browser.get("/")


def refuse() -> None:
    """Ask for a server, and for the pages of a folder, where neither can be had."""
    Path(".dash").mkdir(exist_ok=True)
    said = {
        subprocess.run(
            ["ml-dash", *words], capture_output=True, text=True, timeout=PATIENCE, check=False
        ).stderr
        for words in (("serve",), ("ui", "--no-browser"), ("server", "upgrade"))
    }
    assert len(said) == 1, f"commands say different things: {said}"
    raise ImportError(said.pop())
