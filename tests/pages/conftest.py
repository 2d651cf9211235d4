"""A browser for each worker, and a page for each test, which fails if the page is in trouble."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium import webdriver

from .browser import Page, start_browser
from .site import HARNESS, STATIC, Site


@pytest.fixture(scope="session")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the browser saves."""
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="session")
def browser(downloads: Path) -> Iterator[webdriver.Chrome]:
    """A Chromium, started when the first test needs it."""
    driver = start_browser(downloads)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """The modules of the pages, and the page of the harness."""
    with Site(static=STATIC, harness=HARNESS) as found:
        yield found


@pytest.fixture
def page(browser: webdriver.Chrome, downloads: Path) -> Iterator[Page]:
    """An empty page. Its test fails if it logs an error, breaks its policy, or goes elsewhere."""
    found = Page(browser, downloads)
    yield found
    problems, unseen = found.problems(), found.unseen()
    found.close()
    assert not problems, problems
    assert not unseen, f"did not come: {unseen}"
