"""`ml-dash ui` in a process of its own, and recorded runs for it to show."""

from __future__ import annotations

import queue
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import requests

from .browser import Page

sys.path.append(str(Path(__file__).parents[1]))
from cli_process import command, environ

_ADDRESS = re.compile(r"(http://[\d.]+:\d+)(/\S+)")


class Shown:
    """The pages over a folder of runs, until it is left.

    Args:
        root: the folder.
        options: of the command.

    Attributes:
        url: its address, without the token.
        log: what it says.
    """

    def __init__(self, root: Path, options: Sequence[str] = ()) -> None:
        self.root = root
        self.url = ""
        self.log: list[str] = []
        self._options = options
        self._token = ""
        self._session = requests.Session()

    def __enter__(self) -> Self:
        words = ("ui", "--root", self.root, "--port", "0", "--no-browser", *self._options)
        self._process = subprocess.Popen(
            command(*words),
            env=environ(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        found: queue.Queue[tuple[str, str] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, args=(found,))
        self._reader.start()
        address = found.get(timeout=60)
        assert address is not None, "".join(self.log)
        self.url, self._token = address
        self._session.get(self.url + self._token, timeout=30).raise_for_status()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._session.close()
        self._process.kill()
        self._process.wait()
        self._reader.join()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def get(self, path: str, **params: Any) -> Any:
        """What the API answers."""
        answer = self._session.get(f"{self.url}/api/v1/{path}", params=params, timeout=60)
        answer.raise_for_status()
        return answer.json()

    def run_id(self, name: str) -> str:
        """The id of the run with this name."""
        runs = self.get("runs")["runs"]
        return str(next(run["id"] for run in runs if run["name"] == name))

    def open(self, page: Page, path: str = "") -> None:
        """Go to a page, as one who came by the address that the command printed."""
        page.open(self.url + self._token)
        page.open(f"{self.url}/{path}")

    def view(self, page: Page, tab: str, *runs: str, **state: object) -> None:
        """Look at runs, by their names."""
        parts = [f"tab={tab}", *(f"run={self.run_id(name)}" for name in runs)]
        parts += [f"{name}={value}" for name, value in state.items()]
        self.open(page, f"view?{'&'.join(parts)}")

    def _read(self, found: queue.Queue[tuple[str, str] | None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.log.append(line)
            if not self._token and (match := _ADDRESS.search(line)):
                found.put((match[1], match[2]))
        found.put(None)
