"""A headless Chromium, and a page in it that remembers what should not have happened."""

from __future__ import annotations

import base64
import json
import re
import shutil
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from selenium import webdriver
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.actions.action_builder import ActionBuilder
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # the tests may run as root, in a container
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-search-engine-choice-screen",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    # Nothing else has an address: what a page would ask of another machine is seen, and not sent
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
PATIENCE = 20.0
"""Seconds that something on a page may take."""

_OWN = ("127.0.0.1", "localhost", "::1")
_INSIDE = ("data", "blob", "about", "devtools", "chrome")
_WIDTH, _HEIGHT = 1280, 800


def start_browser(downloads: Path) -> webdriver.Chrome:
    """A Chromium of the system, with the driver that belongs to it.

    Args:
        downloads: folder for what pages save.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = _find("chromium", "google-chrome")
    for flag in FLAGS:
        options.add_argument(flag)
    options.add_argument(f"--window-size={_WIDTH},{_HEIGHT}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    options.add_experimental_option(
        "perfLoggingPrefs", {"enableNetwork": True, "enablePage": False}
    )
    options.add_experimental_option(
        "prefs",
        {"download.default_directory": str(downloads), "download.prompt_for_download": False},
    )
    service = webdriver.ChromeService(executable_path=_find("chromedriver"))
    return webdriver.Chrome(options=options, service=service)


class Page:
    """What a person sees and does; the trouble of a page is gathered in `problems`.

    Args:
        driver: the browser.
        downloads: folder for what pages save.

    Attributes:
        asked: the address of each request that was made.
    """

    def __init__(self, driver: webdriver.Chrome, downloads: Path) -> None:
        self.driver = driver
        self.downloads = downloads
        self.asked: list[str] = []
        self._problems: list[str] = []
        self._expected: list[str] = []
        self._origins: set[str] = set()

    # -- looking -----------------------------------------------------------------------------------

    def open(self, url: str) -> None:
        """Go somewhere, and wait until it has loaded."""
        self._origins.add("{0.scheme}://{0.netloc}".format(urlsplit(url)))
        self.driver.get(url)

    def leave(self) -> None:
        """Close what is shown, before its server ends."""
        self.driver.get("about:blank")

    @property
    def url(self) -> str:
        """Where the page is now."""
        return str(self.driver.current_url)

    def evaluate(self, script: str, *arguments: Any) -> Any:
        """The value of an expression in the page; `arguments[0]` and so on are given to it."""
        return self.driver.execute_script(f"return ({script})", *arguments)

    def run(self, script: str, *arguments: Any) -> Any:
        """What statements return, or what the promise that they return becomes."""
        return self.driver.execute_script(script, *arguments)

    def wait(
        self, condition: str | Callable[[], Any], *arguments: Any, patience: float = PATIENCE
    ) -> Any:
        """Ask until an expression in the page, or a function here, gives something true."""
        ask = condition if callable(condition) else partial(self.evaluate, condition, *arguments)
        end = time.monotonic() + patience
        while True:
            found = ask()
            if found:
                return found
            if time.monotonic() > end:
                said = "; ".join(self.problems()) or "the page has no complaints"
                raise AssertionError(f"waited {patience} s for {condition}: {said}")
            time.sleep(0.02)

    def all(self, selector: str) -> list[WebElement]:
        """Each element that a CSS selector finds."""
        return list(self.driver.find_elements(By.CSS_SELECTOR, selector))

    def find(self, selector: str) -> WebElement:
        """The first element that a CSS selector finds, once it is there and visible."""

        def seen() -> WebElement | None:
            return next((each for each in self.all(selector) if each.is_displayed()), None)

        found = self.wait(seen)
        assert isinstance(found, WebElement)
        return found

    def text(self, selector: str = "body") -> str:
        """What an element reads."""
        return str(self.find(selector).text)

    def wait_text(self, selector: str, part: str) -> str:
        """What an element reads, once it holds `part`."""
        texts = "[...document.querySelectorAll(arguments[0])].map(e => e.textContent)"
        script = f"{texts}.find(text => text.includes(arguments[1]))"
        return str(self.wait(script, selector, part))

    def screenshot(self, path: Path | None = None, selector: str | None = None) -> bytes:
        """A PNG of what is on the screen, or of one element."""
        picture = (
            self.find(selector).screenshot_as_png
            if selector
            else self.driver.get_screenshot_as_png()
        )
        if path is not None:
            path.write_bytes(picture)
        return bytes(picture)

    # -- doing -------------------------------------------------------------------------------------

    def click(self, selector: str) -> None:
        """Click on the first element that a selector finds."""
        self.find(selector).click()

    def type(self, selector: str, text: str) -> None:
        """Put text in place of what a field holds."""
        field = self.find(selector)
        field.send_keys(Keys.CONTROL, "a", Keys.NULL, Keys.DELETE, text)

    def press(self, *keys: str, holding: str = "") -> None:
        """Press keys where the focus is, by the names of `Keys` ("ARROW_LEFT") or as characters."""
        chain = ActionChains(self.driver, duration=0)
        if holding:
            chain.key_down(_key(holding))
        for key in keys:
            chain.send_keys(_key(key))
        if holding:
            chain.key_up(_key(holding))
        chain.perform()

    def move(self, selector: str, x: float = 0.5, y: float = 0.5) -> None:
        """Move the mouse to a place in an element: parts of its width and height."""
        self._point(selector, [(x, y)], press=False)

    def drag(self, selector: str, *places: tuple[float, float]) -> None:
        """Press the mouse at the first place in an element, and let it go at the last."""
        self._point(selector, places, press=True)

    def double_click(self, selector: str) -> None:
        """Click twice in the middle of an element."""
        ActionChains(self.driver, duration=0).double_click(self.find(selector)).perform()

    def wheel(self, selector: str, amount: int, holding: str = "") -> None:
        """Turn the wheel over the middle of an element."""
        origin = webdriver.common.actions.wheel_input.ScrollOrigin.from_element(self.find(selector))
        chain = ActionChains(self.driver, duration=0)
        if holding:
            chain.key_down(_key(holding))
        chain.scroll_from_origin(origin, 0, amount)
        if holding:
            chain.key_up(_key(holding))
        chain.perform()

    def _point(self, selector: str, places: Sequence[tuple[float, float]], press: bool) -> None:
        box = self.run(
            "const e = arguments[0]; e.scrollIntoView({block: 'nearest'});"
            "const r = e.getBoundingClientRect(); return [r.x, r.y, r.width, r.height]",
            self.find(selector),
        )
        builder = ActionBuilder(self.driver, duration=0)
        mouse: Any = builder.pointer_action  # its methods have no types
        for number, (x, y) in enumerate(places):
            mouse.move_to_location(round(box[0] + x * box[2]), round(box[1] + y * box[3]))
            if press and number == 0:
                mouse.pointer_down()
        if press:
            mouse.pointer_up()
        builder.perform()

    # -- the machine that the browser runs on ------------------------------------------------------

    def theme(self, name: str) -> None:
        """Let the system prefer `dark` or `light`."""
        feature = {"name": "prefers-color-scheme", "value": name}
        self.command("Emulation.setEmulatedMedia", features=[feature])

    def size(self, width: int, height: int, scale: float = 1.0) -> None:
        """The size of the window in CSS pixels, and how many of the screen's make one."""
        self.command(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=scale,
            mobile=False,
        )

    def command(self, name: str, /, **parameters: Any) -> Any:
        """A command of the Chrome DevTools Protocol."""
        return self.driver.execute_cdp_cmd(name, parameters)

    def saved(self, name: str) -> bytes:
        """The content of a file that the page has saved."""
        path = self.downloads / name
        self.wait(lambda: path.exists() and not list(self.downloads.glob("*.crdownload")))
        return path.read_bytes()

    # -- what went wrong ---------------------------------------------------------------------------

    def expect(self, pattern: str) -> None:
        """A problem that matches this regular expression is part of the test; it has to come."""
        self._expected.append(pattern)

    def problems(self) -> list[str]:
        """Errors on the console, violations of the policy, and requests that left the machine."""
        for entry in self._log("browser"):
            if entry["level"] == "SEVERE":
                self._problems.append(f"{entry['source']}: {entry['message']}")
        for entry in self._log("performance"):
            message = json.loads(entry["message"])["message"]
            self._look(message["method"], message["params"])
        return [p for p in self._problems if not any(re.search(e, p) for e in self._expected)]

    def unseen(self) -> list[str]:
        """Expected problems that did not come."""
        return [e for e in self._expected if not any(re.search(e, p) for p in self._problems)]

    def _look(self, method: str, params: dict[str, Any]) -> None:
        if method == "Network.requestWillBeSent":
            url = params["request"]["url"]
        elif method in ("Network.webSocketCreated", "Network.webTransportCreated"):
            url = params["url"]
        else:
            return
        parts = urlsplit(url)
        if parts.scheme in _INSIDE:
            return
        self.asked.append(url)
        if parts.hostname not in _OWN:
            self._problems.append(f"request: {url} leaves the machine")

    def _log(self, kind: str) -> list[dict[str, Any]]:
        driver: Any = self.driver  # has no types there
        return list(driver.get_log(kind))

    def close(self) -> None:
        """Forget everything, for the next test."""
        first, *others = self.driver.window_handles
        for handle in others:
            self.driver.switch_to.window(handle)
            self.driver.close()
        self.driver.switch_to.window(first)
        self.leave()
        for origin in self._origins:
            self.command("Storage.clearDataForOrigin", origin=origin, storageTypes="all")
        self.command("Network.clearBrowserCookies")
        self.command("Emulation.clearDeviceMetricsOverride")
        self.command("Emulation.setEmulatedMedia", features=[])
        self._log("browser")
        self._log("performance")
        for path in self.downloads.iterdir():
            path.unlink()


def decode(url: str) -> bytes:
    """The content of a `data:` address in base64."""
    return base64.b64decode(url.partition(",")[2])


def _key(name: str) -> str:
    return str(getattr(Keys, name)) if len(name) > 1 else name


def _find(*names: str) -> str:
    for name in names:
        if found := shutil.which(name):
            return found
    raise RuntimeError(f"no {names[0]}: apt-get install chromium chromium-driver")
