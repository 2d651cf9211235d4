"""Details of the tabs: colours in messages, rows without steps, exact rows, nothing read twice."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from once import made_once

from ml_dash import Experiment

from .browser import Page
from .shown import Shown

pytestmark = pytest.mark.xdist_group("details")

ROWS = 6000
SPIKE = 2345
LONG = 12_000


def record(root: Path) -> None:
    """A run whose path leaves its circle for one row, one without steps, one that is large."""
    with Experiment("lab/odd", dash_root=root, echo=False).run as experiment:
        arm = experiment.track("arm")
        for step in range(ROWS):
            far = 40.0 if step == SPIKE else 0.0
            row = {
                "step": step,
                "x": float(np.cos(step / 900)) + far,
                "y": float(np.sin(step / 900)),
            }
            arm.append(row, timestamp=1.8e9 + step)
        experiment.log(
            "\x1b[1;31mtorque\x1b[0m is \x1b[38;5;2mhigh\x1b[0m <b>now</b>\x1b[2K", by="\x1b[31mx"
        )
        experiment.files("results").save_text("one", to="a.txt")
    with Experiment("lab/unstepped", dash_root=root, echo=False).run as experiment:
        for number in range(50):
            experiment.track("arm").append({"x": float(number)}, timestamp=1.8e9 + number)
    with Experiment("lab/large", dash_root=root, echo=False).run as experiment:
        for step in range(LONG):
            experiment.track("arm").append(
                {"step": step, "q": [step / 7, -step]}, timestamp=1.8e9 + step
            )


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The pages over the runs."""
    with Shown(made_once(tmp_path_factory, "details", record)) as found:
        yield found


def test_colours_of_a_terminal_are_shown_and_nothing_of_their_codes(
    page: Page, shown: Shown
) -> None:
    """Each coloured piece is a span with a class; markup in the message stays text."""
    shown.view(page, "logs", "odd")
    page.wait_text(".messages", "torque")
    assert page.evaluate("document.querySelector('.text').textContent") == (
        "torque is high <b>now</b> by=x"
    )
    assert page.evaluate("document.querySelector('.ansi-red.ansi-bold').textContent") == "torque"
    assert page.evaluate("document.querySelector('.ansi-green').textContent") == "high"
    assert page.evaluate("document.querySelectorAll('.text b').length") == 0


def test_files_say_what_to_do_until_one_is_chosen(page: Page, shown: Shown) -> None:
    """The right half is not empty; and one file is counted as one."""
    shown.view(page, "files", "odd")
    page.wait_text(".shown", "Choose a file to see it.")
    page.wait_text(".files .bar", "1 file")
    assert "1 files" not in page.text(".files .bar")
    page.click('[data-path="results/a.txt"]')
    page.wait_text(".shown pre", "one")
    assert "Choose a file" not in page.text(".shown")


def test_rows_without_steps_are_offered_over_time(page: Page, shown: Shown) -> None:
    """Where the axis is the step, the chart says why it is empty; the offer changes all charts."""
    shown.view(page, "curves", "unstepped", x="step")
    page.wait_text(".card-state", "These rows have no steps.")
    page.click(".card-state button")
    page.wait("document.querySelector('.card-state')?.hidden")
    assert page.evaluate("document.querySelector('.curve-bar select').value") == "relative"
    page.wait("location.search.includes('x=relative')")


def test_a_run_without_steps_begins_over_time(page: Page, shown: Shown) -> None:
    """Where no row has a step, the curves are there at once; a run with steps keeps them."""
    shown.view(page, "curves", "unstepped")
    page.wait("document.querySelector('.card-state')?.hidden")
    assert page.evaluate("document.querySelector('.curve-bar select').value") == "relative"
    shown.view(page, "curves", "unstepped", "odd")
    page.wait("document.querySelector('.card-state')?.hidden")
    assert page.evaluate("document.querySelector('.curve-bar select').value") == "step"


def test_a_picture_or_an_address_that_is_wrong_says_so(page: Page, shown: Shown) -> None:
    """A damaged picture, a file that is not there, and a file without a suffix."""
    with Experiment("lab/pictures", dash_root=shown.root, echo=False).run as experiment:
        experiment.files("").save_text("no picture", to="bad.png")
        experiment.files("").save_text("as is", to="LICENSE")
    page.wait(lambda: any(run["name"] == "pictures" for run in shown.get("runs")["runs"]))
    shown.view(page, "files", "pictures", file="bad.png")
    page.wait_text(".shown", "This picture cannot be shown.")
    shown.view(page, "files", "pictures", file="nope.txt")
    page.wait_text(".shown", "There is no file nope.txt.")
    shown.view(page, "files", "pictures", file="LICENSE")
    page.wait_text(".shown pre", "as is")


def test_names_are_shown_as_they_were_given(page: Page, shown: Shown) -> None:
    """A stream's name is told in its own characters, in titles, to listeners, and to a search."""
    name = '<b>m</b>/"q" 100%'
    with Experiment("lab/names", dash_root=shown.root, echo=False).run as experiment:
        for step in range(3):
            experiment.metrics(name).log(step=step, x=step)
    page.wait(lambda: any(run["name"] == "names" for run in shown.get("runs")["runs"]))
    shown.view(page, "curves", "names", find="100%25")
    page.wait_text(".curve-group summary", name)
    chart = page.find(".chart")
    assert chart.get_attribute("aria-label") == f"{name}/x"
    page.wait_text(".chart > p.unseen", name)
    shown.view(page, "player", "names")
    page.wait_text(".curve-card h3", name)
    page.wait_text(".values h3", name)


def test_all_rows_can_be_saved_where_points_stand_for_many(page: Page, shown: Shown) -> None:
    """The table of all rows has each value as it was recorded, and its size is told before."""
    shown.view(page, "curves", "large")
    page.wait("document.querySelector('.card-state')?.hidden")
    page.click(".curve-card button[title*=table]")
    page.wait_text(".card-offer", "All 12\u202f000 rows of large")
    assert "about 7" in page.text(".card-offer")
    page.click(".card-offer a")
    rows = list(csv.DictReader(io.StringIO(page.saved("arm.csv").decode())))
    assert [int(row["step"]) for row in rows] == list(range(LONG))
    assert [float(row["q[0]"]) for row in rows] == [step / 7 for step in range(LONG)]
    assert [int(row["q[1]"]) for row in rows] == [-step for step in range(LONG)]
    page.wait("!document.querySelector('.card-offer')")


def test_the_path_shows_rows_as_they_were_recorded(page: Page, shown: Shown) -> None:
    """A spike of one row among thousands is drawn, and the point at a step is that of its row."""
    shown.view(page, "player", "odd", step=SPIKE)
    page.wait_text(".path .mono", "39.14")
    points = page.wait("document.querySelector('.path polyline')?.getAttribute('points')")
    places = [tuple(map(float, each.split(","))) for each in points.split(" ")]
    right = [x for x, _ in places if x > 90]
    assert right == [100.0], "the spike is one point at the very right"
    for step in (SPIKE - 1, SPIKE + 1, 5999):
        page.type(".transport .step", f"{step}\n")
        told = f"{np.cos(step / 900):.4g}".replace("-", "−")
        page.wait_text(".path .mono", told)


def test_a_run_that_goes_on_is_read_on_from_where_it_was(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither the index of a stream nor the frames are read anew when a run grows."""
    monkeypatch.setenv("ML_DASH_ENCODERS", "1")  # several would finish out of order
    picture = np.zeros((8, 8, 3), np.uint8)
    made = Experiment("lab/live", dash_root=tmp_path, echo=False, environment=False)
    with made.run as experiment, Shown(tmp_path) as live:

        def write(steps: range) -> None:
            for step in steps:
                at = 1.8e9 + step
                experiment.track("arm").append({"step": step, "x": 1.0}, timestamp=at)
                experiment.files("front").save_image(
                    picture, to=f"frame_{step:05d}.png", step=step, timestamp=at
                )
            experiment.flush()

        write(range(40))
        live.view(page, "player", "live")
        page.wait_text(".player", "of 40")
        page.problems()
        page.asked.clear()
        write(range(40, 60))
        page.wait_text(".player", "of 60")
        page.problems()
        indexes = [url for url in page.asked if "/index" in url and "first=" in url]
        frames = [url for url in page.asked if "/frames/front" in url]
        page.leave()
        assert indexes and all("first=0" not in url for url in indexes)
        assert frames and all("cursor=" in url for url in frames)
