"""The player in a browser: frames, values and slider are of one step, however one gets there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from ml_dash import Experiment

from .browser import Page
from .recording import CAMERAS, EPISODE, MARKUP, frame, record, write_step
from .shown import Shown

pytestmark = pytest.mark.xdist_group("player")

STEPS = 200


@pytest.fixture(scope="session")
def shown(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shown]:
    """Two runs with two cameras each, and one without frames."""
    root = tmp_path_factory.mktemp("runs")
    record(root, "lab/one", warnings=(130, 31))
    record(root, "lab/two", run=1)
    with Experiment(f"lab/{MARKUP}", dash_root=root, echo=False).run as experiment:
        for step in range(10):
            experiment.track(MARKUP).append({MARKUP: MARKUP}, step=step)
    with Experiment("lab/space", dash_root=root, echo=False).run as experiment:
        for step in range(10):
            experiment.track("tip").append({"x": step, "y": 2 * step, "z": 4 * step}, step=step)
    with Shown(root) as found:
        yield found


def picture(camera: str, run: str = "one") -> str:
    """What finds the canvas of a camera."""
    return f'.camera[data-camera="{camera}"][data-name="{run}"] canvas'


def colour(page: Page, canvas: str) -> list[int]:
    """The colour in the middle of a canvas."""
    script = """
        const canvas = document.querySelector(arguments[0]);
        if (!canvas || canvas.width !== 32) return null;
        return [...canvas.getContext('2d').getImageData(16, 12, 1, 1).data].slice(0, 3);
    """
    return list(page.run(script, canvas) or [])


def is_shown(page: Page, canvas: str, wanted: list[int]) -> bool:
    """Whether a canvas has a colour."""
    return colour(page, canvas) == wanted


def wait_step(page: Page, step: int, names: tuple[str, ...] = ("one",)) -> None:
    """Wait until all frames and all values are those of a step, and compare them with the data."""
    for number, name in enumerate(names):
        for camera, (_, every) in CAMERAS.items():
            wanted = [int(value) for value in frame(camera, step - step % every, number)[0, 0]]
            page.wait(partial(is_shown, page, picture(camera, name), wanted))
    page.wait('document.querySelector(".values").dataset.at === `step ${arguments[0]}`', step)
    shown = page.text('.values [data-stream="tracks/arm/joints"]')
    assert f"[{step}, {f'−{step}' if step else '0'}]" in shown
    assert page.evaluate('document.querySelector(".slider").value') == str(step)
    assert page.evaluate('document.querySelector(".transport .step").value') == str(step)


def slide(page: Page, place: int) -> None:
    """Move the slider, as a hand does."""
    page.run(
        """
        const slider = document.querySelector('.slider');
        slider.value = arguments[0];
        slider.dispatchEvent(new Event('input', {bubbles: true}));
        """,
        str(place),
    )


def test_the_slider_moves_frames_and_values_together(page: Page, shown: Shown) -> None:
    """At each place the pixels, the row and the number are those of the same step."""
    shown.view(page, "player", "one")
    wait_step(page, 0)
    for step in (120, 121, 3, 199):
        slide(page, step)
        wait_step(page, step)


def test_each_part_says_that_it_loads(page: Page, shown: Shown) -> None:
    """Frames, curves and values are not empty while the run is read."""
    shown.view(page, "overview", "one")
    page.wait_text(".run-card", "lab/one")
    page.run(
        """
        const own = window.fetch;
        const held = new Promise((go) => (window.letThrough = go));
        window.fetch = async (...all) => {
            if (String(all[0]).includes('/frames')) await held;
            return own(...all);
        };
        [...document.querySelectorAll('.tabs a')].find((e) => e.textContent === 'Player').click();
        """
    )
    parts = "['.stage', '.curves', '.values'].map(e => document.querySelector(e)?.textContent)"
    page.wait(lambda: page.evaluate(parts) == ["Loading…"] * 3)
    page.run("window.letThrough()")
    wait_step(page, 0)


def test_a_picture_is_not_shown_as_that_of_another_step(page: Page, shown: Shown) -> None:
    """Until the frame has come that is named, the one before it is faint."""
    shown.view(page, "player", "one")
    wait_step(page, 0)
    canvas = picture("front")
    other = "document.querySelector('.camera.other') !== null"
    state = f"[document.querySelector(arguments[0]).ariaBusy, {other}]"
    assert page.evaluate(state, canvas) == ["false", False]
    page.run(
        """
        const own = window.fetch;
        const held = new Promise((go) => (window.letThrough = go));
        window.fetch = async (...all) => {
            if (String(all[0]).includes('/blobs/')) await held;
            return own(...all);
        };
        """
    )
    slide(page, STEPS - 1)
    page.wait_text(".camera[data-camera=front] header", f"step {STEPS - 2}")
    assert page.evaluate("document.querySelector(arguments[0]).dataset.step", canvas) == "0"
    assert page.evaluate(state, canvas) == ["true", True]
    page.run("window.letThrough()")
    wait_step(page, STEPS - 1)
    assert page.evaluate(state, canvas) == ["false", False]


def test_keys_move_by_one_by_ten_and_to_the_ends(page: Page, shown: Shown) -> None:
    """Arrows, arrows with shift, Home, End, and the keys of episodes."""
    shown.view(page, "player", "one", step=60)
    wait_step(page, 60)
    for keys, holding, step in (
        ("ARROW_RIGHT", "", 61),
        ("ARROW_LEFT", "", 60),
        ("ARROW_RIGHT", "SHIFT", 70),
        ("ARROW_LEFT", "SHIFT", 60),
        ("]", "", 2 * EPISODE),
        ("[", "", EPISODE),
        ("END", "", STEPS - 1),
        ("HOME", "", 0),
    ):
        page.press(keys, holding=holding)
        wait_step(page, step)


def test_keys_are_left_to_fields_that_are_typed_in(page: Page, shown: Shown) -> None:
    """An arrow in the field of the step changes the field alone, until Enter."""
    shown.view(page, "player", "one", step=60)
    wait_step(page, 60)
    page.click(".transport .step")
    page.press("ARROW_LEFT")
    assert page.evaluate('document.querySelector(".slider").value') == "60"
    page.type(".transport .step", "77")
    page.press("ENTER")
    wait_step(page, 77)


def test_what_is_no_step_leaves_the_one_that_is_shown(page: Page, shown: Shown) -> None:
    """A word in the field of the step gives way to the present step."""
    shown.view(page, "player", "one", step=60)
    wait_step(page, 60)
    page.type(".transport .step", "abc")
    page.press("ENTER")
    page.wait("document.querySelector('.transport .step').value === '60'")
    page.type(".transport .step", "")
    page.press("TAB")
    page.wait("document.querySelector('.transport .step').value === '60'")


def test_the_head_of_a_chart_has_the_value_of_the_row(page: Page, shown: Shown) -> None:
    """Where points stand for many rows, the number at the cursor is the row's, as beside it."""
    with Experiment("lab/many", dash_root=shown.root, echo=False).run as experiment:
        for step in range(9000):
            row = {"reward": step % 3 == 0, "q": [step % 7, -(step % 5)]}
            experiment.track("arm").append(row, step=step, timestamp=1.8e9 + step)
    page.wait(lambda: any(run["name"] == "many" for run in shown.get("runs")["runs"]))
    shown.view(page, "player", "many", step=1240)
    head = '.curve-card[data-key="tracks/arm:{}"] .card-values'
    for step in (1240, 1241, 1242):
        reward, q = str(int(step % 3 == 0)), [str(step % 7), f"−{step % 5}".replace("−0", "0")]
        page.wait("document.querySelector('.values')?.dataset.at === `step ${arguments[0]}`", step)
        texts = "[...document.querySelectorAll(arguments[0] + ' > span')].map(e => e.textContent)"
        both = f"(() => {{ const found = {texts}; return found.length ? found : null; }})()"
        assert page.wait(both, head.format("reward")) == [reward]
        assert sorted(page.wait(both, head.format("q[0]"))) == sorted(q)
        page.press("ARROW_RIGHT")


def test_one_can_go_to_a_time(page: Page, shown: Shown) -> None:
    """The last step that is not later is shown; there is one each tenth of a second."""
    shown.view(page, "player", "one")
    wait_step(page, 0)
    page.type('[aria-label^="Go to time"]', "7.75")
    page.press("ENTER")
    wait_step(page, 77)


def test_warnings_are_markers_that_one_can_go_to(page: Page, shown: Shown) -> None:
    """They are marked below the slider, and keys lead from one to the next."""
    shown.view(page, "player", "one", step=60)
    wait_step(page, 60)
    assert len(page.all(".marks .marker")) == 3  # one more is at step 0
    page.press("}")
    wait_step(page, 130)
    page.press("{")
    wait_step(page, 31)


def test_values_that_are_no_numbers_are_told(page: Page, shown: Shown) -> None:
    """NaN and infinity stand where they were, also inside of lists and objects."""
    with Experiment("lab/odd", dash_root=shown.root, echo=False).run as experiment:
        experiment.track("arm").append(
            {"q": [1.0, float("nan")], "a": {"b": float("-inf")}, "x": float("nan")}, step=1
        )
    page.wait(lambda: any(run["name"] == "odd" for run in shown.get("runs")["runs"]))
    shown.view(page, "player", "odd", step=1)
    text = page.wait_text(".values", "NaN")
    assert "[1, NaN]" in text
    assert "−∞" in text
    assert "_nonfinite" not in text


def test_a_clock_of_the_rows_own_is_counted_from_its_beginning(page: Page, shown: Shown) -> None:
    """Simulated time far from the machine's: End is the last step, and times are small."""
    with Experiment("lab/simulated", dash_root=shown.root, echo=False).run as experiment:
        for step in range(50):
            experiment.track("arm").append({"x": step}, step=step, timestamp=1e6 + step)
            experiment.metrics("train").log(step=step, loss=1.0)
    page.wait(lambda: any(run["name"] == "simulated" for run in shown.get("runs")["runs"]))
    shown.view(page, "player", "simulated", step=3)
    page.wait_text(".transport .said", "4 of 50")
    page.press("END")
    page.wait("document.querySelector('.transport .step').value === '49'")
    assert page.evaluate("document.querySelector('[aria-label^=\"Go to time\"]').value") == "49.00"


def test_rows_without_steps_are_shown_by_their_time(page: Page, shown: Shown) -> None:
    """A track without steps beside frames with steps has its values at each frame."""
    with Experiment("lab/stepless", dash_root=shown.root, echo=False).run as experiment:
        for step in range(20):
            at = 1_800_000_000.0 + step
            experiment.track("arm").append({"x": 100 + step}, timestamp=at)
            experiment.files("front").save_image(
                frame("front", step), to=f"{step}.png", step=step, timestamp=at
            )
    page.wait(lambda: any(run["name"] == "stepless" for run in shown.get("runs")["runs"]))
    shown.view(page, "player", "stepless", step=7)
    page.wait_text(".values", "107")


def test_it_plays_to_the_end_and_stops(page: Page, shown: Shown) -> None:
    """Space starts at the chosen speed; every step is shown on the way at 60 a second."""
    shown.view(page, "player", "one", step=150)
    wait_step(page, 150)
    page.run("document.querySelector('.transport select').value = '60 fps'")
    page.run("document.querySelector('.transport select').dispatchEvent(new Event('change'))")
    page.press(" ")
    page.wait("document.querySelector('.transport [data-sign=pause]') !== null")
    page.wait("document.querySelector('.transport [data-sign=play]') !== null")
    wait_step(page, STEPS - 1)


def test_playing_in_real_time_takes_as_long_as_the_recording(page: Page, shown: Shown) -> None:
    """Ten steps at 10 Hz take a second at 1×, to within what a busy machine needs."""
    shown.view(page, "player", "one", step=100)
    wait_step(page, 100)
    page.run("document.querySelector('.transport select').value = '1x'")
    page.run("document.querySelector('.transport select').dispatchEvent(new Event('change'))")
    took = page.run(
        """
        return new Promise((resolve) => {
          const field = document.querySelector('.transport .step');
          const begun = performance.now();
          document.querySelector('.transport [data-sign=play]').click();
          const look = () => Number(field.value) >= 110
            ? resolve(performance.now() - begun) : requestAnimationFrame(look);
          look();
        });
        """
    )
    assert 900 < took < 3000


def test_an_address_opens_the_same_picture(page: Page, shown: Shown) -> None:
    """The step that was moved to is in the address; who opens it sees that step."""
    shown.view(page, "player", "one")
    wait_step(page, 0)
    slide(page, 88)
    page.wait("location.search.includes('step=88')")
    address = page.url
    page.open("about:blank")
    page.open(address)
    wait_step(page, 88)


def test_two_runs_stand_on_the_same_step(page: Page, shown: Shown) -> None:
    """The frames of both are beside each other, and so are the values."""
    shown.view(page, "player", "one", "two", step=40)
    wait_step(page, 40, ("one", "two"))
    slide(page, 41)
    wait_step(page, 41, ("one", "two"))
    assert len(page.all('.values [data-stream="tracks/arm/joints"]')) == 2
    heads = page.evaluate("[...document.querySelectorAll('.camera b')].map(e => e.textContent)")
    assert heads == ["arm/wrist", "front"] * 2
    owners = page.evaluate("[...document.querySelectorAll('.owner')].map(e => e.textContent)")
    assert owners == ["one", "one", "two", "two"]


def test_runs_in_one_folder_are_told_by_their_last_names(page: Page, shown: Shown) -> None:
    """What the names of two runs have in common is left out where they stand beside each other."""
    for name in ("sweep/first", "sweep/second"):
        with Experiment(f"lab/{name}", dash_root=shown.root, echo=False).run as experiment:
            write_step(experiment, 0)
    page.wait(
        lambda: len([run for run in shown.get("runs")["runs"] if "sweep" in run["name"]]) == 2
    )
    shown.view(page, "player", "sweep/first", "sweep/second")
    page.wait("document.querySelectorAll('.owner').length === 4")
    owners = page.evaluate("[...document.querySelectorAll('.owner')].map(e => e.textContent)")
    assert owners == ["first", "first", "second", "second"]
    names = page.evaluate("[...document.querySelectorAll('#where b')].map(e => e.textContent)")
    assert names == ["first", "second"]


def test_a_path_is_not_drawn_from_one_episode_to_the_next(page: Page, shown: Shown) -> None:
    """Each episode is a line of its own."""
    shown.view(page, "player", "one")
    page.wait("document.querySelectorAll('.path polyline').length")
    counts = "[...document.querySelectorAll('.path polyline')].map(e => e.points.numberOfItems)"
    assert page.evaluate(counts) == [EPISODE] * (STEPS // EPISODE)


def test_a_click_on_a_curve_moves_the_player(page: Page, shown: Shown) -> None:
    """The frame is that of the step under the pointer."""
    shown.view(page, "player", "one", step=0)
    wait_step(page, 0)
    page.wait("document.querySelector('.curves .card-state')?.hidden")
    page.drag(".curves canvas", (0.6, 0.5))
    page.wait("Number(document.querySelector('.transport .step').value) > 50")
    step = int(page.evaluate('document.querySelector(".transport .step").value'))
    wait_step(page, step)


def test_a_live_run_is_followed(page: Page, shown: Shown) -> None:
    """Frames and rows appear as they are recorded, and the end of the run is told."""
    go_on, ended = threading.Event(), threading.Event()

    def train(root: Path) -> None:
        with Experiment("lab/live", dash_root=root, echo=False).run as experiment:
            for step in range(20):
                write_step(experiment, step)
            experiment.flush()
            go_on.wait(60)
            for step in range(20, 60):
                write_step(experiment, step)
            experiment.flush()
            ended.wait(60)

    thread = threading.Thread(target=train, args=(shown.root,))
    thread.start()
    try:
        page.wait(lambda: any(run["name"] == "live" for run in shown.get("runs")["runs"]))
        shown.view(page, "player", "live", step=5)
        page.wait(lambda: colour(page, picture("front", "live")) == [4, 0, 1])
        page.click(".transport [aria-pressed]")
        go_on.set()
        wanted = [int(value) for value in frame("front", 58)[0, 0]]
        page.wait(lambda: colour(page, picture("front", "live")) == wanted)
        ended.set()
        page.wait_text("#where", "completed")
    finally:
        go_on.set()
        ended.set()
        thread.join()


def test_a_followed_step_is_shown_with_its_own_frame(page: Page, shown: Shown) -> None:
    """Also while more comes: what grew during a reading is read, and a step waits for its frame."""
    over = threading.Event()

    def train(root: Path) -> None:
        with Experiment("lab/running", dash_root=root, echo=False).run as experiment:
            for step in range(10_000):
                write_step(experiment, step)
                if over.wait(0.05):
                    break

    thread = threading.Thread(target=train, args=(shown.root,))
    thread.start()
    try:
        page.wait(lambda: any(run["name"] == "running" for run in shown.get("runs")["runs"]))
        shown.view(page, "player", "running", step=0)
        page.wait("document.querySelector('.stage canvas')?.dataset.step")
        page.run(
            """window.places = [];
            new MutationObserver(() => places.push([
              Number(document.querySelector(".transport .step").value),
              Number(document.querySelector(".stage .mono").textContent.match(/\\d+/)?.[0]),
            ])).observe(document.querySelector(".stage .mono"), {childList: true})"""
        )
        page.click(".transport [aria-pressed]")
        page.wait("window.places.length > 9", patience=60)
        places = page.evaluate("window.places")
    finally:
        over.set()
        thread.join()
    # The camera that is looked at has a frame every 4 steps; of where the cursor goes first, it is
    # not known yet whether more frames come.
    late = [step - frame for step, frame in places[3:] if step - frame > 3]
    assert len(late) <= 2, places


def test_markup_is_shown_and_does_nothing(page: Page, shown: Shown) -> None:
    """Names and values that look like a page are text."""
    shown.view(page, "player", MARKUP.replace("/", ""), step=3)
    page.wait_text(".stage", "no frames")
    page.wait_text(".values", MARKUP)
    assert page.evaluate("document.querySelectorAll('main img').length") == 0


def test_the_address_has_the_look_that_this_browser_keeps(page: Page, shown: Shown) -> None:
    """A colleague's browser keeps another one, and shall show the same."""
    log = "[...document.querySelectorAll('.curves button')].find(b => b.textContent === 'Log')"
    told = "new URLSearchParams(location.search).get('log')"
    shown.view(page, "player", "one", step=5)
    page.wait(f"{told} === '0'")
    page.run(f"{log}.click()")
    page.wait(f"{told} === '1'")
    shown.view(page, "player", "one", step=6)
    page.wait(f"{told} === '1'")
    page.run("localStorage.clear()")
    page.open(page.url)
    page.wait(f"{log}?.getAttribute('aria-pressed') === 'true'")


def test_the_plane_of_the_path_is_in_the_address(page: Page, shown: Shown) -> None:
    """Who opens the address sees the same side of the way."""
    shown.view(page, "player", "space", step=5)
    page.wait("document.querySelector('.path circle')")
    choose = "const s = document.querySelector('[aria-label=Plane]'); s.value = 'xz';"
    page.run(f"{choose} s.dispatchEvent(new Event('change'))")
    page.wait("new URLSearchParams(location.search).get('plane') === 'xz'")
    page.wait_text(".path .mono", "5, 20")
    page.open(page.url)
    page.wait_text(".path .mono", "5, 20")
    assert page.evaluate("document.querySelector('[aria-label=Plane]').value") == "xz"
