"""The README and the pages of docs/: every block of code is run, in order, as a reader would."""

from __future__ import annotations

import re
from itertools import takewhile
from pathlib import Path

import pytest
from documents import FENCE, ROOT, Reader, agrees, blocks_of, check_blocks, documents

DOCUMENTS = documents()
WITH_BLOCKS = [document for document in DOCUMENTS if any(blocks_of(document))]
OF_A_SERVER = {"docs/http-api.md", "docs/server.md"}  # read by tests/test_docs_server.py
TAKE_LONG = {f"docs/guides/{page}.md" for page in ("lightning", "gymnasium", "mujoco")}
TAKE_LONG |= {"docs/cli.md", "docs/guides/datasets.md", "docs/remote.md"}
NEEDS_MORE = re.compile(r"import lightning|ml-dash (?:serve|ui|login)")  # README: what is below it
RECORDED = re.compile(r"""(?:Experiment|record)\(\s*(?:env, )?(?:prefix=)?f?"([\w/.-]+)""")
LARGEST_PICTURE = 200_000  # bytes
LANGUAGES = {"python", "sh", "text", "json", "toml", "ini", "nginx"}
DIRECTIVES = {"{toctree}", "{include}", "{eval-rst}"}  # for Sphinx: nothing that a reader runs

_LINK = re.compile(r"\]\(([^)#]+?)(?:#[^)]*)?\)")


@pytest.mark.parametrize("document", sorted({*WITH_BLOCKS} - OF_A_SERVER))
def test_the_blocks_of_a_document_do_what_it_says(document: str, tmp_path: Path) -> None:
    """Each block runs after those before it, and prints what is shown behind it."""
    check_blocks(document, Reader(tmp_path))


def in_order() -> list[str]:
    """README, then the pages that record runs on this machine, as the first page lists them."""
    listed = re.findall(r"^[\w/-]+$", (ROOT / "docs" / "index.md").read_text(), re.MULTILINE)
    pages = ["README.md", "docs/index.md", *(f"docs/{page}.md" for page in listed)]
    return [page for page in pages if page in WITH_BLOCKS and page not in OF_A_SERVER]


def test_the_pages_can_be_worked_through_in_one_folder(tmp_path: Path) -> None:
    """Each shows what it says also where those before it were read; its Python may run again."""
    for document in in_order():
        if document in TAKE_LONG:
            continue
        reader = Reader(tmp_path)
        blocks = [*takewhile(lambda block: not NEEDS_MORE.search(block.code), blocks_of(document))]
        again = [block._replace(printed=None) for block in blocks if block.language == "python"]
        try:
            for block in [*blocks, *again]:
                printed = reader.run(block)
                if block.printed is not None:
                    assert agrees(printed, block.printed), printed
        except AssertionError as error:
            raise AssertionError(f"{document}, line {block.line}: {error}") from None
        finally:
            reader.close()


def test_no_two_pages_record_into_one_run() -> None:
    """The prefixes that a page records under are those of no other page."""
    of: dict[str, str] = {}
    for document in in_order():
        code = "".join(block.code for block in blocks_of(document) if block.language == "python")
        for prefix in sorted({*RECORDED.findall(code)}):
            assert of.setdefault(prefix, document) == document, f"{prefix} in {document}, too"
    assert len(of) > 40


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
