"""The client of a server: an error for each way in which a request fails, no token in any."""

from __future__ import annotations

import pickle
import ssl
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from answers import URL, answer
from dash_server import Token
from hostile import WAYS, Hostile
from hypothesis import given
from hypothesis import strategies as st
from urllib3.exceptions import SSLError

from ml_dash.remote import (
    BusyError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    RemoteClient,
    RemoteError,
    UnauthorizedError,
    UnreachableError,
)
from ml_dash.remote.failures import MOST_SAID, of_answer, of_exception, retry_after
from ml_dash.remote.transport import Hidden
from ml_dash.sync.trouble import ends_replication, is_refusal

KINDS: dict[str, tuple[type[RemoteError], str]] = {
    "refused": (UnreachableError, "refused"),
    "silent": (UnreachableError, "timeout"),
    "tls": (UnreachableError, "tls"),
    "closed": (UnreachableError, "closed"),
    "half": (UnreachableError, "closed"),
    "endless": (UnreachableError, "garbled"),
    "drip": (UnreachableError, "timeout"),
    "html": (UnreachableError, "gateway"),
    "portal": (UnreachableError, "html"),
    "401": (UnauthorizedError, "unauthorized"),
    "403": (ForbiddenError, "forbidden"),
    "404": (NotFoundError, "not_found"),
    "429": (BusyError, "busy"),
    "500": (UnreachableError, "status"),
    "503": (BusyError, "busy"),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_to_fail_has_an_error_of_its_own(way: str) -> None:
    """With a stable word, one sentence that names the server, and the token nowhere."""
    kind, word = KINDS[way]
    with Hostile(way) as hostile:
        url = hostile.url
        client = RemoteClient(url, Token("canary"), timeout=(0.5, 0.5))
        with pytest.raises(RemoteError) as caught:
            client.json("POST", "/runs", json={"prefix": "a"})
        client.close()
    error = caught.value
    assert type(error) is kind and error.kind == word
    assert url in str(error) and "\n" not in str(error)
    assert error.status == (int(way) if way.isdigit() else 502 if way == "html" else error.status)
    shown = "".join(traceback.format_exception(error)) + repr(vars(error)) + repr(client)
    assert "canary" not in shown
    assert error.__cause__ is None and error.__context__ is None, "it holds the request"


@pytest.mark.parametrize(
    ("header", "wait"),
    [
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("7200", 7200.0),
        ("99999999", MOST_SAID),
        ("9" * 400, MOST_SAID),
        ("Thu, 01 Jan 1970 00:01:00 GMT", 50.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-3", None),
        ("1.5", None),
        ("٣", None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, wait: float | None) -> None:
    """Bounded, and nothing where it says nothing; the machine's clock is at ten seconds."""
    assert retry_after(header, 10.0) == wait


@given(st.text(max_size=40))
def test_no_retry_after_breaks_the_client(header: str) -> None:
    """Whatever a proxy writes there."""
    found = retry_after(header, 10.0)
    assert found is None or 0.0 <= found <= MOST_SAID


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        ("7", "wait 7 s"),
        ("300", "wait 5 min"),
        ("7200", "wait 2 h"),
        ("999999999999", "wait 365 days"),
    ],
)
def test_a_server_that_asks_for_long_is_quoted_as_it_is(seconds: str, text: str) -> None:
    """Not as the five minutes for which it is left alone."""
    error = of_answer(answer(503, {}, Retry_After=seconds), URL, had_token=True)
    assert isinstance(error, BusyError) and str(error).endswith(text)


@pytest.mark.parametrize("body", ["<html>413</html>", {}, {"detail": "larger than 1 MiB"}])
def test_a_proxy_that_takes_less_is_no_page(body: Any) -> None:
    """Its 413, though a page, says what the server's own says: send less at a time."""
    error = of_answer(answer(413, body), URL, had_token=True)
    assert isinstance(error, RejectedError) and error.code == "too_large"
    assert error.status == 413 and "larg" in str(error)


@pytest.mark.parametrize("status", [502, 504])
@pytest.mark.parametrize("body", ["<html>Bad Gateway</html>", "upstream gone"])
def test_a_proxy_without_an_answer_of_the_server_says_that(status: int, body: str) -> None:
    """And not that the address may be wrong."""
    error = of_answer(answer(status, body), URL, had_token=True)
    assert isinstance(error, UnreachableError) and error.kind == "gateway"
    assert f"no answer of the server ({status})" in str(error)


@pytest.mark.parametrize("status", [400, 403, 404, 405, 409, 421])
@pytest.mark.parametrize(
    "body",
    [
        "default backend",
        {"detail": "Not Found"},
        {},
        {"kind": "Status", "code": 403},
        {"code": "FORBIDDEN", "message": "no"},
        {"code": "Forbidden", "detail": "by policy", "status": 403, "title": "Forbidden"},
    ],
)
def test_what_another_program_refuses_is_no_refusal_of_the_server(status: int, body: Any) -> None:
    """Or a proxy that has lost its way would end the replication of a run for good."""
    error = of_answer(answer(status, body), URL, had_token=True)
    assert isinstance(error, UnreachableError) and error.kind == "foreign"
    assert "is the address right" in str(error)


@pytest.mark.parametrize("body", ["<html>408</html>", "slow", {"code": "too_slow", "detail": "x"}])
def test_a_request_that_got_stuck_is_made_again(body: Any) -> None:
    """The server, or a proxy, waited for the rest of it: nobody has to do anything."""
    error = of_answer(answer(408, body), URL, had_token=True)
    assert isinstance(error, UnreachableError) and error.kind == "timeout"
    assert not is_refusal(error) and not ends_replication(error, connected=False)


def test_a_token_of_the_environment_is_not_mended_by_a_login() -> None:
    """Which it goes before, so another one has to be set."""
    error = of_answer(answer(401, {}), URL, had_token=True, was_set=True)
    assert isinstance(error, UnauthorizedError)
    assert "ML_DASH_TOKEN" in str(error) and "ml-dash login" not in str(error)


def test_a_busy_server_says_for_how_long() -> None:
    """The error has the seconds, and the words say them."""
    with (
        Hostile("429", headers={"Retry-After": "7"}) as hostile,
        pytest.raises(BusyError, match="wait 7 s") as caught,
    ):
        RemoteClient(hostile.url).json("GET", "/me")
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize(
    ("said", "text"),
    [
        ("certificate verify failed: self-signed certificate (_ssl.c:1)", "REQUESTS_CA_BUNDLE"),
        ("certificate verify failed: unable to get local issuer certificate", "by nobody"),
        ("certificate verify failed: certificate has expired", "clock of this machine"),
        ("certificate verify failed: Hostname mismatch, not valid for 'a'", "for another host"),
        ("certificate verify failed: IP address mismatch, not for '::1'", "for another host"),
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "does not speak TLS"),
        ("[SSL: TLSV1_ALERT] alert", "no secure connection"),
    ],
)
def test_what_is_wrong_with_a_certificate_is_told(said: str, text: str) -> None:
    """As the library says it, in words that lead on."""
    error = of_exception(requests.exceptions.SSLError(said), URL)
    assert error.kind == "tls" and text in str(error)


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLZeroReturnError])
def test_a_secure_connection_that_breaks_is_no_fault_of_a_certificate(kind: Any) -> None:
    """It is tried again as any other that breaks: a server may just be starting anew."""
    cause = kind(8, "EOF occurred in violation of protocol (_ssl.c:2427)")
    error = of_exception(requests.exceptions.SSLError(SSLError(cause)), URL)
    assert error.kind == "closed" and not is_refusal(error)


def test_a_missing_file_of_certificates_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the variable that names it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem")
    with pytest.raises(UnreachableError, match="REQUESTS_CA_BUNDLE names is not there"):
        RemoteClient("https://127.0.0.1:1").json("GET", "/me")


def test_a_file_that_is_no_certificate_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """By the variable that names it."""
    (tmp_path / "ca.pem").write_text("a note")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "ca.pem"))
    with (
        Hostile("tls") as hostile,
        pytest.raises(UnreachableError, match="REQUESTS_CA_BUNDLE names has no certificate"),
    ):
        RemoteClient(hostile.url).json("GET", "/me")


@pytest.mark.parametrize("status", [400, 405, 409, 413, 416, 422])
def test_what_the_server_does_not_take_says_why(status: int) -> None:
    """With the server's own sentence and word."""
    body = {"detail": "the name is too long", "code": "too_large"}
    error = of_answer(answer(status, body), URL, had_token=True)
    assert isinstance(error, RejectedError)
    assert (error.status, error.code) == (status, "too_large")
    assert "the name is too long" in str(error)


@pytest.mark.parametrize(
    "body", ["oh", [], {"detail": None}, {"detail": ["a"]}, {"detail": "x" * 9999}]
)
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500])
def test_an_error_of_any_shape_is_one_sentence(status: int, body: Any) -> None:
    """Proxies and others answer as they like."""
    error = of_answer(answer(status, body), URL, had_token=False)
    assert error is not None
    assert URL in str(error) and len(str(error)) < 700


def test_a_file_of_html_is_no_page() -> None:
    """A user's own HTML comes as an attachment, and goes through."""
    page = answer(200, "<html>", Content_Disposition='attachment; filename="a.html"')
    assert of_answer(page, URL, had_token=True) is None


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ("https://other.test/login?x=1", "sends on to https://other.test,"),
        ("/login", "another page"),
    ],
)
def test_no_redirect_is_followed(location: str, text: str) -> None:
    """The token would go with it; where it leads is told without its path."""
    error = of_answer(answer(302, None, Location=location), URL, had_token=True)
    assert isinstance(error, UnreachableError) and error.kind == "redirect"
    assert text in str(error) and "x=1" not in str(error)


class Rotating:
    """Credentials whose second token is good."""

    def __init__(self) -> None:
        self.tokens = ["second", "first"]
        self.refreshed: list[str] = []

    def header(self) -> str | None:
        """What is sent."""
        return Hidden(f"Bearer {self.tokens[-1]}")

    def refresh(self, stale: str) -> bool:
        """Go on to the next."""
        self.refreshed.append(str.__str__(stale))
        self.tokens.pop()
        return True


def test_a_refused_token_is_renewed_and_the_request_made_once_more() -> None:
    """Once: a second refusal is an error."""
    with Hostile("401") as hostile:
        credentials = Rotating()
        with pytest.raises(UnauthorizedError):
            RemoteClient(hostile.url, credentials).json("GET", "/me")
        assert credentials.refreshed == ["Bearer first"]
        assert len(hostile.asked) == 2


def test_nobody_looks_into_netrc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is there for other programs is not sent."""
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login anna password canary\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sent: list[requests.PreparedRequest] = []
    real = requests.Session.send

    def spy(self: requests.Session, request: requests.PreparedRequest, **options: Any) -> Any:
        sent.append(request.copy())
        return real(self, request, **options)

    monkeypatch.setattr(requests.Session, "send", spy)
    with Hostile("404") as hostile, pytest.raises(NotFoundError):
        RemoteClient(hostile.url).json("GET", "/me")
    assert "Authorization" not in sent[0].headers


def test_threads_share_a_client_and_no_connection() -> None:
    """Each thread has its own session; a pickled client has none and no token."""
    client = RemoteClient("http://127.0.0.1:1")
    seen: list[object] = []
    threads = [
        threading.Thread(target=lambda: seen.append(client._transport._session())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(session) for session in seen}) == 4
    assert pickle.loads(pickle.dumps(client._transport)).url == client.url


@pytest.fixture
def broken() -> Iterator[Hostile]:
    """A server whose answers are HTML."""
    with Hostile("portal") as hostile:
        yield hostile


def test_the_own_namespace_is_asked_for_once(broken: Hostile) -> None:
    """An answer that is none is an error, not a namespace."""
    client = RemoteClient(broken.url)
    with pytest.raises(UnreachableError):
        client.own  # noqa: B018 - it asks
