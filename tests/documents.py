"""Somebody who reads a document and runs its blocks, in order, as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import requests
from dash_server import Person, ServerProcess

ROOT = Path(__file__).parents[1]
SERVER = "http://127.0.0.1:3000"
"""Where a server is as the documents have it."""

FENCE = re.compile(r"^```(\{[\w-]+\}|\w*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
"""A fenced block: its language, or the directive in braces that only Sphinx reads, and its text."""
_LINK = re.compile(r"/welcome\?token=(\S+)")
_CODE = re.compile(r"^enter +(\S+)", re.MULTILINE)

# Runs blocks of code in one namespace, as if they were pasted into one interpreter.
RUNNER = """
import contextlib, io, json, sys, traceback, warnings
warnings.filterwarnings("ignore", module="lightning")  # its advice on workers and the like
answers, names = sys.stdout, {"__name__": "__main__"}
for request in sys.stdin:
    error, printed = "", io.StringIO()
    with contextlib.redirect_stdout(printed):
        try:
            exec(compile(json.loads(request), "block", "exec"), names)
        except BaseException:
            error = traceback.format_exc()
    print(json.dumps([printed.getvalue(), error]), file=answers, flush=True)
"""


class Block(NamedTuple):
    """A fenced block, and what the `text` block right behind it says that it prints."""

    language: str
    code: str
    line: int
    printed: str | None


class Reader:
    """Somebody who runs the blocks of one document, in a folder of their own.

    Args:
        folder: theirs.
        server: one that runs already; else `ml-dash serve` starts one.
        token: for it.
    """

    def __init__(self, folder: Path, server: ServerProcess | None = None, token: str = "") -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ML_DASH_")}
        self._environment = {**kept, "HOME": str(folder / "home"), "COLUMNS": "100", "TZ": "UTC"}
        self._environment["PYTHON_KEYRING_BACKEND"] = "keyring.backends.null.Keyring"
        self._environment.pop("XDG_CONFIG_HOME", None)
        if token:
            self._environment["ML_DASH_TOKEN"] = token
        self._folder = folder
        self._server, self._own_server = server, False
        self._user: Person | None = None
        self._python = subprocess.Popen(
            [sys.executable, "-W", "error", "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=folder,
            env=self._environment,
        )

    def run(self, block: Block) -> str:
        """Run a block; what it printed. An error fails the test."""
        if block.language == "python":
            return self._shown(self._run_python(self._meant(block.code)))
        lines = self._meant(block.code).splitlines()
        return self._shown("".join(map(self._run_command, lines)))

    def close(self) -> None:
        """Let the interpreter end as one does."""
        try:
            self._python.communicate(timeout=60)
            assert self._python.returncode == 0
        finally:
            if self._server is not None and self._own_server:
                self._server.stop()

    def _meant(self, code: str) -> str:
        """With the address at which the server really is."""
        return code if self._server is None else code.replace(SERVER, self._server.url)

    def _shown(self, printed: str) -> str:
        return printed if self._server is None else printed.replace(self._server.url, SERVER)

    def _run_python(self, code: str) -> str:
        assert self._python.stdin is not None and self._python.stdout is not None
        print(json.dumps(code), file=self._python.stdin, flush=True)
        answer = self._python.stdout.readline()
        assert answer, "the interpreter is gone"
        printed, error = json.loads(answer)
        assert not error, error
        return printed

    def _run_command(self, line: str) -> str:
        # What other programs do with it, behind a pipe, is their affair.
        words = shlex.split(re.split(r" (?:\||&&) ", line)[0], comments=True)
        match words:
            case []:
                return ""
            case ["ml-dash", "serve", *options]:
                self._serve(options)
            case ["ml-dash", "ui", *options]:
                self._look(options)
            case ["ml-dash", "login", *arguments]:
                self._login(arguments)
            case ["ml-dash", *arguments]:
                return self._run_ml_dash(arguments)
            case ["make", target, *_]:
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            case ["pip", "install", *targets]:
                check_install(targets[-1])
            case ["git", "clone", _, folder] | ["cd", folder]:
                assert folder == "ml-dash"
            case ["python3", "-m", "venv", folder]:
                assert folder == ".venv"
            case ["source", ".venv/bin/activate"]:
                pass
            case _:
                pytest.fail(f"a command that is not tested: {line}")
        return ""

    def _serve(self, options: list[str]) -> None:
        """Start a server, and set the administrator's password by the link that it prints."""
        assert options == [], "give the options to ServerProcess"
        self._server = ServerProcess(self._folder / "ml-dash-server").start()
        self._own_server = True
        found = _LINK.search("".join(self._server.log))
        assert found is not None, self._server.log
        self._user = Person(self._server, "admin", found[1])

    def _look(self, options: list[str]) -> None:
        """Start the pages over the folder, and load them once."""
        words = [sys.executable, "-m", "ml_dash", "ui", *options, "--port", "0", "--no-browser"]
        (self._folder / ".dash").mkdir(exist_ok=True)
        with subprocess.Popen(
            words, cwd=self._folder, env=self._environment, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stderr is not None
            line = process.stderr.readline()
            address = line[line.find("http") :].strip()
            page = requests.get(address, timeout=30)
            process.terminate()
        assert page.ok, line
        assert "ML-Dash" in page.text

    def _login(self, arguments: list[str]) -> None:
        """Log in, and type the code into the page."""
        assert self._user is not None, "a login comes after the server's start"
        with subprocess.Popen(
            [sys.executable, "-m", "ml_dash", "login", *map(self._meant, arguments)],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            assert process.stdout is not None
            said = ""
            while not (found := _CODE.search(said)):
                line = process.stdout.readline()
                assert line, said
                said += line
            self._user.answer(found[1])
            said += process.stdout.read()
        assert process.returncode == 0, said

    def _run_ml_dash(self, arguments: list[str]) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "ml_dash", *arguments],
            cwd=self._folder,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, f"ml-dash {shlex.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout


def check_install(target: str) -> None:
    """A `pip install` installs this package, with extras that it has."""
    found = re.fullmatch(r"\.(?:\[([\w,]+)\])?", target)
    assert found, target
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert {*(found[1] or "").split(",")} <= {"", *project["optional-dependencies"]}


def documents() -> list[str]:
    """The README and all pages, by their paths in the repository."""
    pages = (path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").rglob("*.md"))
    return ["README.md", *sorted(pages)]


def blocks_of(document: str) -> Iterator[Block]:
    """The blocks of a document that somebody could run."""
    text = (ROOT / document).read_text()
    fences = list(FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None], strict=False):
        adjacent = following and not text[fence.end() : following.start()].strip()
        printed = following[2] if following and adjacent and following[1] == "text" else None
        if fence[1] in ("python", "sh"):
            yield Block(fence[1], fence[2], text.count("\n", 0, fence.start()) + 1, printed)


def agrees(printed: str, shown: str) -> bool:
    """Whether a block printed what the document shows, where `…` stands for anything."""
    pattern = ".*".join(map(re.escape, shown.strip().split("…")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


def check_blocks(document: str, reader: Reader) -> None:
    """Each block of a document runs after those before it, and prints what is shown behind it."""
    try:
        for block in blocks_of(document):
            try:
                printed = reader.run(block)
            except AssertionError as error:
                raise AssertionError(f"{document}, line {block.line}: {error}") from None
            if block.printed is not None:
                where = f"{document}, line {block.line}, prints"
                assert agrees(printed, block.printed), f"{where}\n{printed}"
    finally:
        reader.close()
