"""The page of the tests sees what it has to see."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from .browser import Page

POLICY = "default-src 'none'; script-src 'self'; img-src 'self' data:"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[Path, str]]:
    """A folder, and the address under which a server of its own shows it."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def end_headers(self) -> None:
            self.send_header("Content-Security-Policy", POLICY)
            super().end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Handler, directory=tmp_path)
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield tmp_path, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def show(site: tuple[Path, str], html: str, script: str = "") -> str:
    """The address of a page."""
    folder, url = site
    folder.joinpath("own.js").write_text(script)
    head = '<link rel="icon" href="data:,"><script src="own.js"></script>'
    folder.joinpath("page.html").write_text(f"<!doctype html>{head}<body>{html}")
    return f"{url}/page.html"


def test_a_quiet_page_has_no_problems(page: Page, site: tuple[Path, str]) -> None:
    """A page that does nothing wrong has nothing to complain about."""
    page.open(show(site, "fine", "console.log('well'); console.warn('hm')"))
    assert page.text() == "fine"
    assert page.problems() == []


@pytest.mark.parametrize(
    ("html", "script", "problem"),
    [
        ("", "console.error('broken')", "broken"),
        ("", "throw new TypeError('thrown')", "TypeError: thrown"),
        ("", "Promise.reject(new Error('late'))", "late"),
        ("<script>1</script>", "", "Content Security Policy"),
        ("<p style='color: red'>", "", "Content Security Policy"),
        ("", "setTimeout('1')", "Content Security Policy"),
        ("<img src='https://example.org/x.png'>", "", "Content Security Policy|leaves the"),
        ("<script src='missing.js'></script>", "", "404"),
    ],
)
def test_trouble_is_seen(
    page: Page, site: tuple[Path, str], html: str, script: str, problem: str
) -> None:
    """Errors, refused promises, violations of the policy and missing files are problems."""
    page.expect(problem)
    page.open(show(site, html, script))
    page.wait(lambda: page.problems() or not page.unseen())


def test_a_request_that_leaves_the_machine_is_seen(page: Page, site: tuple[Path, str]) -> None:
    """A link that leads away is not followed, and is a problem."""
    page.expect("request: https?://example.org/ leaves the machine")
    page.open(show(site, "", "setTimeout(() => { location = 'http://example.org/' })"))
    page.wait(lambda: page.problems() or not page.unseen())


def test_nothing_is_left_of_the_test_before(page: Page, site: tuple[Path, str]) -> None:
    """What a page stores is gone once its test has ended."""
    address = show(site, "")
    page.open(address)
    page.run("localStorage.setItem('a', '1'); document.cookie = 'b=1'")
    page.close()
    page.open(address)
    assert page.evaluate("[localStorage.length, document.cookie]") == [0, ""]
