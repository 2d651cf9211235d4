"""Records runs, opens the pages over them, and writes the pictures of the documentation.

make screenshots
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

HOME = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(HOME))

from PIL import Image  # noqa: E402

from tests.pages.browser import Page, start_browser  # noqa: E402
from tests.pages.shown import Shown  # noqa: E402

EXAMPLES = ("robot", "robot", "gymnasium_pixels", "quickstart")
IMAGES = HOME / "docs" / "images"
COLOURS = 200
"""A page has few: with so many, a picture takes a third of the bytes."""


def main() -> None:
    """Record, look, save."""
    with tempfile.TemporaryDirectory() as scratch:
        for name in EXAMPLES:
            subprocess.run([sys.executable, HOME / f"examples/{name}.py"], cwd=scratch, check=True)
        root = Path(scratch, ".dash")
        browser = start_browser(Path(scratch))
        try:
            with Shown(root) as shown:
                take(Page(browser, Path(scratch)), shown)
        finally:
            browser.quit()


def take(page: Page, shown: Shown) -> None:
    """Each picture of the documentation."""
    page.size(1280, 720)
    names = [run["name"] for run in shown.get("runs")["runs"]]
    robots = [name for name in names if name.startswith("robot")]
    pixels = next(name for name in names if name.startswith("gymnasium"))
    shown.open(page)
    page.wait("document.querySelectorAll('tbody tr').length === 4")
    save(page, "runs")
    shown.view(page, "player", robots[0], step=400)
    settled(page, "400")
    save(page, "player")
    page.theme("dark")
    shown.view(page, "player", *robots, step=700)
    settled(page, "700")
    save(page, "player_two")
    page.theme("light")
    shown.view(page, "player", pixels, step=300)
    settled(page, "300")
    save(page, "player_episodes")
    shown.view(page, "curves", *robots)
    page.wait("document.querySelectorAll('canvas').length > 2")
    page.run("return new Promise((done) => setTimeout(done, 1500))")
    save(page, "curves")


def settled(page: Page, step: str) -> None:
    """Wait until frames, values and curves are there."""
    page.wait("document.querySelector('.camera canvas')?.dataset.step === arguments[0]", step)
    page.wait("document.querySelector('.values').dataset.at === `step ${arguments[0]}`", step)
    page.wait("document.querySelectorAll('.curves canvas').length > 1")
    page.run("return new Promise((done) => setTimeout(done, 1500))")


def save(page: Page, name: str) -> None:
    """Write what is on the screen."""
    assert not page.problems(), page.problems()
    path = IMAGES / f"{name}.png"
    page.screenshot(path)
    with Image.open(path) as picture:
        small = picture.convert("RGB").quantize(COLOURS, method=Image.Quantize.MEDIANCUT)
    small.save(path, optimize=True)
    print(path.relative_to(HOME), f"{path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
