"""A token leaves no trace: not in a file, a log, an exception, the list of processes or a URL."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from cli_process import command, environ
from dash_server import Person, ServerProcess

from ml_dash.cli import COMMANDS, main

TRAINING = """
import sys
from ml_dash import Experiment

experiment = Experiment("demo/canary", dash_root=sys.argv[1], dash_url=sys.argv[2])
with experiment.run:
    experiment.params.set(lr=0.1)
    for step in range(5):
        experiment.metrics("train").log(step=step, loss=0.5)
    experiment.log("done")
    print("ready", flush=True)
    sys.stdin.readline()
    print(experiment.flush(), repr(experiment), vars(experiment))
raise RuntimeError("with everything at hand: " + repr(vars(experiment)))
"""


class World:
    """A server, a person, and a machine of theirs, whose every trace is searched.

    Args:
        folder: of all that is written.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.home.mkdir()
        self.said: list[str] = []
        self._started: list[subprocess.Popen[str]] = []
        self.server = ServerProcess(folder / "server").start()
        self.person: Person = self.server.add_user("anna")

    def variables(self, token: str = "") -> dict[str, str]:
        """The environment of the machine."""
        made = {"HOME": str(self.home), "XDG_CONFIG_HOME": str(self.home / "config")}
        made["PYTHON_KEYRING_BACKEND"] = "keyring.backends.fail.Keyring"
        return environ(**made, **({"ML_DASH_TOKEN": token} if token else {}))

    def start(self, arguments: list[str], token: str = "") -> subprocess.Popen[str]:
        """Start a program there."""
        started = subprocess.Popen(
            arguments,
            env=self.variables(token),
            cwd=self.home,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._started.append(started)
        return started

    def train(self, token: str = "") -> str:
        """A run that is replicated and ends with an error; what it says, and who runs meanwhile."""
        root = str(self.folder / "runs")
        training = self.start([sys.executable, "-c", TRAINING, root, self.server.url], token)
        assert training.stdout is not None
        before = ""
        while "ready" not in before:
            line = training.stdout.readline()
            assert line, before
            before += line
        self.said.append(processes())
        said = before + training.communicate("\n", timeout=100)[0]
        assert training.returncode == 1 and "with everything at hand" in said, said
        self.said.append(said)
        return said

    def run(self, *arguments: str, token: str = "") -> str:
        """A command of ours."""
        said = self.start(command(*arguments), token).communicate(timeout=100)[0]
        self.said.append(said)
        return said

    def traces(self, *words: str) -> set[str]:
        """Where any of these words stands: files by path, and texts in full."""
        paths = [path for path in self.folder.rglob("*") if path.is_file()]
        found = {str(p) for p in paths if any(w.encode() in p.read_bytes() for w in words)}
        texts = [*self.said, *self.server.log, json.dumps(self.server.requests)]
        return found | {text for text in texts if any(word in text for word in words)}

    def close(self) -> None:
        """End what runs still."""
        for each in self._started:
            each.kill()
            each.communicate()
        self.server.stop()


def processes() -> str:
    """The command lines of all processes."""
    done = subprocess.run(["ps", "axww", "-o", "args"], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_a_token_of_the_environment_leaves_no_trace(world: World) -> None:
    """One that is refused and one that is taken: in no file, log, exception, process or URL."""
    bad = "mld_pat_canary-that-nobody-knows-0123456789abcdefghij"
    good = world.person.token()
    assert "with everything at hand" in world.train(bad)
    world.train(good)
    for token in (bad, good):
        for words in (["whoami", world.server.url], ["list", "--server", world.server.url]):
            world.run(*words, token=token)
    answers = {s for m, p, s in world.server.requests if (m, p) == ("POST", "/api/v1/runs")}
    assert {201, 401} <= answers
    assert len(world.traces("anna")) > 1  # the search sees database and output
    assert world.traces(bad, good, good.removeprefix("mld_pat_")) == set()


def test_a_login_is_kept_in_one_file_that_its_user_alone_reads(world: World) -> None:
    """Both tokens stand there, with mode 0600, and nowhere else; after the logout nowhere."""
    login = world.start(command("login", world.server.url, "--no-browser"))
    assert login.stdout is not None
    said = ""
    while "enter" not in said:
        line = login.stdout.readline()
        assert line, said
        said += line
    code = said.rpartition("enter")[2].strip()
    world.person.answer(code)
    said += login.communicate(timeout=100)[0]
    assert login.returncode == 0, said
    world.said.append(said)
    kept = [p for p in world.home.rglob("*") if p.is_file() and b"mld_rt_" in p.read_bytes()]
    assert [stat.S_IMODE(path.stat().st_mode) for path in kept] == [0o600]
    words = [part for part in kept[0].read_text("utf-8").split('"') if part.startswith("mld_")]
    assert {word[:7] for word in words} == {"mld_at_", "mld_rt_"}
    world.train()
    assert "anna" in world.run("whoami", world.server.url)
    assert world.traces(*words) == {str(kept[0])}
    world.run("logout", world.server.url)
    assert world.traces(*words) == set()


def test_the_log_of_the_server_tells_requests_and_no_secrets(world: World) -> None:
    """One JSON object a line: no query, header, cookie or form is in it, and none can be forged."""
    url, secret = world.server.url, "canary-0123456789"
    requests.get(f"{url}/welcome?token={secret}", timeout=30)
    requests.get(f"{url}/api/v1/me", headers={"Authorization": f"Bearer {secret}"}, timeout=30)
    requests.get(f"{url}/account", cookies={"ml_dash_session": secret}, timeout=30)
    form = {"csrf": secret, "name": "anna", "password": secret, "refresh_token": secret}
    requests.post(f"{url}/login?next=/{secret}", data=form, timeout=30)
    requests.post(f"{url}/oauth/token", data=form | {"grant_type": "refresh_token"}, timeout=30)
    requests.get(f'{url}/%0a{{"level":"error","forged":true}}', timeout=30)
    requests.get(f"{url}/api/v1/health", timeout=30)
    world.server.stop()
    rows = [json.loads(line) for line in world.server.log if line.startswith("{")]
    assert not [row for row in rows if "forged" in row]
    told = {(row["path"], row["status"]) for row in rows if "path" in row}
    assert {("/welcome", 404), ("/api/v1/me", 401), ("/account", 303)} <= told
    assert {("/login", 403), ("/oauth/token", 400)} <= told
    assert world.traces(secret) == set()


def test_no_command_takes_a_token_as_an_argument(capsys: pytest.CaptureFixture[str]) -> None:
    """The list of processes shows arguments to everybody: no option is for a token or password."""
    texts = ""
    for each in COMMANDS:
        assert main([each.name, "--help"]) == 0
        texts += capsys.readouterr().out
    options = {word.strip(",[]=") for word in texts.split() if word.startswith(("--", "[--"))}
    assert "--folder" in options and "--help" in options
    assert not [o for o in options if any(w in o for w in ("token", "password", "secret", "key"))]
