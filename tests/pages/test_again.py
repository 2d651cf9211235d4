"""Steps and clocks that begin anew, and runs that go by several clocks: lines, cursors, places."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml_dash import Experiment

from .browser import Page
from .shown import Shown

pytestmark = pytest.mark.xdist_group("again")

LENGTH = 12
"""Steps of an episode."""

BEGUN = 1_700_000_000.0
"""When a recording was made that is played again."""

CURSOR = """
    (() => {
        const card = document.querySelector(`.curve-card[data-key="${arguments[0]}"]`);
        const line = card?.querySelector('.chart-line.pinned');
        return line && !line.hidden ? new DOMMatrix(line.style.transform).m41 : null;
    })()
"""


def write_episode(experiment: Experiment, episode: int, at: float) -> None:
    """Rows and frames whose steps begin at 0, the last frame of a colour of its own."""
    for step in range(LENGTH):
        row = {"episode": episode, "v": 100 * episode + step, "x": step, "y": episode}
        when = at + 10 * episode + step / 10
        experiment.track("env").append(row, step=step, timestamp=when)
        experiment.files("front").save_image(
            np.full((8, 8, 3), 20 * episode + step, np.uint8),
            to=f"f_{episode}_{step:02d}.png",
            step=step,
            timestamp=when,
        )


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """A run of three episodes, one of two clocks, and one that was played from a recording."""
    root = tmp_path_factory.mktemp("runs")
    with Experiment("lab/episodes", dash_root=root, echo=False).run as experiment:
        for episode in range(3):
            write_episode(experiment, episode, time.time())
    with Experiment("lab/mixed", dash_root=root, echo=False).run as experiment:
        now = time.time()
        for step in range(101):
            experiment.track("sim").append({"v": step}, step=step, timestamp=0.05 * step)
            experiment.track("wall").append({"v": step}, step=step, timestamp=now + 2.0 * step)
    with Experiment("lab/simulated", dash_root=root, echo=False).run as experiment:
        for episode in range(3):
            recorder = experiment.recorder(frames_every=2, format="png")
            for step in range(LENGTH):
                row = {"episode": episode, "v": 100 * episode + step, "x": step, "y": episode}
                picture = np.full((8, 8, 3), 20 * episode + step, np.uint8)
                recorder.record(step, step / 10, tracks={"env": row}, frames={"front": picture})
    with Experiment("lab/played", dash_root=root, echo=False).run as experiment:
        for step in range(11):
            when = time.time() - 3600 + step
            experiment.track("arm").append({"v": step}, step=step, timestamp=when)
    with Experiment("lab/resumed", dash_root=root, echo=False).run as experiment:
        for when in range(102):
            step, first = (when, 0) if when < 51 else (when - 21, 1000)
            experiment.track("arm").append({"v": first + step}, step=step, timestamp=BEGUN + when)
    with Experiment("lab/late", dash_root=root, echo=False).run as experiment:
        for step in range(60):
            experiment.track("arm").append({"v": step}, step=step, timestamp=BEGUN + step)
            if step % 20 == 15:
                row, when = {"accuracy": 500 + step}, BEGUN + step + 0.5
                experiment.track("arm").append(row, step=step - 8, timestamp=when)
    with Shown(root) as found:
        yield found


def said(page: Page, key: str) -> str:
    """What a chart tells of its lines to those who do not see it."""
    script = "document.querySelector(arguments[0])?.querySelector('.unseen').textContent ?? ''"
    return str(page.evaluate(script, f'.curve-card[data-key="{key}"]'))


def tells(page: Page, key: str, words: str) -> bool:
    """Whether a chart tells some words."""
    return words in said(page, key)


def test_each_episode_is_a_line(page: Page, shown: Shown) -> None:
    """Over steps the lines of episodes lie over each other, and none goes back."""
    shown.view(page, "curves", "episodes", x="step")
    page.wait(lambda: "episode 2" in said(page, "tracks/env:v"))
    told = said(page, "tracks/env:v")
    for episode in range(3):
        first = 100 * episode
        assert f"episode {episode}: 12 values from {first} to {first + 11}" in told
    shown.view(page, "curves", "episodes", x="relative")
    page.wait(lambda: "36 values from 0 to 211" in said(page, "tracks/env:v"))


def test_the_player_goes_through_all_steps_of_all_episodes(page: Page, shown: Shown) -> None:
    """Frames, values and path are of the episode at which the slider stands."""
    shown.view(page, "player", "episodes")
    page.wait_text(".transport .said", "of 36")
    page.press("]", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_RIGHT")
    page.wait_text('.values [data-stream="tracks/env"]', "103")
    page.wait("document.querySelector('.camera canvas').dataset.step === '3'")
    page.wait(lambda: pixel(page) == 23)
    page.wait_text(".path .said, .path .mono", "3, 1")
    page.press("END")
    page.wait_text('.values [data-stream="tracks/env"]', "211")
    page.wait(lambda: pixel(page) == 51)


def pixel(page: Page) -> int | None:
    """The red of the frame that is shown."""
    script = """
        const canvas = document.querySelector('.camera canvas');
        return canvas.width === 8 ? canvas.getContext('2d').getImageData(4, 4, 1, 1).data[0] : null;
    """
    found = page.run(script)
    return None if found is None else int(found)


def test_episodes_of_a_simulation_come_one_after_the_other(page: Page, shown: Shown) -> None:
    """Though their steps and times are the same, the slider goes through each of them."""
    shown.view(page, "player", "simulated")
    page.wait_text(".transport .said", "of 36")
    page.press("]", "ARROW_RIGHT", "ARROW_RIGHT", "ARROW_RIGHT")
    page.wait_text('.values [data-stream="tracks/env"]', "103")
    page.wait(lambda: pixel(page) == 22)
    page.wait_text(".path .said, .path .mono", "3, 1")
    counts = "[...document.querySelectorAll('.path polyline')].map(e => e.points.numberOfItems)"
    assert page.evaluate(counts) == [LENGTH] * 3
    page.wait("new URLSearchParams(location.search).has('time')")
    page.open(page.url)
    page.wait_text('.values [data-stream="tracks/env"]', "103")
    page.wait(lambda: pixel(page) == 22)
    page.press("END")
    page.wait_text('.values [data-stream="tracks/env"]', "211")
    page.wait(lambda: pixel(page) == 50)


@pytest.mark.parametrize("name", ["episodes", "simulated"])
def test_a_step_is_looked_for_in_the_episode_that_is_shown(
    page: Page, shown: Shown, name: str
) -> None:
    """Typed, or by a click on a curve over steps or time."""
    page.size(1400, 1000)
    for axis in ("step", "relative"):
        shown.view(page, "player", name, x=axis, cols="tracks/env:v")
        page.wait_text(".transport .said", "of 36")
        page.press("]", "]", "[", "ARROW_RIGHT")
        page.type(".transport .step", "9")
        page.press("ENTER")
        page.wait_text('.values [data-stream="tracks/env"]', "109")
        page.wait(lambda: "values from" in said(page, "tracks/env:v"))
        if axis == "relative" and name == "episodes":
            continue  # each of its times is of one episode
        page.drag('.curve-card[data-key="tracks/env:v"] .card-plot', (0.5, 0.5))
        field = "Number(document.querySelector('.transport .step').value)"
        page.wait(f"{field} < 9 && {field} > 2")
        step = int(page.evaluate(field))
        page.wait_text('.values [data-stream="tracks/env"]', str(100 + step))


def test_a_step_that_the_pass_has_not_is_looked_for_in_the_others(page: Page, shown: Shown) -> None:
    """Of a resumed run: one after its interruption, and from there one before its resumption."""
    shown.view(page, "player", "resumed")
    page.wait_text(".transport .said", "of 102")
    for step, value in ((40, "40"), (70, "1070"), (40, "1040"), (5, "5")):
        page.type(".transport .step", str(step))
        page.press("ENTER")
        page.wait_text('.values [data-stream="tracks/arm"]', value)
        page.wait(f"document.querySelector('.transport .step').value === '{step}'")


def test_rows_that_came_late_are_no_steps_of_the_slider(page: Page, shown: Shown) -> None:
    """An evaluation beside the training tells of steps that have been: each is there once."""
    shown.view(page, "player", "late")
    page.wait_text(".transport .said", "1 of 60")
    page.press("END")
    page.type(".transport .step", "30")
    page.press("ENTER")
    page.wait_text(".transport .said", "31 of 60")
    page.wait_text('.values [data-stream="tracks/arm"]', "30")


def test_a_link_leads_to_its_episode(page: Page, shown: Shown) -> None:
    """A step that comes again has its time in the address."""
    shown.view(page, "player", "episodes")
    page.wait_text(".transport .said", "of 36")
    page.press("]", "ARROW_RIGHT")
    page.wait("new URLSearchParams(location.search).get('step') === '1'")
    page.wait("new URLSearchParams(location.search).has('time')")
    address = page.url
    page.open("about:blank")
    page.open(address)
    page.wait_text('.values [data-stream="tracks/env"]', "101")
    page.wait_text(".transport .said", "14 of 36")
    assert page.url == address


@pytest.mark.parametrize("tab", ["player", "curves"])
@pytest.mark.parametrize("axis", ["relative", "time"])
def test_the_cursor_is_right_by_each_clock(page: Page, shown: Shown, tab: str, axis: str) -> None:
    """Half way through the steps is half way along each axis of time."""
    shown.view(page, tab, "mixed", step=50, x=axis, cols="tracks/sim:v&cols=tracks/wall:v")
    for name in ("sim", "wall"):
        page.wait(partial(tells, page, f"tracks/{name}:v", "101 values"))
    places = [partial(page.evaluate, CURSOR, f"tracks/{name}:v") for name in ("sim", "wall")]
    page.wait(lambda: None not in (found := [place() for place in places]) and found[0] > 100)
    assert abs(places[0]() - places[1]()) <= 1


def test_a_click_goes_to_the_step_by_the_clock_of_its_chart(page: Page, shown: Shown) -> None:
    """On the chart of a simulation, and on that of the day, the same place is the same step."""
    for name in ("sim", "wall"):
        shown.view(page, "player", "mixed", x="relative", cols="tracks/sim:v&cols=tracks/wall:v")
        page.wait(partial(tells, page, f"tracks/{name}:v", "101 values"))
        page.drag(f'.curve-card[data-key="tracks/{name}:v"] .card-plot', (0.5, 0.5))
        page.wait("Number(document.querySelector('.transport .step').value) > 20")
        step = int(page.evaluate("document.querySelector('.transport .step').value"))
        assert 30 < step < 60
        wall, sim = (partial(page.evaluate, CURSOR, f"tracks/{n}:v") for n in ("wall", "sim"))
        page.wait(partial(meet, wall, sim))


def meet(one: Callable[[], Any], other: Callable[[], Any]) -> bool:
    """Whether two cursors are at one place."""
    a, b = one(), other()
    return a is not None and b is not None and abs(a - b) <= 1


def test_times_are_seconds_by_each_clock(page: Page, shown: Shown) -> None:
    """Of a recording that is played again, and of a run of two clocks, they begin at 0."""
    shown.view(page, "player", "played", step=5)
    field = "Number(document.querySelectorAll('.transport .number')[1]?.value || NaN)"
    page.wait(f"Math.abs({field} - 5) < 0.5")
    shown.view(page, "player", "mixed", step=100)
    page.wait(f"{field} > 4 && {field} < 250")


def test_curves_of_a_run_that_goes_on_have_its_new_episodes(page: Page, tmp_path: Path) -> None:
    """Rows whose steps are not behind the last are drawn, too."""
    with (
        Experiment("lab/live", dash_root=tmp_path, echo=False).run as experiment,
        Shown(tmp_path) as live,
    ):
        write_episode(experiment, 0, time.time())
        experiment.flush()
        live.view(page, "curves", "live", x="step")
        page.wait(lambda: "12 values from 0 to 11" in said(page, "tracks/env:v"))
        write_episode(experiment, 1, time.time())
        experiment.flush()
        page.wait(lambda: "episode 1: 12 values" in said(page, "tracks/env:v"))
        page.leave()
