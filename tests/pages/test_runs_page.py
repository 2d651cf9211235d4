"""The table of runs in a browser: found, sorted, grouped, compared, followed, tagged, deleted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment

from .browser import Page
from .recording import MARKUP
from .shown import Shown

pytestmark = pytest.mark.xdist_group("runs_page")

NAMES = "[...document.querySelectorAll('tbody tr[data-id] a')].map((link) => link.textContent)"


def make(root: Path, name: str, lr: float, tags: tuple[str, ...] = ()) -> None:
    """A run of one metric."""
    with Experiment(f"lab/{name}", dash_root=root, echo=False, tags=[*tags]).run as experiment:
        experiment.params.set(lr=lr, depth=2)
        experiment.metrics("train").log(loss=lr * 2, step=1)


def fill(root: Path) -> None:
    """Four runs; one failed, one is called by markup."""
    make(root, "alpha", 0.1, ("baseline",))
    make(root, "beta", 0.001)
    make(root, MARKUP, 0.01, (MARKUP,))
    with (
        pytest.raises(ZeroDivisionError),
        Experiment("lab/broken", dash_root=root, echo=False).run as experiment,
    ):
        experiment.params.set(lr=0.5)
        _ = 1 / 0


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A folder that nothing is changed in."""
    root = tmp_path_factory.mktemp("runs")
    fill(root)
    with Shown(root) as found:
        yield found


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Shown]:
    """A folder that may be changed."""
    fill(tmp_path / "runs")
    with Shown(tmp_path / "runs", ["--edit"]) as found:
        yield found


def wait_names(page: Page, *names: str) -> None:
    """Wait until these runs are shown, in this order."""
    page.wait(f"JSON.stringify({NAMES}) === JSON.stringify(arguments[0])", list(names))


def row(page: Page, name: str) -> str:
    """What the row of a run reads."""
    script = (
        "[...document.querySelectorAll('tbody tr')].find(r => r.textContent.includes(arguments[0]))"
    )
    return str(page.wait(f"({script})?.textContent", name))


def test_a_row_tells_what_became_of_a_run(page: Page, shown: Shown) -> None:
    """Status with the exception, tags, and text that looks like markup as text."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    assert "failed: ZeroDivisionError: division by zero" in row(page, "broken")
    assert "completed" in row(page, "alpha")
    assert "baseline" in row(page, "alpha")
    assert page.evaluate("document.querySelectorAll('main img').length") == 0
    assert page.text("[role=status]") == "4 runs"


def test_runs_are_filtered_and_searched(page: Page, shown: Shown) -> None:
    """The filter of the issue, words, and a mistake, which is told where it is."""
    shown.open(page)
    page.type("input[type=search]", "lr > 1e-3 and tag:baseline")
    wait_names(page, "alpha")
    assert "filter=" in page.url
    page.type("input[type=search]", "bet")
    wait_names(page, "beta")
    page.type("input[type=search]", "no such run")
    page.wait_text("main", "No run matches")
    page.expect(r"422")
    page.type("input[type=search]", "lr > >")
    page.wait(
        "document.querySelector('input[type=search]').getAttribute('aria-invalid') === 'true'"
    )
    assert page.text(".state.bad")
    assert page.evaluate("document.querySelector('main .bar [role=status]').textContent") == ""
    page.type("input[type=search]", "bet")
    wait_names(page, "beta")
    page.wait_text("main .bar [role=status]", "1 run")
    assert page.find("input[type=search]").get_attribute("aria-invalid") == "false"


def test_an_address_opens_the_same_table(page: Page, shown: Shown) -> None:
    """Filter and order are in the address."""
    shown.open(page, "?filter=lr%20%3C%200.2&sort=params.lr")
    wait_names(page, "beta", MARKUP, "alpha")


def test_a_click_on_a_head_sorts(page: Page, shown: Shown) -> None:
    """Once upward, twice downward, and the head says so."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    head = "thead th:nth-child(2)"
    page.click(f"{head} button")
    wait_names(page, MARKUP, "alpha", "beta", "broken")
    assert page.evaluate(f"document.querySelector('{head}').ariaSort") == "ascending"
    page.click(f"{head} button")
    wait_names(page, "broken", "beta", "alpha", MARKUP)


def test_params_and_metrics_become_columns_that_stay(page: Page, shown: Shown) -> None:
    """A column is chosen, shows its values, and is there after the page was loaded again."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    page.run("document.querySelector('.menu button').click()")
    for label in ("params.lr", "metrics.train.loss"):
        page.run(
            "[...document.querySelectorAll('.menu label')].find(l => l.textContent.trim() === "
            "arguments[0]).querySelector('input').click()",
            label,
        )
    page.wait_text("thead", "train.loss")
    assert "0.1" in row(page, "alpha")
    assert "0.2" in row(page, "alpha")
    shown.open(page)
    page.wait_text("thead", "train.loss")
    page.run("localStorage.clear()")


def test_runs_are_grouped(page: Page, shown: Shown) -> None:
    """Those of one value stand below its title."""
    shown.open(page, "?group=status&sort=name")
    wait_names(page, MARKUP, "alpha", "beta", "broken")
    titles = page.evaluate(
        "[...document.querySelectorAll('tr.group')].map((one) => one.textContent)"
    )
    assert titles == ["status: completed", "status: failed"]


def test_chosen_runs_are_compared(page: Page, shown: Shown) -> None:
    """By keys alone: two rows are chosen, and the page of curves opens with both."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    page.run("document.querySelectorAll('tbody tr[data-id]')[2].focus()")
    page.press(" ", "ARROW_DOWN", " ")
    page.wait_text("main", "Compare 2")
    page.run("[...document.querySelectorAll('a')].find(a => a.textContent === 'Compare 2').click()")
    page.wait("location.pathname.endsWith('/view')")
    page.wait("document.querySelectorAll('#where .run').length === 2")
    assert "alpha" in page.text("#where")
    assert "beta" in page.text("#where")


def test_a_run_that_begins_appears(page: Page, shown: Shown) -> None:
    """The table is live: a new run is there within seconds, and so is its end."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    end = threading.Event()

    def train() -> None:
        with Experiment("lab/fresh", dash_root=shown.root, echo=False).run:
            end.wait(60)

    thread = threading.Thread(target=train)
    thread.start()
    try:
        page.wait(f"{NAMES}[0] === 'fresh'")
        assert "running" in row(page, "fresh")
        end.set()
        page.wait(lambda: "completed" in row(page, "fresh"))
    finally:
        end.set()
        thread.join()
        ml_dash.open_run("lab/fresh", shown.root)
        __import__("shutil").rmtree(shown.root / "lab/fresh")


def test_what_may_not_be_changed_offers_nothing(page: Page, shown: Shown) -> None:
    """Without --edit there are no buttons for tags and deletion."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    page.run("document.querySelectorAll('tbody tr[data-id] input')[0].click()")
    page.wait_text("main", "Open")
    assert "Delete" not in page.text("main")


def test_runs_are_tagged_and_deleted_from_the_table(page: Page, edited: Shown) -> None:
    """Both are asked for in a dialog, and are in the folder afterwards."""
    edited.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    press = "[...document.querySelectorAll('button')].findLast(b => b.textContent === arguments[0])"
    page.run("document.querySelectorAll('tbody tr[data-id] input')[2].click()")
    page.run(f"{press}.click()", "Tags…")
    page.type("dialog input", "good, fast arm")
    page.run(f"{press}.click()", "Save")
    page.wait(lambda: "fast" in row(page, "beta"))
    assert ml_dash.open_run("lab/beta", edited.root).tags == ["good", "fast arm"]
    page.run(f"{press}.click()", "Delete…")
    assert "lab/beta" in page.text("dialog")
    page.run(f"{press}.click()", "Delete")
    wait_names(page, "broken", MARKUP, "alpha")
    assert not (edited.root / "lab/beta").exists()


def test_an_empty_folder_says_what_to_do(page: Page, tmp_path: Path) -> None:
    """It is told how a run is recorded."""
    (tmp_path / "none").mkdir()
    with Shown(tmp_path / "none") as empty:
        empty.open(page)
        page.wait_text("main", "There are no runs yet")
        assert "Experiment" in page.text("main")


def test_it_can_be_read_on_a_telephone(page: Page, shown: Shown) -> None:
    """At 390 pixels nothing but the table itself is wider than the screen."""
    page.size(390, 800)
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_boxes_are_called_as_their_runs(page: Page, shown: Shown) -> None:
    """Who hears the table knows which run a box chooses."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    labels = "[...document.querySelectorAll('tbody input')].map(e => e.ariaLabel)"
    assert page.evaluate(labels) == [f"choose {n}" for n in ("broken", MARKUP, "beta", "alpha")]


def look_again(page: Page) -> None:
    """Have the table ask for what is new, and wait until that is drawn."""
    page.run(
        """
        const own = window.fetch;
        return new Promise((done) => {
            window.fetch = async (...all) => {
                const answer = await own(...all);
                window.fetch = own;
                setTimeout(done, 100);
                return answer;
            };
            document.dispatchEvent(new Event('visibilitychange'));
        });
        """
    )


def test_tab_leads_to_a_row_after_a_filter(page: Page, shown: Shown) -> None:
    """Just one row can be reached by Tab, whatever is shown; from there Enter opens it."""
    reached = "[...document.querySelectorAll('tbody tr')].filter(e => e.tabIndex === 0).length"
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    page.run("const at = Date.now(); Date.now = () => at")  # rows whose age stands still are kept
    look_again(page)
    assert page.evaluate(reached) == 1
    page.type("input[type=search]", "alpha")
    wait_names(page, "alpha")
    assert page.evaluate(reached) == 1
    page.run("document.querySelector('tbody tr[tabindex=\"0\"]').focus()")
    page.press("ENTER")
    page.wait_text("#where", "alpha")


def test_a_ticked_column_keeps_the_focus_and_its_place(page: Page, shown: Shown) -> None:
    """The list of columns stands still while the table goes on."""
    shown.open(page)
    wait_names(page, "broken", MARKUP, "beta", "alpha")
    page.run(
        "[...document.querySelectorAll('button')].find(b => b.textContent === 'Columns').click()"
    )
    page.run("document.querySelector('.menu input[value=\"params.lr\"]').focus()")
    page.press(" ")
    page.wait("[...document.querySelectorAll('thead th')].some(e => e.textContent === 'lr')")
    look_again(page)
    assert page.evaluate("document.activeElement.value") == "params.lr"
    assert page.evaluate("document.activeElement.checked")


def test_who_has_not_opened_the_address_is_told_how(page: Page, shown: Shown) -> None:
    """There is no name and no password: it is the address with the token that opens the pages."""
    page.expect("401")
    page.open(f"{shown.url}/?filter=alpha")
    assert "ml-dash ui" in page.text("main")
    assert page.evaluate("document.querySelectorAll('input').length") == 0
    shown.open(page, "?filter=alpha")
    wait_names(page, "alpha")


def test_no_more_runs_are_compared_than_can_be_told_apart(page: Page, tmp_path: Path) -> None:
    """Of those that are chosen the first hundred, which is said."""
    for number in range(102):
        made = Experiment(f"lab/{number}", dash_root=tmp_path, echo=False, environment=False)
        with made.run:
            pass
    with Shown(tmp_path) as many:
        many.open(page)
        page.wait("document.querySelectorAll('tbody tr').length >= 100")
        page.run("document.querySelector('.pane').scrollTop = 1e6")
        page.wait("document.querySelectorAll('tbody tr').length === 102")
        page.click("thead input")
        page.wait_text("a.main", "Compare the first 100")
        chosen = "new URL(document.querySelector('a.main').href).searchParams.getAll('run').length"
        assert page.evaluate(chosen) == 100
        page.leave()
