"""Which server a command is about, and what is said of one that is none."""

from __future__ import annotations

import pytest
from cli_process import Line


@pytest.mark.parametrize("name", ["login", "logout", "whoami", "token list", "list --server"])
def test_without_a_server_each_command_says_how_to_name_one(cli: Line, name: str) -> None:
    """In one line, with the exit code of what could not be done."""
    done = cli(*name.split())
    assert (done.code, done.out) == (2, "")
    assert "ml-dash login URL" in done.err and "ML_DASH_URL" in done.err
    assert done.err.count("\n") == 1


@pytest.mark.parametrize(
    ("url", "text"),
    [
        ("dash.example", "such as https://dash.example"),
        ("localhost:3000", "such as http://localhost:3000"),
        ("ftp://dash.example", "it must begin with https://"),
        ("https://anna:pw@dash.example", "has a password in it"),
        ("https://dash.example/?a=b", "ends before"),
        ("http://[", "is not the address of a server"),
        ("http://127.0.0.1:1", "nothing listens at http://127.0.0.1:1"),
        ("https://nowhere.invalid", "is not known here"),
    ],
)
def test_an_address_that_is_none_is_told(cli: Line, url: str, text: str) -> None:
    """With what is wrong about it; what may be a password is not repeated."""
    done = cli("login", url)
    assert done.code == 2
    assert text in done.err
    assert "pw@" not in done.err
    assert done.err.count("\n") == 1


def test_a_server_without_tls_elsewhere_is_warned_of(
    cli: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On this machine it is as it should be; on another, whoever listens has the token."""
    assert "without TLS" in cli("login", "http://nowhere.invalid").err
    for url in ("http://127.0.0.1:1", "http://localhost:1", "https://nowhere.invalid"):
        assert "without TLS" not in cli("login", url).err


def test_a_wrong_address_is_told_with_what_says_it(
    cli: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And without what follows it, which may be a secret."""
    monkeypatch.setenv("ML_DASH_URL", "http://dash.example/?token=secret")
    done = cli("list", "--server")
    assert done.code == 2
    assert "ML_DASH_URL: the address of a server ends before ? or #, such as " in done.err
    assert "'http://dash.example/'" in done.err and "secret" not in done.err
