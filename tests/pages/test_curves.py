"""The tab of curves in a browser, over runs that were recorded."""

from __future__ import annotations

import base64
import csv
import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pytest
from once import made_once
from PIL import Image

from ml_dash import Experiment

from .browser import Page
from .shown import Shown

ROWS = 1_000_000
SPIKE, NOTHING = 640_123, 300_000  # the steps of the one sample far out, and of the NaN
MARKUP = "<img src=x onerror=alert(1)>"
LOSS = '[data-key="metrics/train:loss"]'
RATE = '[data-key="metrics/train:lr"]'


def loss_at(step: int) -> float:
    """What the long run records."""
    if step == SPIKE:
        return 9.0
    return math.nan if step == NOTHING else 2.0 * math.exp(-step / ROWS) + 0.1 * math.sin(step)


def record(root: Path) -> None:
    """A long run, a short one, and one in which all names are markup."""
    with Experiment("lab/long", dash_root=root, echo=False).run as experiment:
        train = experiment.metrics("train")
        for step in range(ROWS):
            train.log(step=step, loss=loss_at(step), lr=0.1 + 1e-7 * step)
    with Experiment("lab/short", dash_root=root, echo=False).run as experiment:
        for step in range(0, 500_000, 5000):
            values = {"loss": 4.0 - step / 250_000, "lr": -0.5}
            experiment.metrics("train").log(step=step, timestamp=1.8e9 + step / 1000, **values)
        joints = experiment.track("robot/joints")
        for step in range(300):
            joints.append({"step": step, "q": [math.sin(step / 50 + part) for part in range(3)]})
    with Experiment(f"lab/{MARKUP}", dash_root=root, echo=False).run as experiment:
        for step in range(30):
            experiment.metrics(MARKUP).log(step=step, **{MARKUP: float(step), "=1+1": 1.0})


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """The pages over the runs."""
    with Shown(made_once(tmp_path_factory, "curves", record)) as found:
        yield found


def wait_drawn(page: Page, *cards: str) -> None:
    """Wait until charts show values, and nothing more is loaded."""
    for card in cards:
        page.wait(
            "(e => e && e.querySelector('.card-state').hidden && !e.hasAttribute('aria-busy'))"
            "(document.querySelector(arguments[0]))",
            card,
        )
    page.run("return new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")


def pixels(page: Page, card: str) -> Any:
    """The canvas of a chart, as an array of heights, widths and RGBA."""
    rows = page.run(
        "const c = document.querySelector(arguments[0] + ' canvas');"
        "const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data;"
        "return [c.width, c.height, btoa(Array.from(d, v => String.fromCharCode(v)).join(''))]",
        card,
    )
    data = np.frombuffer(base64.b64decode(rows[2]), np.uint8)
    return data.reshape(rows[1], rows[0], 4)


def coloured(page: Page, card: str, name: str) -> Any:
    """Where a chart is painted in a colour of the theme, such as `--c0`."""
    text = page.evaluate(
        "getComputedStyle(document.body).getPropertyValue(arguments[0]).trim()", name
    )
    wanted = np.array([int(text[at : at + 2], 16) for at in (1, 3, 5)])
    picture = pixels(page, card)
    away = np.abs(picture[:, :, :3].astype(int) - wanted).max(axis=2)
    return (away < 40) & (picture[:, :, 3] > 150)


def place(x: float, low: float, high: float, width: int) -> int:
    """The pixel of a value on the x axis of a chart that has its usual margins."""
    return round(54 + (x - low) / (high - low) * (width - 54 - 12))


def table(page: Page, card: str, name: str) -> list[dict[str, str]]:
    """The rows of the CSV that a chart saves of the points that it shows."""
    page.click(f"{card} button[title*=table]")
    if page.all(f"{card} .card-offer"):
        page.click(f"{card} .card-offer button")
    return list(csv.DictReader(io.StringIO(page.saved(name).decode())))


def test_one_sample_in_a_million_and_a_nan_are_visible(page: Page, shown: Shown) -> None:
    """A spike of one row and a NaN of one row can be seen in a chart of a million rows."""
    shown.view(page, "curves", "long")
    wait_drawn(page, LOSS)
    found = coloured(page, LOSS, "--c0")
    height, width = found.shape
    spike, nothing = (place(step, 0, ROWS, width) for step in (SPIKE, NOTHING))
    upper = found[: height // 2]
    assert upper[:, spike - 2 : spike + 3].any(axis=1).sum() > height // 3
    assert not np.delete(upper, range(spike - 3, spike + 4), axis=1).any()
    axis = found[height - 31 : height - 23]
    assert axis[:, nothing - 4 : nothing + 5].sum() > 15
    assert axis.sum() == axis[:, nothing - 5 : nothing + 6].sum()


def test_a_zoom_shows_each_value_exactly(page: Page, shown: Shown) -> None:
    """Within a zoomed range the values are those that were recorded, to the last digit."""
    shown.view(page, "curves", "long", **{"from": 640_000, "to": 640_250})
    wait_drawn(page, LOSS)
    rows = table(page, LOSS, "train-loss.csv")
    assert [int(row["step"]) for row in rows] == list(range(640_000, 640_251))
    assert [float(row["mean"]) for row in rows] == [loss_at(int(row["step"])) for row in rows]


def test_a_drag_zooms_all_charts_and_a_double_click_resets(page: Page, shown: Shown) -> None:
    """A box drawn in one chart is the range of all, and in the URL; a double click ends it."""
    shown.view(page, "curves", "long", step=1240)
    wait_drawn(page, LOSS, RATE)
    page.drag(f"{LOSS} .chart", (0.5, 0.5), (0.6, 0.52))
    page.wait("location.search.includes('from=')")
    wait_drawn(page, LOSS, RATE)
    rows = [[float(r["step"]) for r in table(page, c, n)] for c, n in
            ((LOSS, "train-loss.csv"), (RATE, "train-lr.csv"))]  # fmt: skip
    assert rows[0] == rows[1]
    assert 300_000 < rows[0][0] < rows[0][-1] < 700_000
    page.double_click(f"{RATE} .chart")
    page.wait("!location.search.includes('from=')")
    assert "step=1240" in page.url


def test_the_cursor_is_the_same_on_all_charts(page: Page, shown: Shown) -> None:
    """A click puts the cursor on each chart and into the URL; the pointer's line is on all."""
    shown.view(page, "curves", "long")
    wait_drawn(page, LOSS, RATE)
    page.drag(f"{LOSS} .chart", (0.5, 0.5), (0.5, 0.5))
    page.wait("location.search.includes('step=')")
    lines = page.evaluate(
        "[...document.querySelectorAll('.chart-line.pinned')]"
        ".map(e => [e.hidden, e.style.transform])"
    )
    assert len(lines) == 2 and lines[0] == lines[1] and not lines[0][0]
    page.move(f"{LOSS} .chart", 0.7, 0.5)
    others = page.evaluate(
        "[...document.querySelectorAll('.chart-line:not(.pinned)')].map(e => e.style.transform)"
    )
    assert others[0] == others[1] != lines[0][1]
    values = page.wait_text(f"{RATE} .card-values", "0.14")
    assert "≈" in values  # the mean of a bucket


def test_an_opened_link_shows_the_same(page: Page, shown: Shown) -> None:
    """The URL holds step, range, axis, smoothing and scale, and a page opened by it has them."""
    shown.view(
        page, "curves", "long", step=2000, x="step", smooth=0.5, log=1, **{"from": 1000, "to": 3000}
    )
    wait_drawn(page, LOSS)
    assert page.evaluate("document.querySelector('.smoothing input').value") == "0.5"
    assert page.find(".curve-bar button[title^=Log]").get_attribute("aria-pressed") == "true"
    line = page.evaluate(
        f"(e => [e.hidden, new DOMMatrix(e.style.transform).e, e.parentElement.clientWidth])"
        f"(document.querySelector('{LOSS} .chart-line.pinned'))"
    )
    assert line[:2] == [False, pytest.approx(place(2000, 1000, 3000, line[2]), abs=1)]


def test_two_runs_are_overlaid_each_in_its_colour(page: Page, shown: Shown) -> None:
    """Two runs are in one chart; hiding one in the legend leaves the other."""
    shown.view(page, "curves", "long", "short")
    wait_drawn(page, LOSS)
    assert coloured(page, LOSS, "--c0").sum() > 200
    assert coloured(page, LOSS, "--c1").sum() > 200
    page.click(".curve-legend button:nth-child(2)")
    page.wait("location.search.includes('hide=')")
    page.move("#top")
    wait_drawn(page, LOSS)
    page.wait(lambda: coloured(page, LOSS, "--c1").sum() == 0)
    assert coloured(page, LOSS, "--c0").sum() > 200


def test_the_legend_highlights_a_run_in_all_charts(page: Page, shown: Shown) -> None:
    """While the pointer is on a run in the legend, the others are faint in every chart."""
    shown.view(page, "curves", "long", "short")
    wait_drawn(page, LOSS, RATE)
    before = coloured(page, RATE, "--c1").sum()
    page.move(".curve-legend button:nth-child(1)")
    page.wait(lambda: coloured(page, RATE, "--c1").sum() < before / 10)
    assert coloured(page, LOSS, "--c1").sum() < before / 10
    page.move("#top")
    page.wait(lambda: coloured(page, RATE, "--c1").sum() == before)


def test_a_log_scale_tells_what_it_cannot_show(page: Page, shown: Shown) -> None:
    """On a log scale values that are not positive are marked and counted, never just dropped."""
    shown.view(page, "curves", "short", log=1)
    wait_drawn(page, RATE, LOSS)
    assert "100 places have values that are not positive" in page.wait_text(
        f"{RATE} .chart-note", "positive"
    )
    assert page.evaluate(f"document.querySelector('{LOSS} .chart-note').hidden")
    assert coloured(page, RATE, "--c0").sum() > 100


def test_smoothing_keeps_the_line_itself(page: Page, shown: Shown) -> None:
    """With smoothing there is a softer line, and the spike of the line itself stays visible."""
    shown.view(page, "curves", "long", smooth=0.9, range=0)
    wait_drawn(page, LOSS)
    picture = pixels(page, LOSS)
    grey = np.array([217, 222, 229])
    painted = (picture[:, :, 3] > 30) & (
        np.abs(picture[:, :, :3].astype(int) - grey).max(axis=2) > 25
    )
    height, width = painted.shape
    spike = place(SPIKE, 0, ROWS, width)
    assert (
        painted[14 : height // 2, spike - 3 : spike + 4].any(axis=1).sum() < 5
    )  # the mean has none
    page.click(".curve-bar button[title^=Least]")
    page.wait(lambda: pixels(page, LOSS)[14 : height // 2, spike - 3 : spike + 4, 3].max() > 30)


def test_axes_of_time(page: Page, shown: Shown) -> None:
    """The x axis can be the time since the start, or the clock; the cursor stays at its step."""
    shown.view(page, "curves", "short", step=250_000)
    wait_drawn(page, LOSS)
    for axis in ("relative", "time"):
        page.run(
            "const s = document.querySelector('.curve-bar select'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('change'))",
            axis,
        )
        page.wait("location.search.includes('x=' + arguments[0])", axis)
        wait_drawn(page, LOSS)
        words = page.wait_text(f"{LOSS} .chart > p.unseen", "100 values")
        assert ("since the start" in words) == (axis == "relative")
        part = page.wait(
            "(e => !e.hidden && new DOMMatrix(e.style.transform).e / e.parentElement.clientWidth)"
            f"(document.querySelector('{LOSS} .chart-line.pinned'))"
        )
        assert 0.4 < part < 0.6
    assert "step=250000" in page.url


def test_parts_of_a_vector_are_one_chart_of_a_run(page: Page, shown: Shown) -> None:
    """A list of joint angles is one chart with a legend of its parts."""
    shown.view(page, "curves", "short", find="joints")
    wait_drawn(page, '[data-key="tracks/robot/joints:q[0]"]')
    assert len(page.all(".curve-card")) == 1
    assert page.text(".card-legend").split() == ["[0]", "[1]", "[2]"]


def test_search_keeps_the_charts_with_the_words(page: Page, shown: Shown) -> None:
    """Searching leaves the charts whose name holds each word, and says so if there is none."""
    shown.view(page, "curves", "short")
    wait_drawn(page, LOSS)
    page.type(".curve-bar input[type=search]", "train lr")
    page.wait("document.querySelectorAll('.curve-card').length === 1")
    page.type(".curve-bar input[type=search]", "nowhere")
    page.wait_text(".state", "No curve has such a name")


def test_names_that_are_markup_are_only_text(page: Page, shown: Shown, downloads: Path) -> None:
    """A run, a stream and a column whose names are markup are shown as they are, and do nothing."""
    shown.view(page, "curves", MARKUP, "short")
    page.wait("document.querySelectorAll('.curve-card').length > 3")
    page.wait_text(".curve-card h3", MARKUP)
    wait_drawn(page, ".curve-card")
    page.move(".curve-card .chart", 0.5, 0.5)
    page.wait_text(".chart-tip", MARKUP)
    assert page.evaluate("document.querySelectorAll('main img').length") == 0
    card = '[data-key$=":=1+1"]'
    page.find(card)
    wait_drawn(page, card)
    page.click(f"{card} button[title*=table]")
    page.wait(lambda: any(downloads.glob("*.csv")))
    name = next(downloads.glob("*.csv")).name
    assert b"\n=" not in page.saved(name)


def test_a_picture_is_saved_with_title_and_legend(page: Page, shown: Shown) -> None:
    """The PNG of a chart has twice the pixels of the screen, and both runs in their colours."""
    shown.view(page, "curves", "long", "short")
    wait_drawn(page, LOSS)
    page.click(f"{LOSS} button[title*=picture]")
    with Image.open(io.BytesIO(page.saved("train-loss.png"))) as picture:
        width = page.evaluate(f"document.querySelector('{LOSS} .chart').clientWidth")
        assert abs(picture.width - 2 * width) <= 1
        data = np.asarray(picture.convert("RGB")).astype(int)
    legend = data[-60:, :60]
    for colour in ([0, 0x72, 0xB2], [0xD5, 0x5E, 0]):
        assert (np.abs(data - colour).max(axis=2) < 3).sum() > 300
    assert (np.abs(legend - [0, 0x72, 0xB2]).max(axis=2) < 3).sum() > 100


def test_live_rows_are_appended_to_their_chart_alone(page: Page, tmp_path: Path) -> None:
    """Rows of a run that goes on come into their charts; charts of other streams are not drawn."""
    experiment = Experiment("lab/live", dash_root=tmp_path, echo=False)
    with experiment.run, Shown(tmp_path) as shown:
        for step in range(50):
            experiment.metrics("train").log(step=step, loss=1.0)
            experiment.metrics("eval").log(step=step, score=1.0)
        experiment.flush()
        shown.view(page, "curves", "live")
        score = '[data-key="metrics/eval:score"]'
        wait_drawn(page, LOSS, score)
        page.wait_text(f"{LOSS} .chart > p.unseen", "50 values")
        page.run(
            "window.drawn = []; const real = CanvasRenderingContext2D.prototype.clearRect;"
            "CanvasRenderingContext2D.prototype.clearRect = function (...a) {"
            "  window.drawn.push(this.canvas.closest('[data-key]')?.dataset.key);"
            "  real.apply(this, a); }"
        )
        for step in range(50, 60):
            experiment.metrics("train").log(step=step, loss=2.0)
        experiment.flush()
        page.wait_text(f"{LOSS} .chart > p.unseen", "60 values from 1 to 2")
        assert set(page.evaluate("window.drawn")) == {"metrics/train:loss"}
        experiment.metrics("late").log(step=0, extra=1.0)
        experiment.flush()
        wait_drawn(page, '[data-key="metrics/late:extra"]')
        page.leave()


def test_a_run_without_numbers_says_how_to_record_some(page: Page, tmp_path: Path) -> None:
    """Where nothing was measured, the tab says how the first curve is made."""
    with Experiment("lab/bare", dash_root=tmp_path, echo=False).run as experiment:
        experiment.log("hello")
    with Shown(tmp_path) as shown:
        shown.view(page, "curves", "bare")
        page.wait_text(".state", "experiment.metrics")


def test_what_cannot_be_loaded_is_said_and_tried_again(page: Page, shown: Shown) -> None:
    """A chart whose data does not come says so, and one click later it is there."""
    page.command("Network.enable")
    page.command("Network.setBlockedURLs", urls=["*/streams/metrics/train/chart*"])
    shown.view(page, "curves", "short")
    page.wait_text(f"{LOSS} .card-state", "The server does not answer")
    joints = '[data-key="tracks/robot/joints:q[0]"]'
    page.run("document.querySelector(arguments[0]).scrollIntoView()", joints)
    wait_drawn(page, joints)  # the others are there
    page.command("Network.setBlockedURLs", urls=[])
    page.click(f"{LOSS} .card-state button")
    wait_drawn(page, LOSS)
    assert coloured(page, LOSS, "--c0").sum() > 200


def test_hundreds_of_curves_are_loaded_as_they_come_into_sight(page: Page, tmp_path: Path) -> None:
    """Of 300 columns those are asked for that can be seen; others are freed, and come back."""
    with Experiment("lab/wide", dash_root=tmp_path, echo=False).run as experiment:
        for step in range(20):
            experiment.metrics("all").log(step=step, **{f"m{n:03}": n + step for n in range(300)})
    with Shown(tmp_path) as shown:
        shown.view(page, "curves", "wide")
        wait_drawn(page, '[data-key="metrics/all:m000"]')
        assert page.evaluate("document.querySelectorAll('.curve-card').length") == 300
        page.problems()
        asked = [url for url in page.asked if "/chart?" in url]
        columns = [column for url in asked for column in parse_qs(urlsplit(url).query)["column"]]
        assert len(columns) == len(set(columns)) < 30
        for number in range(9, 300, 10):
            card = f'[data-key="metrics/all:m{number:03}"]'
            page.run("document.querySelector(arguments[0]).scrollIntoView()", card)
            wait_drawn(page, card)
        drawn = "[...document.querySelectorAll('canvas')].filter(c => c.width > 0).length"
        assert page.evaluate(drawn) < 80  # most of those that were seen are freed
        page.run("document.querySelector('.curve-groups').scrollTo(0, 0)")
        wait_drawn(page, '[data-key="metrics/all:m000"]')
        page.wait(lambda: coloured(page, '[data-key="metrics/all:m000"]', "--c0").sum() > 100)
        page.leave()
