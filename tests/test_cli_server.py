"""The commands that look at a run, given one on a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from cli_process import Line
from dash_server import Person, ServerProcess

from ml_dash import Experiment
from ml_dash.auth import store
from ml_dash.sync import replicate

FRAMES = 24
ROWS = 3_000


class Served(NamedTuple):
    """A server, one of its users, and a run that is there and here."""

    server: ServerProcess
    anna: Person
    token: str
    root: Path


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One server for all tests of this file; the run `robotics/arm` is on it."""
    root = tmp_path_factory.mktemp("runs")
    with ServerProcess(tmp_path_factory.mktemp("server")) as server:
        anna = server.add_user("anna")
        replicate(record(root), anna.client(), "robotics/arm")
        yield Served(server, anna, anna.token(), root)


def record(root: Path) -> Path:
    """A run with what the commands show: messages, rows, metrics, frames and files."""
    made = Experiment("robotics/arm", dash_root=root, echo=False, environment=False, tags=["demo"])
    chance = np.random.default_rng(0)
    with made.run as experiment:
        experiment.params.set(lr=0.5)
        experiment.log("began")
        experiment.log("joint is hot", level="warning", joint=3)
        for step in range(ROWS):
            experiment.track("robot/position").append({"step": step, "x": step / 7, "y": 0.5})
        for step in range(100):
            experiment.metrics("train").log(step=step, loss=1 / (step + 1))
        for step in range(FRAMES):
            pixels = chance.integers(0, 255, (48, 64, 3), np.uint8)
            experiment.files("robot/frames").save_image(pixels, to=f"frame_{step:05}.jpg")
        experiment.files("models").save_blob(bytes(3_000_000), to="model.bin")
    assert made.folder is not None
    return made.folder


class Cli(Line):
    """Runs a command as the user whose token is in the environment."""

    def __init__(self, served: Served, capture: pytest.CaptureFixture[str]) -> None:
        super().__init__(capture)
        self.served = served

    def asked(self, *arguments: object) -> list[tuple[str, str, int]]:
        """The requests of a command that went well."""
        self.served.server.settle()
        before = len(self.served.server.requests)
        done = self(*arguments)
        assert done.code == 0, done.err
        self.served.server.settle()
        return self.served.server.requests[before:]


@pytest.fixture
def cli(
    served: Served,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Cli:
    monkeypatch.setattr(store, "_keyring", lambda: None)
    monkeypatch.setenv("ML_DASH_CONFIG", str(tmp_path / "config" / "config.toml"))
    monkeypatch.setenv("ML_DASH_URL", served.server.url)
    monkeypatch.setenv("ML_DASH_TOKEN", served.token)
    monkeypatch.delenv("ML_DASH_ROOT", raising=False)
    monkeypatch.chdir(tmp_path)
    return Cli(served, capsys)


def test_list_shows_the_runs_of_a_server(cli: Cli) -> None:
    """With status, prefix and tags as the list of local runs has them; by one request."""
    done = cli("list", "--server", "--json")
    assert done.code == 0, done.err
    (found,) = json.loads(done.out)
    assert (found["status"], found["prefix"], found["tags"]) == (
        "COMPLETED",
        "anna/robotics/arm",
        ["demo"],
    )
    assert found["folder"] == f"{cli.served.server.url}/anna/robotics/arm"
    assert len(cli.asked("list", "--server")) == 1
    assert "no runs match 'nothing'" in cli("list", "nothing", "--server").err


@pytest.mark.parametrize("way", ["own", "whole", "address", "url"])
def test_a_run_is_named_in_any_of_the_ways(cli: Cli, way: str) -> None:
    """By its prefix, with and without the namespace, and by its address."""
    url = cli.served.server.url
    named = {
        "own": ["robotics/arm", "--server"],
        "whole": ["anna/robotics/arm", "--server"],
        "address": [f"{url}/anna/robotics/arm"],
        "url": ["robotics/arm", "--url", f"{url}/"],
    }[way]
    done = cli("show", *named, "--json")
    assert json.loads(done.out)["prefix"] == "anna/robotics/arm", done.err


def without(found: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name not in names}


def test_show_says_of_a_run_on_a_server_what_it_says_of_the_local_one(cli: Cli) -> None:
    """All but where it is and how it is called."""
    local = json.loads(cli("show", "robotics/arm", "--root", cli.served.root, "--json").out)
    remote = json.loads(cli("show", "robotics/arm", "--server", "--json").out)
    assert remote["folder"] is None
    assert without(remote, "folder", "prefix") == without(local, "folder", "prefix")


def test_logs_of_a_server_are_the_local_ones(cli: Cli) -> None:
    """Line by line, by few requests."""
    local = cli("logs", "robotics/arm", "--root", cli.served.root)
    remote = cli("logs", "robotics/arm", "--server")
    assert "joint is hot" in remote.out
    assert remote.out == local.out
    assert len(cli.asked("logs", "robotics/arm", "--server")) < 15


def test_check_looks_at_every_byte_on_the_server(cli: Cli) -> None:
    """And comes to the same counts as of the local run."""
    local = json.loads(cli("check", "robotics/arm", "--root", cli.served.root, "--json").out)
    remote = json.loads(cli("check", "robotics/arm", "--server", "--json").out)
    same = ("ok", "rows", "files", "segments", "frames")
    assert {k: remote.get(k) for k in same} == {k: local.get(k) for k in same}
    assert len(cli.asked("check", "robotics/arm", "--server")) < FRAMES + 8


@pytest.mark.parametrize("form", ["npy", "png"])
def test_export_makes_of_a_run_on_a_server_what_it_makes_of_the_local_one(
    cli: Cli, tmp_path: Path, form: str
) -> None:
    """File by file and byte by byte, but for the readme, which says where it came from."""
    for name, where in (("here", ["--root", str(cli.served.root)]), ("there", ["--server"])):
        done = cli("export", "robotics/arm", "--format", form, "-o", tmp_path / name, *where)
        assert done.code == 0, done.err
    made = {
        name: {
            path.name.partition("arm_")[2]: path.read_bytes()
            for path in (tmp_path / name).iterdir()
            if "README" not in path.name and "metadata" not in path.name
        }
        for name in ("here", "there")
    }
    assert len(made["here"]) >= 3
    assert made["there"] == made["here"]


def test_frames_of_a_server_make_a_sheet(cli: Cli, tmp_path: Path) -> None:
    """The same as of the local run; only the frames that it shows are fetched."""
    for name, where in (("here", ["--root", str(cli.served.root)]), ("there", ["--server"])):
        done = cli("frames", "robotics/arm", "-n", 4, "-o", tmp_path / f"{name}.png", *where)
        assert done.code == 0, done.err
    assert (tmp_path / "there.png").read_bytes() == (tmp_path / "here.png").read_bytes()
    asked = cli.asked("frames", "robotics/arm", "-n", 4, "-o", tmp_path / "x.png", "--server")
    assert len({path for _, path, _ in asked if "frame_" in path}) == 4
