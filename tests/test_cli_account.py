"""`ml-dash login`, `logout`, `whoami`, `token`, `download` and `delete`, with a real server."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
from cli_process import Line, command, environ
from dash_server import Person, ServerProcess, Token

from ml_dash.auth import device
from ml_dash.auth.store import Tokens, TokenStore
from ml_dash.cli import account
from ml_dash.remote import RemoteClient, UnauthorizedError


def decide(monkeypatch: pytest.MonkeyPatch, person: Person, decision: str = "approve") -> None:
    """Have a person type the code at once, and time not be waited for."""
    real = device.wait

    def wait(transport: Any, grant: device.Grant) -> Any:
        person.answer(grant.user_code, decision)
        return real(transport, grant, sleep=lambda seconds: None)

    monkeypatch.setattr(device, "wait", wait)


def is_good(server: ServerProcess, tokens: Tokens) -> bool:
    """Whether the server takes an access token."""
    try:
        RemoteClient(server.url, Token(str(tokens.access))).json("GET", "/me")
    except UnauthorizedError:
        return False
    return True


def test_login_keeps_the_server_and_the_token(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Address and code are shown; afterwards commands need neither URL nor token."""
    decide(monkeypatch, anna)
    done = cli("login", server.url)
    assert done.code == 0, done.err
    assert done.out.startswith(f"open   {server.url}/device\nenter  ")
    assert f"logged in to {server.url} as anna" in done.out
    file = config.parent / "credentials.json"
    assert str(file) in done.err and str(config) in done.err
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = TokenStore().load(server.url)
    assert kept is not None and str(kept.access) not in done.out + done.err
    who = cli("whoami")
    assert who.code == 0 and who.out.startswith(f"anna on {server.url}\n  anna  owner\n")
    found = json.loads(cli("whoami", "--json").out)
    assert (found["url"], found["own"], found["user"]["name"]) == (server.url, "anna", "anna")
    assert cli("logout").code == 0


def test_a_second_login_ends_the_first(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without URL it is at the kept server; its tokens take the place of the older ones there."""
    decide(monkeypatch, anna)
    assert cli("login", server.url).code == 0
    first = TokenStore().load(server.url)
    done = cli("login")
    assert done.code == 0, done.err
    second = TokenStore().load(server.url)
    assert first is not None and second is not None and first.access != second.access
    assert not is_good(server, first)
    assert cli("whoami").code == 0


def test_a_wrong_setting_does_not_break_a_login(
    cli: Line, server: ServerProcess, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is told beside the login, which stands."""
    decide(monkeypatch, anna)
    monkeypatch.setenv("ML_DASH_ENCODERS", "many")
    done = cli("login", server.url)
    assert done.code == 0
    assert done.err.splitlines()[-1].startswith("ml-dash: ML_DASH_ENCODERS is 'many'")
    assert TokenStore().load(server.url) is not None


def test_logout_ends_the_login_on_the_server(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Its token is refused from then on; the server is not the kept one any more."""
    decide(monkeypatch, anna)
    cli("login", server.url)
    kept = TokenStore().load(server.url)
    assert kept is not None
    done = cli("logout")
    assert (done.code, done.out) == (0, f"logged out of {server.url}\n")
    assert not done.err
    assert not is_good(server, kept)
    assert "canary" not in config.read_text() and server.url not in config.read_text()
    assert TokenStore().servers() == []
    again = cli("logout", server.url)
    assert (again.code, again.out) == (0, f"nobody was logged in to {server.url}\n")


def test_logout_works_without_the_server(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The token is forgotten here, and it is said that the server could not be told."""
    with ServerProcess(tmp_path / "other") as other:
        decide(monkeypatch, other.add_user("bob"))
        assert cli("login", other.url).code == 0
        url = other.url
    done = cli("logout")
    assert (done.code, done.out) == (0, f"logged out of {url}\n")
    assert "the server could not be told" in done.err
    assert TokenStore().servers() == []


def test_a_login_that_was_refused_keeps_nothing(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Neither token nor server."""
    decide(monkeypatch, anna, "deny")
    done = cli("login", server.url)
    assert done.code == 2
    assert done.err.splitlines()[-1] == (
        "ml-dash: the login was refused on the page; nobody is logged in"
    )
    assert not config.parent.exists() or not list(config.parent.iterdir())


def test_what_goes_before_a_login_is_told(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A token or another server in the environment."""
    decide(monkeypatch, anna)
    monkeypatch.setenv("ML_DASH_TOKEN", "canary")
    monkeypatch.setenv("ML_DASH_URL", "https://other.test")
    done = cli("login", server.url)
    assert done.code == 0, done.err
    assert "ML_DASH_TOKEN is set and goes before this login" in done.err
    assert "runs go to https://other.test" in done.err
    assert "canary" not in done.err


def test_a_server_that_cannot_be_kept_is_told(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The configuration file is no TOML: the login stands, and the file stays as it is."""
    decide(monkeypatch, anna)
    config.parent.mkdir()
    config.write_text("url = [\n")
    done = cli("login", server.url)
    assert done.code == 2
    assert f"{server.url} is not kept" in done.err and "is not valid TOML" in done.err
    kept = TokenStore().load(server.url)
    assert kept is not None and is_good(server, kept)
    assert config.read_text() == "url = [\n"


def test_a_login_that_cannot_be_kept_is_given_back(
    cli: Line,
    server: ServerProcess,
    anna: Person,
    config: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """On a full disk the new token ends on the server, too: nobody could end it later."""
    decide(monkeypatch, anna)

    def full(self: TokenStore, url: str, tokens: Tokens) -> str:
        made.append(tokens)
        raise OSError(28, "No space left on device")

    made: list[Tokens] = []
    monkeypatch.setattr(TokenStore, "save", full)
    done = cli("login", server.url)
    assert done.code == 2
    assert "No space left on device" in done.err
    assert not is_good(server, made[0])
    assert not config.exists()


@pytest.mark.parametrize(
    ("variables", "opens"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({}, False),
        ({"DISPLAY": ":0", "CI": "true"}, False),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "10.0.0.1 22"}, False),
    ],
)
def test_a_browser_opens_only_where_somebody_sits(
    config: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], opens: bool
) -> None:
    """Not in CI, nor over SSH, nor without a display."""
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    assert account._is_attended() is opens


def test_ctrl_c_ends_a_login_without_a_trace(
    server: ServerProcess, config: Path, tmp_path: Path
) -> None:
    """With 130, no traceback, and nothing kept; at a terminal, where codes are shown at once."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        command("login", server.url),
        env=environ(
            ML_DASH_CONFIG=str(config), PYTHON_KEYRING_BACKEND="keyring.backends.null.Keyring"
        ),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        seen = b""
        while b"Ctrl-C" not in seen:
            seen += os.read(controller, 4096)
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    rest = b""
    try:
        while more := os.read(controller, 4096):
            rest += more
    except OSError:
        pass  # the terminal's other end is closed
    os.close(controller)
    assert b"Traceback" not in rest
    assert not config.parent.exists()
