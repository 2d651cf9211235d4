"""The documentation as a whole: it builds, its links lead somewhere, it names what there is."""

from __future__ import annotations

import ast
import html
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from documents import FENCE, ROOT, Reader, blocks_of
from once import made_once
from PIL import Image

from ml_dash import wire
from ml_dash.export import FORMATS
from ml_dash.server.problems import CODES

DOCS = ROOT / "docs"
PUBLIC = ("ml_dash", "ml_dash.auto_start", "ml_dash_lightning", "ml_dash_gymnasium")
PUBLIC += ("ml_dash_mujoco",)
CAMERAS = {"one": "exactly one", "all": "all, or those named", "named": "those named"}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pages as `make docs` makes them; a warning fails."""
    return made_once(tmp_path_factory, "pages", build)


def build(folder: Path) -> None:
    """Build the pages into a folder."""
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E", "-b", "html"]
    done = subprocess.run(
        [*command, "-d", f"{folder}-read", str(DOCS), str(folder)],
        cwd=ROOT,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=250,
    )
    assert done.returncode == 0, done.stderr


class Page(HTMLParser):
    """Where a page leads to, and the places in it that can be led to."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: list[str] = []
        self.places: set[str] = set()
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value:
                self.links.append(value)
            elif name == "id" and value:
                self.places.add(value)


def test_the_pages_build_without_a_warning_and_all_are_reached(built: Path) -> None:
    """Every page of docs/ is made, and links lead there from the first one."""
    pages = {built / path.relative_to(DOCS).with_suffix(".html") for path in DOCS.rglob("*.md")}
    assert all(page.is_file() for page in pages)
    reached, waiting = set(), [built / "index.html"]
    while waiting:
        page = waiting.pop()
        if page in pages - reached:
            reached.add(page)
            links = map(urlsplit, Page(page).links)
            waiting += [(page.parent / link.path).resolve() for link in links if not link.netloc]
    assert reached == pages


def test_links_within_the_pages_lead_somewhere(built: Path) -> None:
    """Files, pages, and the places within them that links name are there."""
    pages = {path: Page(path) for path in built.rglob("*.html")}
    gone = []
    for path, page in pages.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            place = unquote(parts.fragment)
            if not target.exists() or (
                place and target in pages and place not in pages[target].places
            ):
                gone.append(f"{path.relative_to(built)}: {link}")
    assert len(pages) > 20
    assert gone == []


@pytest.mark.parametrize("package", PUBLIC)
def test_every_public_name_stands_in_the_reference(package: str, built: Path) -> None:
    """Whatever a public package names in `__all__` has an entry of its own."""
    places: set[str] = set()
    for path in (built / "reference").glob("*.html"):
        places |= Page(path).places
    names = names_of(package)
    assert names
    assert {f"{package}.{name}" for name in names} <= places


def names_of(package: str) -> list[str]:
    """What a package names in `__all__`, without loading the framework that it is for."""
    found = find_spec(package)
    assert found is not None and found.origin is not None
    for node in ast.parse(Path(found.origin).read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name("__all__")], value=value):
                return list(ast.literal_eval(value))
    return []


def test_nothing_private_stands_in_the_reference(built: Path) -> None:
    """No entry has a name that begins with an underscore, but calls and the version."""
    places: set[str] = set()
    for path in (built / "reference").glob("*.html"):
        places |= {place for place in Page(path).places if place.startswith("ml_dash")}
    private = {place for place in places if re.search(r"\._(?!_call__|_version__)", place)}
    assert len(places) > 200
    assert private == set()


def test_every_entry_shows_its_own_arguments(built: Path) -> None:
    """None is told as another name of something, none has arguments that are not for users."""
    for path in (built / "reference").glob("*.html"):
        text = re.sub(r"<[^>]+>", "", path.read_text())
        assert "alias of" not in text, path.name
        assert not re.search(r"\b_\w+: \w+ =", html.unescape(text)), path.name
    text = re.sub(r"<[^>]+>", "", (built / "reference" / "experiment.html").read_text())
    assert "frames_every: int | None" in text


def test_the_tables_of_formats_are_those_of_the_code() -> None:
    """Each format of an export, and each option, stands in the reference with its meaning."""
    text = (DOCS / "reference" / "datasets.md").read_text()
    for format in FORMATS.values():
        assert f"| `{format.name}` | {format.summary} | {CAMERAS[format.cameras]} |" in text
        for option, meaning in format.options.items():
            found = re.search(rf"^\| `{option}` \| (.*) \| {re.escape(meaning)} \|$", text, re.M)
            assert found and f"`{format.name}`" in found[1], option


def test_the_picture_of_the_first_page_is_made_by_its_code(tmp_path: Path) -> None:
    """What a newcomer's first script draws is what the page shows."""
    reader = Reader(tmp_path)
    for block in blocks_of("docs/get-started.md"):
        if block.language == "python":
            reader.run(block)
    reader.close()
    drawn = np.asarray(Image.open(tmp_path / "aligned.png"), np.int16)
    shown = np.asarray(Image.open(DOCS / "images" / "get_started.png"), np.int16)
    assert drawn.shape == shown.shape
    assert np.abs(drawn - shown).mean() < 2, "make docs/images/get_started.png anew"


def test_every_word_for_an_error_stands_on_the_page_of_the_api() -> None:
    """Programs can know each `code` that the server gives."""
    text = (DOCS / "http-api.md").read_text().partition("## Errors")[2].partition("## Runs")[0]
    sources = "".join(path.read_text() for path in (ROOT / "ml_dash" / "server").rglob("*.py"))
    words = {*CODES.values(), *re.findall(r'\bcode="(\w+)"', sources)}
    assert words | {"error"} == wire.CODES, "by which a client knows what the server has said"
    assert {word for word in words if f"`{word}`" not in text} == set()


# -- messages that the page on troubleshooting quotes ---------------------------------------------

FROM_ELSEWHERE = ("Can't pickle local object", "Address already in use", "Permission denied")
FROM_ELSEWHERE += ("No space left on device", "Operation not supported")
"""What the operating system or Python says within a message of ours."""

MOST_WORDS = 2
"""Of a message that no text of the code has: a value, and what it is called."""

SHORTEST = 6
"""Characters of a text that is looked for."""


def templates() -> Iterator[list[str]]:
    """The texts of the code, each as what stands between the values that are put into it."""
    folders = (ROOT / "ml_dash", ROOT / "integrations")
    for path in (path for folder in folders for path in folder.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, (ast.Constant, ast.JoinedStr, ast.BinOp)):
                pieces = re.split(r"\0|%[srd]|\{\w*\}", text_of(node))
                yield [piece for piece in pieces if piece]


def text_of(node: ast.AST) -> str:
    """The text of an expression, with a zero byte where a value goes."""
    match node:
        case ast.Constant(value=str(text)):
            return text
        case ast.JoinedStr(values=values):
            return "".join(map(text_of, values))
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return text_of(left) + text_of(right)
    return "\0"


def without(message: str, pieces: list[str]) -> str | None:
    """The message with zero bytes in place of pieces that it has in this order; `None` if not."""
    spans, start = [], 0
    for piece in pieces:
        found = message.find(piece, start)
        if found < 0:
            return None
        spans.append((found, found + len(piece)))
        start = spans[-1][1]
    for begin, end in spans:
        message = message[:begin] + "\0" * (end - begin) + message[end:]
    return message


def quoted() -> list[str]:
    """The messages on the page, each on one line."""
    blocks = FENCE.findall((DOCS / "troubleshooting.md").read_text())
    texts = [" ".join(code.split()) for language, code in blocks if language == "text"]
    return [text for text in texts if not text.startswith("ml-dash ")]


def unknown_to_the_code(message: str, known: list[list[str]]) -> list[str]:
    """Stretches of a message that are longer than a value, and in no text of the code."""
    left = list(message)
    for pieces in known:
        for place, character in enumerate(without(message, pieces) or ""):
            if character == "\0":
                left[place] = "\0"
    rest = "".join(left)
    for text in FROM_ELSEWHERE:
        rest = rest.replace(text, "")
    rest = re.sub(r"'[^' ]*'|\([^)]*\)|[\d,]+", "", rest)
    return [part for part in rest.split("\0") if len(re.findall(r"[\w/.]+", part)) > MOST_WORDS]


def test_the_messages_of_the_page_on_troubleshooting_are_those_of_the_code() -> None:
    """Each message quoted there consists of texts of the code and of short values."""
    known = [pieces for pieces in templates() if any(" " in piece for piece in pieces)]
    known = [pieces for pieces in known if sum(map(len, pieces)) >= SHORTEST]
    messages = quoted()
    unknown = {message: unknown_to_the_code(message, known) for message in messages}
    assert len(messages) >= 40
    assert {message: parts for message, parts in unknown.items() if parts} == {}
