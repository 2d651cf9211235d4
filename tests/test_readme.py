"""The README and the pages of docs/: every block of code is run, in order, as a reader would."""

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

ROOT = Path(__file__).parents[1]
DOCUMENTS = ["README.md", *sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))]
LARGEST_PICTURE = 200_000  # bytes

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```\n", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")

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
    """Somebody who runs the blocks of one document, in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("ML_DASH_")}
        self._environment = {**kept, "HOME": str(folder / "home"), "COLUMNS": "100", "TZ": "UTC"}
        self._environment.pop("XDG_CONFIG_HOME", None)
        self._folder = folder
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
            return self._run_python(block.code)
        return "".join(map(self._run_command, block.code.splitlines()))

    def close(self) -> None:
        """Let the interpreter end as one does."""
        self._python.communicate(timeout=60)
        assert self._python.returncode == 0

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
            case ["ml-dash", *arguments]:
                return self._run_ml_dash(arguments)
            case ["make", target, *_]:
                assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)
            case ["pip", "install", *targets]:
                check_install(targets[-1])
            case _:
                pytest.fail(f"a command that is not tested: {line}")
        return ""

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


def blocks_of(document: str) -> Iterator[Block]:
    """The blocks of a document that somebody could run."""
    text = (ROOT / document).read_text()
    fences = list(_FENCE.finditer(text))
    for fence, following in zip(fences, [*fences[1:], None], strict=True):
        adjacent = following and not text[fence.end() : following.start()].strip()
        printed = following[2] if following and adjacent and following[1] == "text" else None
        if fence[1] in ("python", "sh"):
            yield Block(fence[1], fence[2], text.count("\n", 0, fence.start()) + 1, printed)


def agrees(printed: str, shown: str) -> bool:
    """Whether a block printed what the document shows, where `…` stands for anything."""
    pattern = ".*".join(map(re.escape, shown.strip().split("…")))
    return re.fullmatch(pattern, printed.strip(), re.DOTALL) is not None


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_blocks_of_a_document_do_what_it_says(document: str, tmp_path: Path) -> None:
    """Each block runs after those before it, and prints what is shown behind it."""
    reader = Reader(tmp_path)
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


@pytest.mark.parametrize("document", [*DOCUMENTS, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_what_a_document_names_is_there(document: str) -> None:
    """Links lead to files of the repository, and so do tests and examples that are named."""
    text = (ROOT / document).read_text()
    folder = (ROOT / document).parent
    links = [link for link in _LINK.findall(text) if "://" not in link]
    named = re.findall(r"`((?:tests|examples|ml_dash|tools)/[\w/]*\.(?:py|sh|xml))`", text)
    gone = [link for link in links if not (folder / link).exists()]
    gone += [name for name in named if not (ROOT / name).exists()]
    assert gone == []


def test_pictures_are_small() -> None:
    """A clone is not made heavy by pictures."""
    sizes = {path.name: path.stat().st_size for path in (ROOT / "docs" / "images").iterdir()}
    assert sizes and max(sizes.values()) < LARGEST_PICTURE, sizes


def test_every_kind_of_block_is_known() -> None:
    """No block escapes being run because its language is spelled otherwise."""
    texts = [(ROOT / document).read_text() for document in DOCUMENTS]
    languages = {language for text in texts for language, _ in _FENCE.findall(text)}
    assert languages <= {"python", "sh", "text", "json", "toml"}
