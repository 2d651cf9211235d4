"""The tree of files in a browser: folder by folder, however many there are."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ml_dash import Experiment

from .browser import Page
from .shown import Shown

pytestmark = pytest.mark.xdist_group("files")

MANY = 1030
"""Files of one folder: more than a page of them."""

COUNT = "document.querySelectorAll('.tree .item').length"
NAMES = "[...document.querySelectorAll('.tree summary')].map(e => e.firstChild.textContent)"
PRESS = "[...document.querySelectorAll('.tree button')].find(b => b.textContent === 'Show more')"


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A run with more files in one folder than a page has, and folders behind it."""
    root = tmp_path_factory.mktemp("runs")
    with Experiment("lab/many", dash_root=root, echo=False, environment=False).run as experiment:
        for number in range(MANY):
            experiment.files("many").save_blob(b"x", to=f"{number:05d}.txt")
        experiment.files("zebra/stripes").save_text("the last", to="end.txt")
    with Shown(root) as found:
        yield found


def test_folders_behind_thousands_of_files_are_seen_at_once(page: Page, shown: Shown) -> None:
    """The tree begins with all folders and their counts, and reads what is opened."""
    shown.view(page, "files", "many")
    page.wait_text(".tree", "end.txt")
    assert page.evaluate(NAMES) == ["many", "zebra", "stripes"]
    assert page.text(".tree summary").split() == ["many", "1", "030"]
    page.wait_text(".files .bar", "files")
    assert page.evaluate(COUNT) == 1


def test_a_folder_is_read_to_its_end(page: Page, shown: Shown) -> None:
    """The first page when it is opened, and what follows when it is asked for."""
    shown.view(page, "files", "many")
    page.wait_text(".tree", "end.txt")
    page.click(".tree summary")
    page.wait(f"{COUNT} === 1001")
    page.run(f"{PRESS}.click()")
    page.wait(f"{COUNT} === {MANY + 1}")
    assert page.evaluate(f"{PRESS} === undefined")
    assert page.evaluate("document.querySelector('.tree [data-path=\"many/01029.txt\"]') !== null")


def test_a_link_to_a_file_opens_its_folder(page: Page, shown: Shown) -> None:
    """It is shown, also where it is not on the first page of its folder."""
    shown.view(page, "files", "many", file="many/01029.txt")
    page.wait_text(".shown", "many/01029.txt")
    page.wait_text(".shown pre", "x")
    page.wait(f"{COUNT} === 1001")


def test_a_search_goes_through_all_folders(page: Page, shown: Shown) -> None:
    """What is found has its whole path; without words the tree is there again."""
    shown.view(page, "files", "many")
    page.wait_text(".tree", "end.txt")
    page.type(".files input", "0102")
    page.wait_text(".files .bar", "11 files")
    assert "many/01029.txt" in page.text(".tree")
    page.type(".files input", " ")
    page.wait_text(".tree", "zebra")
