"""A run goes to a server while it is recorded, and is read back from there.

Where `ML_DASH_URL` names a server, that one is used, as whom you are logged in there. Otherwise a
server is started on this machine, in a folder that is removed afterwards, and what a person does
there once in a browser is done by this program: set a password, and make a token for the program.
The run is in the local folder as well, and would be without a server.

python examples/remote.py               # needs: pip install ".[server]"
python examples/remote.py --keep        # lets the server run, to look at its pages
"""

from __future__ import annotations

import argparse
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import requests

import ml_dash
from ml_dash import Experiment


@contextmanager
def server(keep: bool) -> Iterator[str]:
    """The address of a server that this program may write to."""
    if url := os.environ.get("ML_DASH_URL"):
        yield url
        return
    with tempfile.TemporaryDirectory() as folder, Path(folder, "log").open("w") as log:
        serve = [sys.executable, "-m", "ml_dash", "serve", "--folder", folder, "--port", "0"]
        with subprocess.Popen(serve, stdin=subprocess.DEVNULL, stderr=log) as process:
            try:
                url, link = wait_for(process, Path(log.name))
                password = secrets.token_urlsafe(9)
                os.environ["ML_DASH_TOKEN"] = make_token(url, link, password)
                os.environ["ML_DASH_URL"] = url  # no other server is shown the token
                yield url
                if keep:
                    input(f"pages    {url}: admin, password {password}; Enter ends the server ")
            finally:
                process.terminate()


def wait_for(process: subprocess.Popen, log: Path) -> tuple[str, str]:
    """What the server says when it has started: its address, and the administrator's link."""
    while not (found := re.search(r"running on (http://[\d.:]+)", log.read_text())):
        if process.poll() is not None:
            raise SystemExit(f"the server does not start:\n{log.read_text()}")
        time.sleep(0.05)
    return found[1], re.search(r"/welcome\?token=([\w-]+)", log.read_text())[1]


def make_token(url: str, link: str, password: str) -> str:
    """Set the password and make an API token, as a person does on two pages of the server."""
    browser = requests.Session()

    def csrf(page: str, **query: str) -> str:
        text = browser.get(url + page, params=query, timeout=30).text
        return re.search(r'name="csrf-token" content="(\w+)"', text)[1]

    form = {"csrf": csrf("/welcome", token=link), "token": link, "password": password}
    browser.post(f"{url}/welcome", data=form, timeout=30).raise_for_status()
    about, headers = {"name": "example"}, {"X-CSRF-Token": csrf("/account")}
    made = browser.post(f"{url}/api/v1/tokens", json=about, headers=headers, timeout=30)
    return made.json()["token"]


def record(experiment: Experiment) -> None:
    """A pendulum: its angle at each step, and a picture at every tenth."""
    angle, speed = 1.0, 0.0
    y, x = np.mgrid[0:96, 0:96] / 96
    for step in range(200):
        experiment.track("pendulum").append({"step": step, "angle": angle, "speed": speed})
        if step % 10 == 0:
            bob = (x - 0.5 - 0.4 * np.sin(angle)) ** 2 + (y - 0.4 * np.cos(angle)) ** 2 < 0.005
            experiment.files("camera").save_image(bob, to=f"frame_{step:05d}.png")
        speed -= 0.05 * 9.81 * np.sin(angle)
        angle += 0.05 * speed


def main() -> None:
    """Record, then read back from the server what it has got."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--keep", action="store_true", help="let the server run until Enter")
    options = parser.parse_args()

    with server(options.keep) as url:
        prefix = f"examples/remote-{time.strftime('%Y%m%d-%H%M%S')}"
        with Experiment(prefix, dash_root=options.root, dash_url=url).run as experiment:
            experiment.params.set(length=1.0, gravity=9.81)
            record(experiment)

        here = ml_dash.open_run(prefix, root=options.root)
        there = ml_dash.open_run(prefix, url=url)
        print(f"here     {here.folder}")
        print(f"there    {url}/{there.prefix}: {there.status}")
        same = np.array_equal(here.tracks["pendulum"]["angle"], there.tracks["pendulum"]["angle"])
        print(f"rows     {len(there.tracks['pendulum'])} on the server, the same as here: {same}")
        rows = there.aligned("pendulum", frames="camera")
        print(f"frames   {rows.has_frame().sum()}, at steps {rows.steps[rows.has_frame()][:4]}, …")
        print(f"look     ml-dash show {prefix} --root {options.root}; in a browser with --keep")


if __name__ == "__main__":
    main()
