"""`ml-dash token`: tokens for machines, with a real server."""

from __future__ import annotations

import json
import os

import pytest
from cli_process import Line
from dash_server import Person

from ml_dash.remote import RemoteClient


def test_a_token_for_ci_is_made_used_listed_and_revoked(
    logged_in: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its text alone goes to stdout, once; with the scope `read` it makes no tokens."""
    mine = os.environ["ML_DASH_TOKEN"]
    done = logged_in("token", "create", "ci", "--scope", "read", "--expires", "12h")
    assert done.code == 0, done.err
    text = done.out.strip()
    assert text.startswith("mld_pat_") and "\n" not in text
    assert "shown once" in done.err
    listed = json.loads(logged_in("token", "list", "--json").out)
    (found,) = [token for token in listed if token["name"] == "ci"]
    assert found["scopes"] == ["read"]
    assert 43_000 < found["expires"] - found["created"] <= 43_200
    assert text not in logged_in("token", "list").out
    monkeypatch.setenv("ML_DASH_TOKEN", text)
    assert logged_in("whoami").code == 0
    refused = logged_in("token", "create", "another")
    assert (refused.code, refused.out) == (2, "")
    assert "refuses" in refused.err
    monkeypatch.setenv("ML_DASH_TOKEN", mine)
    assert logged_in("token", "revoke", "ci").out == "revoked ci\n"
    assert "there is no token 'ci'" in logged_in("token", "revoke", "ci").err
    monkeypatch.setenv("ML_DASH_TOKEN", text)
    gone = logged_in("whoami")
    assert gone.code == 2
    assert "does not take the token" in gone.err
    assert text not in gone.err


@pytest.mark.parametrize("time", ["", "12", "h", "-1d", "0d", "1.5h", "1e3d", "soon", "٣d"])
def test_a_time_that_is_none_is_refused(cli: Line, time: str) -> None:
    """Before the server is asked."""
    done = cli("token", "create", "x", f"--expires={time}", "--url", "http://127.0.0.1:1")
    assert done.code == 2
    assert "is no time" in done.err


def test_a_name_is_for_one_token(logged_in: Line, anna: Person) -> None:
    """A second one is refused; where there are two all the same, their ids are told."""
    assert logged_in("token", "create", "ro").code == 0
    again = logged_in("token", "create", "ro")
    assert (again.code, again.out) == (2, "")
    assert "there is a token 'ro' already" in again.err
    anna.client().json("POST", "/tokens", json={"name": "ro", "scopes": ["read"]})
    listed = json.loads(logged_in("token", "list", "--json").out)
    both = [str(token["id"]) for token in listed if token["name"] == "ro"]
    refused = logged_in("token", "revoke", "ro")
    assert refused.code == 2 and "there are 2 tokens 'ro'" in refused.err
    assert len(both) == 2 and all(each in refused.err for each in both)
    assert [logged_in("token", "revoke", each).code for each in both] == [0, 0]


@pytest.mark.parametrize("words", [("list",), ("create", "ci"), ("revoke", "ci")])
def test_another_program_at_the_address_is_told_in_a_sentence(
    cli: Line, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It answers JSON, but no tokens."""
    monkeypatch.setattr(RemoteClient, "json", lambda *asked, **options: {"hello": 1})
    monkeypatch.setenv("ML_DASH_TOKEN", "x")
    done = cli("token", *words, "--url", "http://127.0.0.1:1")
    assert done.code == 2 and "has no tokens in it" in done.err
