"""Renewing tokens: in time, after a refusal, by one of several threads and processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import requests
from answers import ABOUT, URL, Clock, Scripted, answer
from cli_process import environ
from dash_server import Person, ServerProcess

from ml_dash.auth import store, tokens
from ml_dash.auth.private import locked
from ml_dash.auth.store import Tokens, TokenStore
from ml_dash.auth.tokens import Credentials
from ml_dash.remote import UnauthorizedError, UnreachableError
from ml_dash.remote.transport import Hidden

NEXT = {"access_token": "second", "refresh_token": "renew-2", "expires_in": 3600}

PROCESS = """
import os, sys
from ml_dash.auth.signed_in import signed_in
client = signed_in(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    assert client.json("GET", "/me")["own"] == "anna"
print("done", flush=True)
"""


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "_keyring", lambda: None)
    monkeypatch.delenv("ML_DASH_TOKEN", raising=False)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def kept(tmp_path: Path, clock: Clock) -> TokenStore:
    """A store with tokens that end in an hour."""
    made = TokenStore(tmp_path / "config")
    endpoint = ABOUT["token_endpoint"]
    made.save(URL, Tokens(Hidden("first"), Hidden("renew"), clock.now + 3600.0, endpoint))
    return made


def serve(monkeypatch: pytest.MonkeyPatch, *answers: requests.Response | Exception) -> Scripted:
    """Have the server give these answers to whoever renews."""
    made = Scripted(*answers)
    monkeypatch.setattr(tokens, "Transport", lambda url, timeout: made)
    return made


def test_a_token_is_shown_until_shortly_before_its_end(
    kept: TokenStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it is renewed before it is refused, and the new one is kept for other processes."""
    transport = serve(monkeypatch, answer(200, NEXT))
    credentials = Credentials(URL, store=kept, now=clock)
    assert credentials.header() == "Bearer first"
    clock.now += 3600.0 - tokens.MARGIN
    assert credentials.header() == "Bearer first"
    clock.now += 1.0
    assert credentials.header() == "Bearer second"
    form = {"grant_type": "refresh_token", "refresh_token": "renew", "client_id": "ml-dash"}
    assert transport.asked == [("POST", ABOUT["token_endpoint"], form)]
    assert Credentials(URL, store=kept, now=clock).header() == "Bearer second"
    found = kept.load(URL)
    assert found is not None and found.refresh == "renew-2"


def test_a_server_that_is_down_leaves_the_token_as_it_is(
    kept: TokenStore, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is shown on, and the server is not asked again with each request."""
    clock.now += 3600.0
    transport = serve(monkeypatch, UnreachableError("down"))
    credentials = Credentials(URL, store=kept, now=clock)
    assert credentials.header() == "Bearer first"
    assert credentials.header() == "Bearer first"
    assert len(transport.asked) == 1


def test_a_refused_token_is_renewed_once_for_all_threads(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Eight threads with the same refused token: one request, one new token for all."""
    transport = serve(monkeypatch, answer(200, NEXT))
    credentials = Credentials(URL, store=kept, now=Clock())
    stale = credentials.header()
    assert stale is not None
    found: list[bool] = []
    threads = [
        threading.Thread(target=lambda: found.append(credentials.refresh(stale))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 8
    assert credentials.header() == "Bearer second"
    assert len(transport.asked) == 1


def test_what_another_process_renewed_is_taken_over(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a word to the server."""
    transport = serve(monkeypatch)
    credentials = Credentials(URL, store=kept, now=Clock())
    stale = credentials.header()
    kept.save(URL, Tokens(Hidden("third"), Hidden("renew-3"), None, ABOUT["token_endpoint"]))
    assert credentials.refresh(str.__str__(stale or ""))
    assert credentials.header() == "Bearer third"
    assert not transport.asked


def test_a_login_that_was_ended_is_not_renewed(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused refresh token, or a logout of another process: somebody has to log in."""
    serve(monkeypatch, answer(400, {"error": "invalid_grant"}))
    credentials = Credentials(URL, store=kept, now=Clock())
    assert not credentials.refresh(credentials.header() or "")
    kept.delete(URL)
    assert not credentials.refresh(credentials.header() or "")
    assert credentials.header() is None


def test_a_new_login_is_seen_by_a_run_that_goes_on(kept: TokenStore) -> None:
    """One who logged out and in again need not start it anew."""
    credentials = Credentials(URL, store=kept, now=Clock())
    assert credentials.header() == "Bearer first"
    kept.delete(URL)
    assert not credentials.refresh("Bearer first")
    assert credentials.header() is None
    kept.save(URL, Tokens(Hidden("again")))
    assert credentials.header() == "Bearer again"


def test_a_refresh_token_goes_to_no_other_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if the file names another place for it."""
    transport = serve(monkeypatch)
    kept = TokenStore(tmp_path)
    kept.save(URL, Tokens(Hidden("a"), Hidden("b"), None, "https://evil.test/oauth/token"))
    assert not Credentials(URL, store=kept, now=Clock()).refresh("Bearer a")
    assert not transport.asked


@pytest.mark.parametrize("kind", ["timeout", "closed", "garbled"])
def test_a_lost_answer_is_asked_for_again_at_once(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """The server may have used the old token up, and takes it again for some seconds only."""
    lost = UnreachableError("lost")
    lost.kind = kind
    transport = serve(monkeypatch, lost, lost, answer(200, NEXT))
    assert Credentials(URL, store=kept, now=Clock()).refresh("Bearer first")
    assert [form["refresh_token"] for _, _, form in transport.asked] == ["renew"] * 3


def test_a_server_without_rotation_keeps_its_refresh_token(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RFC 6749, 6: a new refresh token is optional."""
    serve(monkeypatch, answer(200, {"access_token": "second"}))
    assert Credentials(URL, store=kept, now=Clock()).refresh("Bearer first")
    found = kept.load(URL)
    assert found is not None
    assert (found.access, found.refresh) == ("second", "renew")


@pytest.mark.parametrize(
    ("own", "shown"),
    [
        ("https://dash.test", True),
        ("https://dash.test/lab/", True),
        ("https://dash.test:444", False),
        ("http://dash.test", False),
        ("https://other.test", False),
        ("", True),
    ],
)
def test_the_token_of_the_environment_is_for_its_server_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, own: str, shown: bool
) -> None:
    """Where `ML_DASH_URL` names a server, another one is not told the token."""
    monkeypatch.setenv("ML_DASH_TOKEN", "of-ci")
    monkeypatch.setenv("ML_DASH_URL", own)
    monkeypatch.setenv("ML_DASH_CONFIG", str(tmp_path / "config.toml"))
    credentials = Credentials("https://dash.test")
    assert credentials.header() == ("Bearer of-ci" if shown else None)


def test_the_token_of_the_environment_goes_before_a_login(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not renewed, and an argument goes before both."""
    monkeypatch.setenv("ML_DASH_TOKEN", " of-ci\n")
    credentials = Credentials(URL, store=kept, now=Clock())
    assert credentials.header() == "Bearer of-ci"
    assert not credentials.refresh("Bearer of-ci")
    assert Credentials(URL, "given", store=kept).header() == "Bearer given"


@pytest.mark.parametrize("token", ["mld_pat_kaf\u00e9", "mld_pat_a\u2026", "mld_pat_a\nb"])
def test_what_cannot_be_a_token_is_told_before_it_is_sent(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch, token: str
) -> None:
    """Such as one that was copied with an ellipsis in it; and the text does not show it."""
    monkeypatch.setenv("ML_DASH_TOKEN", token)
    with pytest.raises(UnauthorizedError, match="ML_DASH_TOKEN has characters") as told:
        Credentials(URL, store=kept).header()
    assert "mld_pat" not in str(told.value)
    monkeypatch.delenv("ML_DASH_TOKEN")
    with pytest.raises(UnauthorizedError, match="the token has characters"):
        Credentials(URL, token, store=kept).header()


def test_a_lock_that_is_held_for_ever_is_told(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As an error of a server that cannot be reached: the run goes on and tries again."""
    serve(monkeypatch)
    monkeypatch.setattr(tokens, "locked", lambda path: locked(path, patience=0.0))
    with locked(kept.lock(URL)), pytest.raises(UnreachableError, match="another process"):
        Credentials(URL, store=kept, now=Clock()).refresh("Bearer first")


def test_a_disk_that_is_full_renews_for_this_process(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It goes on with the new token and says once that it could not be kept, without it."""
    serve(monkeypatch, answer(200, NEXT))

    def full(*_: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(kept, "save", full)
    credentials = Credentials(URL, store=kept, now=Clock())
    credentials.header()
    assert credentials.refresh("Bearer first")
    assert credentials.header() == "Bearer second"
    assert "cannot be kept" in caplog.text
    assert "second" not in caplog.text and "renew-2" not in caplog.text


def test_credentials_go_into_no_pickle(kept: TokenStore) -> None:
    """Nor is a token in their repr."""
    credentials = Credentials(URL, "canary", store=kept)
    with pytest.raises(TypeError):
        pickle.dumps(credentials)
    assert "canary" not in repr(credentials) + repr(credentials.header())


def test_several_processes_go_on_with_one_login_whose_token_ended(
    server: ServerProcess, anna: Person, tmp_path: Path
) -> None:
    """Four processes, one ended access token: one of them renews it, and the login stays good."""
    kept = anna.login(tmp_path)
    server.execute("UPDATE secrets SET expires = 1 WHERE kind = 'access'")
    before = server.count("POST", "/oauth/token")
    variables = {
        "ML_DASH_CONFIG": str(tmp_path / "config.toml"),
        "PYTHON_KEYRING_BACKEND": "keyring.backends.null.Keyring",
    }
    running = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, server.url, "20"],
            env=environ(**variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in running:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    outcomes = []
    for process in running:  # all at once, as near as may be
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()
    for process in running:
        out, error = process.communicate(timeout=60)
        outcomes.append((process.returncode, out, error))
    assert outcomes == [(0, "done\n", "")] * 4
    assert server.count("POST", "/oauth/token") - before == 1
    credentials = Credentials(server.url, store=kept)
    assert credentials.refresh(credentials.header() or ""), "the family was revoked"


def test_a_child_forked_while_a_thread_renews_renews_by_itself(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread is not there to end what it was at."""
    credentials = Credentials(URL, store=kept)
    stale = credentials.header()
    assert stale is not None
    serve(monkeypatch, answer(200, NEXT))
    with credentials._lock:  # as a thread that renews holds it
        child = os.fork()
        if child == 0:
            signal.alarm(20)
            os._exit(0 if credentials.refresh(stale) else 1)
    assert os.waitpid(child, 0)[1] == 0
