"""The README and the pages of docs/: every block of code is run, in order, as a reader would."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from documents import FENCE, ROOT, Reader, blocks_of, check_blocks, documents

DOCUMENTS = documents()
WITH_BLOCKS = [document for document in DOCUMENTS if any(blocks_of(document))]
OF_A_SERVER = {"docs/http-api.md", "docs/server.md"}  # read by tests/test_docs_server.py
LARGEST_PICTURE = 200_000  # bytes
LANGUAGES = {"python", "sh", "text", "json", "toml", "ini", "nginx"}
DIRECTIVES = {"{toctree}", "{include}", "{eval-rst}"}  # for Sphinx: nothing that a reader runs

_LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", sorted({*WITH_BLOCKS} - OF_A_SERVER))
def test_the_blocks_of_a_document_do_what_it_says(document: str, tmp_path: Path) -> None:
    """Each block runs after those before it, and prints what is shown behind it."""
    check_blocks(document, Reader(tmp_path))


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
    languages = {language for text in texts for language, _ in FENCE.findall(text)}
    assert languages <= LANGUAGES | DIRECTIVES
    fences = sum(len(re.findall(r"^ *(?:```|~~~|:::)", text, re.MULTILINE)) for text in texts)
    assert fences == 2 * sum(len(FENCE.findall(text)) for text in texts), "a fence is not read"
