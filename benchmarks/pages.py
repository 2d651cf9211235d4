"""The pages in a real browser, without a screen: first curve, slider, list of runs.

The browser and the server share the machine's cores. A time begins when the browser is told to go
to an address, and ends when what is asked for is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from benchmarks.recording import Bench, DataLost
from benchmarks.table import Result, duration
from benchmarks.timing import median
from ml_dash import Experiment
from tests.pages.browser import Page, start_browser
from tests.pages.shown import Shown

_PATIENCE = 120.0
_DRAWN = """(card => card && card.querySelector('.card-state').hidden &&
    !card.hasAttribute('aria-busy'))(document.querySelector('[data-key="metrics/train:loss"]'))"""
_RATE = 30.0  # frames a second that the slider is to reach
_SCRUB = """
return new Promise((resolve) => {
  const slider = document.querySelector('.slider');
  const canvas = document.querySelector('.camera canvas');
  const last = Number(slider.max);
  const move = (place) => {
    slider.value = String(place);
    slider.dispatchEvent(new Event('input', {bubbles: true}));
  };
  let place = 0;
  const begun = performance.now();
  const tick = () => {
    if (canvas.dataset.step === String(place)) {
      if (place === last) { resolve(performance.now() - begun); return; }
      place += 1;
      move(place);
    }
    requestAnimationFrame(tick);
  };
  move(0);
  requestAnimationFrame(tick);
});
"""
_SEEK = """
return new Promise((resolve) => {
  const slider = document.querySelector('.slider');
  const canvas = document.querySelector('.camera canvas');
  const place = Math.floor(Number(slider.max) * arguments[0]);
  const begun = performance.now();
  slider.value = String(place);
  slider.dispatchEvent(new Event('input', {bubbles: true}));
  const look = () => canvas.dataset.step === String(place)
    ? resolve(performance.now() - begun) : requestAnimationFrame(look);
  look();
});
"""


def slider(bench: Bench) -> Iterator[Result]:
    """480x640 frames under the slider, one after the other, and far from each other."""
    many = bench.scale.jpegs
    with bench.place() as root, _page(root) as page:
        _record_frames(root, many)
        with Shown(root) as shown:
            rates, seeks = [], []
            for _ in range(bench.scale.rounds):
                shown.view(page, "player", "frames")
                page.wait("document.querySelector('.camera canvas')?.dataset.step === '0'")
                page.driver.set_script_timeout(_PATIENCE)
                rates.append(many / page.run(_SCRUB) * 1000)
                seeks += [page.run(_SEEK, share) / 1000 for share in (0.9, 0.1, 0.7, 0.3)]
            page.leave()
    rate = median(rates)
    yield Result(
        f"slider over {many:,} frames of 480x640: each is drawn before the next is asked for",
        f"≥ {_RATE:.0f} frames a second",
        "",
        f"{rate:.0f} frames a second",
        met=rate >= _RATE if many > 100 else None,
        note=f"far jumps: {duration(median(seeks))} (median), {duration(max(seeks))} at most",
    )


def first_curve(bench: Bench) -> Iterator[Result]:
    """The curve of a long run, from the address until it is drawn."""
    many = bench.scale.read_rows
    with bench.place() as root, _page(root) as page:
        with Experiment("bench/long", dash_root=root, echo=False, dash_url=False).run as experiment:
            train = experiment.metrics("train")
            for step in range(many):
                train.log(step=step, loss=1.0 / (step + 1), lr=0.1)
        colds, warms = [], []
        for _ in range(bench.scale.rounds):
            with Shown(root) as shown:
                address = f"{shown.url}/view?run={shown.run_id('long')}&tab=curves"
                shown.open(page)
                colds.append(_until_drawn(page, address))
                warms.append(_until_drawn(page, address))
                page.leave()
    yield Result(
        f"first curve of a run of {many:,} rows, never looked at before",
        "",
        "",
        duration(median(colds)),
        note=f"again: {duration(median(warms))}",
    )


def table(bench: Bench) -> Iterator[Result]:
    """The table of very many runs in a folder: until it is shown, and after a filter is typed."""
    many = bench.scale.list_runs
    with bench.place() as root, _page(root) as page:
        _record_runs(root, many)
        with Shown(root) as shown:
            page.wait(lambda: shown.get("runs")["total"] == many, patience=_PATIENCE)
            opened, filtered = [], []
            for _ in range(bench.scale.rounds):
                begun = time.perf_counter()
                shown.open(page)
                page.wait("document.querySelectorAll('tbody tr[data-id]').length > 0")
                opened.append(time.perf_counter() - begun)
                begun = time.perf_counter()
                page.type("input[type=search]", f"lr = {many - 1}")
                page.wait("document.querySelectorAll('tbody tr[data-id]').length === 1")
                filtered.append(time.perf_counter() - begun)
            page.leave()
    yield Result(
        f"table of {many:,} runs in a folder, from the address until it is shown",
        "",
        "",
        duration(median(opened)),
        note=f"a filter, from first key to its one run: {duration(median(filtered))}",
    )


@contextmanager
def _page(root: Path) -> Iterator[Page]:
    downloads = root / "downloads"
    downloads.mkdir()
    driver = start_browser(downloads)
    try:
        page = Page(driver, downloads)
        yield page
        if problems := page.problems():
            raise DataLost(f"the page complains: {problems[0]}")
    finally:
        driver.quit()


def _until_drawn(page: Page, address: str) -> float:
    begun = time.perf_counter()
    page.open(address)
    page.wait(_DRAWN, patience=_PATIENCE)
    page.run("return new Promise(d => requestAnimationFrame(() => requestAnimationFrame(d)))")
    return time.perf_counter() - begun


def _record_frames(root: Path, many: int) -> None:
    random = np.random.default_rng(0)
    base = random.integers(0, 255, (60, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    with Experiment("bench/frames", dash_root=root, echo=False, dash_url=False).run as experiment:
        camera, track = experiment.files("camera"), experiment.track("arm")
        for step in range(many):
            at = 1.8e9 + step / 30
            pixels = np.roll(base, 3 * step, axis=1)
            camera.save_image(pixels, to=f"{step:05d}.jpg", step=step, timestamp=at)
            track.append({"x": step / many, "q": [0.1 * step] * 6}, step=step, timestamp=at)


def _record_runs(root: Path, many: int) -> None:
    """The same run under many names: what is found and sorted by differs."""
    with Experiment("bench/first", dash_root=root, echo=False, dash_url=False).run as experiment:
        experiment.params.set(lr=-1, layers=4)
        experiment.metrics("train").log(step=1, loss=0.5)
    first = root / "bench" / "first"
    for number in range(1, many):
        own = root / "bench" / f"run-{number}"
        for path in first.rglob("*.jsonl"):
            copy = own / path.relative_to(first)
            copy.parent.mkdir(parents=True, exist_ok=True)
            text = path.read_text().replace('"lr":-1', f'"lr":{number}')
            copy.write_text(text)
