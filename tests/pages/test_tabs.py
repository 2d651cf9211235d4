"""The other tabs of a run in a browser: overview, params, logs, files."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from ml_dash import Experiment

from .browser import Page
from .recording import MARKUP, record
from .shown import Shown

pytestmark = pytest.mark.xdist_group("tabs")

HTML = "<html><script>document.title='run'</script></html>"


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Two runs that differ in one param, and one of hostile names."""
    root = tmp_path_factory.mktemp("runs")
    record(root, "lab/one", steps=30)
    record(root, "lab/two", steps=30, run=1)
    hostile = Experiment(f"lab/{MARKUP}", dash_root=root, echo=False, description=MARKUP)
    with hostile.run as experiment:
        experiment.params.set({MARKUP: MARKUP})
        experiment.log(MARKUP, level="warn")
        experiment.files("").save_text(MARKUP, to="README.md")
        experiment.files("pages").save_text(HTML, to="page.html")
        experiment.files("pages").save_text("", to="empty.txt")
        experiment.files("pages").save_text(
            '<svg xmlns="http://www.w3.org/2000/svg" onload="document.title=1"/>', to="x.svg"
        )
        experiment.files(MARKUP).save_image(np.zeros((4, 4, 3), np.uint8), to="a.png")
    with Shown(root) as found:
        yield found


def press(page: Page, text: str) -> None:
    """Click on what reads so."""
    script = """
        const all = [...document.querySelectorAll('button, summary, a, label')];
        all.find((one) => one.textContent.trim().startsWith(arguments[0])).click();
    """
    page.run(script, text)


def test_the_overview_tells_who_what_and_when(page: Page, shown: Shown) -> None:
    """Status, host, commit, last values and the environment of the recording process."""
    shown.view(page, "overview", "one")
    page.wait_text(".run-card", "Environment")
    text = page.text(".run-card")
    for part in ("lab/one", "completed", "Host", "recorded", "train.loss", "python version"):
        assert part in text


def test_the_environment_is_that_of_the_last_session(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many rows about the run lie before it, such as heartbeats."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        with Experiment("lab/resumed", dash_root=tmp_path / "runs", echo=False).run as experiment:
            for number in range(220):
                experiment.run.update(metadata={"number": number})
    with Shown(tmp_path / "runs") as own:
        own.view(page, "overview", "resumed")
        page.wait_text(".run-card", "Environment")
        assert str(tmp_path / "second") in page.text(".run-card")
        page.leave()


def test_params_of_one_run_are_all_shown(page: Page, shown: Shown) -> None:
    """Nested ones by their path; those that are searched for remain."""
    shown.view(page, "params", "one")
    page.wait_text("#pane", "model.layers")
    page.type("#pane input[type=search]", "lr")
    page.wait("document.querySelectorAll('[data-param]').length === 1")


def test_params_of_two_runs_show_their_differences(page: Page, shown: Shown) -> None:
    """What is equal is hidden until it is asked for."""
    shown.view(page, "params", "one", "two")
    page.wait("document.querySelectorAll('[data-param]').length === 1")
    assert page.evaluate("document.querySelector('#pane table').ariaLabel") == "Params"
    assert "0.001" in page.text("[data-param=lr]")
    assert "0.002" in page.text("[data-param=lr]")
    page.click("#pane input[type=checkbox]")
    page.wait("document.querySelectorAll('[data-param]').length === 3")


def test_messages_come_in_pages_as_one_scrolls(page: Page, shown: Shown) -> None:
    """The newest are there first; the oldest once one has scrolled up."""
    shown.view(page, "logs", "one")
    page.wait_text(".messages", "message 449")
    assert page.evaluate("document.querySelectorAll('.message').length") == 200
    page.wait(
        """(() => {
          const list = document.querySelector('.messages');
          list.scrollTop = 1;
          list.scrollTop = 0;
          return document.querySelectorAll('.message').length === 450;
        })()"""
    )
    texts = page.evaluate("[...document.querySelectorAll('.text')].map((one) => one.textContent)")
    assert texts == [f"message {number}" for number in range(450)]


def test_messages_are_found_by_level_and_text(page: Page, shown: Shown) -> None:
    """Both narrow what is shown, and are in the address."""
    shown.view(page, "logs", "one", level="error")
    page.wait("document.querySelectorAll('.message').length === 1")
    assert "message 400" in page.text(".messages")
    shown.view(page, "logs", "one")
    page.wait_text(".messages", "message 449")
    page.type("#pane input[type=search]", "message 44")
    page.wait("document.querySelectorAll('.message').length === 11")
    page.wait("location.search.includes('search=')")


def test_messages_that_come_are_all_shown(page: Page, tmp_path: Path) -> None:
    """The first of a run, in place of the word that there are none; and many at once."""
    count = "document.querySelectorAll('.message').length"
    made = Experiment("lab/live", dash_root=tmp_path, echo=False, environment=False)
    with made.run as experiment, Shown(tmp_path) as live:
        live.view(page, "logs", "live")
        page.wait_text("#pane", "Nothing was logged.")
        for begin, end in ((0, 1), (1, 901)):
            for number in range(begin, end):
                experiment.log(f"message {number}")
            experiment.flush()
            page.wait(f"{count} === {end}")
            assert "Nothing was logged." not in page.text("#pane")
        texts = "[...document.querySelectorAll('.text')].map((one) => one.textContent)"
        assert page.evaluate(texts) == [f"message {number}" for number in range(901)]
        page.leave()


def test_a_message_leads_to_its_step(page: Page, shown: Shown) -> None:
    """The number before a message moves the cursor of all tabs."""
    shown.view(page, "logs", "one", level="error")
    page.wait("document.querySelectorAll('.message').length === 1")
    press(page, "#10")
    page.wait("location.search.includes('step=10')")


def test_files_are_shown_and_saved(page: Page, shown: Shown) -> None:
    """Text, JSON and pictures on the page; anything as a download, byte for byte."""
    shown.view(page, "files", "one")
    page.wait_text(".tree", "results")
    page.click('[data-path="results/notes.md"]')
    page.wait_text(".shown", "# What this is")
    press(page, "Download")
    assert page.saved("notes.md") == b"# What this is\n"
    page.click('[data-path="results/summary.json"]')
    page.wait_text(".shown pre", '"mean": [')
    shown.view(page, "files", "one", file="front/frame_00002.png")
    page.wait("document.querySelector('.shown img')?.naturalWidth === 32")


def test_an_empty_file_says_so(page: Page, shown: Shown) -> None:
    """Nothing below its name could as well be a failure."""
    shown.view(page, "files", MARKUP, file="pages/empty.txt")
    page.wait_text(".shown", "This file is empty.")


def test_a_picture_is_let_go_when_another_file_is_shown(page: Page, shown: Shown) -> None:
    """However many are looked at, one is held."""
    shown.view(page, "files", "one", file="front/frame_00002.png")
    page.wait("document.querySelector('.shown img')?.naturalWidth === 32")
    page.run(
        """
        window.freed = [];
        const free = URL.revokeObjectURL;
        URL.revokeObjectURL = (url) => { freed.push(url); free.call(URL, url); };
        """
    )
    source = page.evaluate("document.querySelector('.shown img').src")
    page.click('[data-path="results/notes.md"]')
    page.wait_text(".shown", "# What this is")
    assert page.evaluate("freed") == [source]


def test_the_tree_is_searched(page: Page, shown: Shown) -> None:
    """Part of a name is enough."""
    shown.view(page, "files", "one")
    page.wait_text(".tree", "results")
    page.type("#pane input[type=search]", "summary")
    page.wait_text(".files .bar", "1 file")


def test_nothing_of_a_run_becomes_a_part_of_the_page(page: Page, shown: Shown) -> None:
    """Markup in description, params, messages, names and files is shown as it was written."""
    for tab, place in (("overview", ".run-card"), ("params", "#pane"), ("logs", ".messages")):
        shown.view(page, tab, MARKUP)
        page.wait_text(place, MARKUP)
        assert page.evaluate("document.querySelectorAll('main img').length") == 0
    shown.view(page, "files", MARKUP, file="pages/page.html")
    page.wait_text(".shown pre", HTML)
    assert page.evaluate("document.title") != "run"


@pytest.mark.parametrize("name", ["pages/page.html", "pages/x.svg"])
def test_a_file_that_is_a_page_is_saved_and_not_opened(page: Page, shown: Shown, name: str) -> None:
    """Its address leads to a download, under a policy that lets nothing run."""
    run = shown.run_id(MARKUP)
    answer = shown._session.get(f"{shown.url}/api/v1/runs/{run}/files/{name}", timeout=30)
    assert answer.headers["Content-Disposition"].startswith("attachment")
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "html" not in answer.headers["Content-Type"]
    assert "svg" not in answer.headers["Content-Type"]


def test_a_run_that_is_not_there_says_so(page: Page, shown: Shown) -> None:
    """A message with what to do, no empty page."""
    page.expect("404")
    shown.open(page, "view?run=123")
    page.wait_text("main", "no run '123'")


def test_a_server_that_went_away_is_told(page: Page, tmp_path: Path) -> None:
    """The page says so and offers to try again."""
    record(tmp_path, "lab/one", steps=5)
    with Shown(tmp_path) as own:
        own.view(page, "overview", "one")
        page.wait_text(".run-card", "Environment")
    page.expect("ERR_CONNECTION_REFUSED")
    press(page, "Params")
    page.wait_text("main", "does not")
    assert "Try again" in page.text("main")
