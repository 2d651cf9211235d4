"""The device authorization grant on the side of the terminal, against answers of every kind."""

from __future__ import annotations

import pytest
from answers import ABOUT, GRANT, TOKENS, URL, Clock, Scripted, answer

from ml_dash.auth import device
from ml_dash.auth.oauth import LoginError, discover
from ml_dash.remote import BusyError, RemoteError, UnreachableError

PENDING = answer(400, {"error": "authorization_pending"})


def begun(**changed: object) -> device.Grant:
    """A grant as a server gives it, with some fields of another kind."""
    return device.begin(Scripted(answer(200, ABOUT), answer(200, {**GRANT, **changed})))


def test_a_code_is_asked_for_where_the_server_says() -> None:
    """Discovery names the place; the request names the program, its scopes and who asks."""
    transport = Scripted(answer(200, ABOUT), answer(200, GRANT))
    grant = device.begin(transport, name="anna@lab-3")
    assert (grant.user_code, grant.page, grant.expires_in, grant.interval) == (
        "BCDF-GHJK",
        f"{URL}/device",
        900.0,
        5.0,
    )
    assert [(method, url) for method, url, _ in transport.asked] == [
        ("GET", f"{URL}/.well-known/oauth-authorization-server"),
        ("POST", ABOUT["device_authorization_endpoint"]),
    ]
    assert transport.asked[1][2] == {
        "client_id": "ml-dash",
        "scope": "read write admin",
        "client_name": "anna@lab-3",
    }


def test_the_code_of_the_device_is_shown_to_nobody() -> None:
    """Neither the grant nor its code has it in its repr."""
    grant = begun()
    assert "of-the-device" not in repr(grant) + repr(grant.device_code)


@pytest.mark.parametrize(
    "page", ["javascript:alert(1)", "file:///etc/passwd", "https://x.test/\x1b[2J", "", None, 7]
)
def test_a_page_that_is_none_is_not_opened(page: object) -> None:
    """A server cannot have a browser, or a terminal, led elsewhere than to a page."""
    with pytest.raises(UnreachableError):
        begun(verification_uri=page)
    assert begun(verification_uri_complete=page).page_with_code == ""


@pytest.mark.parametrize("missing", ["device_code", "user_code"])
def test_an_answer_without_codes_is_told(missing: str) -> None:
    """It is no login that would wait for ever."""
    with pytest.raises(UnreachableError, match="has no code in it"):
        begun(**{missing: None})


@pytest.mark.parametrize("field", ["device_authorization_endpoint", "token_endpoint"])
def test_a_place_of_another_server_gets_no_login(field: str) -> None:
    """Tokens are only ever asked of the server that the user named."""
    transport = Scripted(answer(200, {**ABOUT, field: "https://evil.test/oauth"}))
    with pytest.raises(LoginError, match=r"https://evil\.test"):
        discover(transport)


def test_a_server_of_another_kind_is_told() -> None:
    """Nothing there, or something without such logins."""
    for found in (answer(404, {}), answer(200, {"issuer": URL})):
        with pytest.raises(LoginError, match="no ML-Dash server"):
            discover(Scripted(found))


@pytest.mark.parametrize("status", [200, 403, 404, 502])
@pytest.mark.parametrize("page", [True, False])
def test_a_server_below_a_path_is_found(status: int, page: bool) -> None:
    """At the place of the standard, else where a proxy that strips the path has it.

    Whatever the host answers at the first: nginx, for one, has a page of its own for 404.
    """
    base = f"{URL}/dash"
    first = answer(status, {})
    if page:
        first.headers["Content-Type"] = "text/html"
        first._content = b"<html><h1>404 Not Found</h1></html>"
    transport = Scripted(first, answer(200, ABOUT), url=base)
    assert discover(transport).token == ABOUT["token_endpoint"]
    assert [url for _, url, _ in transport.asked] == [
        f"{URL}/.well-known/oauth-authorization-server/dash",
        f"{base}/.well-known/oauth-authorization-server",
    ]


def test_a_login_waits_until_the_user_agrees() -> None:
    """It asks once an interval, and gives the tokens with when they end."""
    clock = Clock()
    transport = Scripted(PENDING, PENDING, answer(200, TOKENS))
    tokens = device.wait(transport, begun(), sleep=clock.sleep, clock=clock)
    assert clock.slept == [5.0, 5.0, 5.0]
    assert (str(tokens.access), tokens.refresh) == ("first", "renew")
    assert tokens.expires is not None
    assert tokens.revocation_endpoint == ABOUT["revocation_endpoint"]
    assert transport.asked[0][2]["device_code"] == "of-the-device"


def test_slow_down_adds_five_seconds_for_good() -> None:
    """As RFC 8628, 3.5 has it: for this and all subsequent requests."""
    clock = Clock()
    slow = answer(400, {"error": "slow_down"})
    transport = Scripted(slow, slow, PENDING, answer(200, TOKENS))
    device.wait(transport, begun(), sleep=clock.sleep, clock=clock)
    assert clock.slept == [5.0, 10.0, 15.0, 15.0]


def test_a_network_that_fails_makes_it_ask_less_often() -> None:
    """Time-outs double the interval, and a busy server is left alone for as long as it asks."""
    clock = Clock()
    busy = BusyError("busy")
    busy.retry_after = 40.0
    trouble = UnreachableError("gone")
    transport = Scripted(trouble, trouble, busy, answer(200, TOKENS))
    device.wait(transport, begun(), sleep=clock.sleep, clock=clock)
    assert clock.slept == [5.0, 10.0, 20.0, 40.0]


@pytest.mark.parametrize("kind", ["tls", "html", "redirect"])
def test_what_waiting_does_not_mend_ends_the_login(kind: str) -> None:
    """A wrong certificate, a portal's page or another address is told at once."""
    trouble = UnreachableError("no")
    trouble.kind = kind
    clock = Clock()
    with pytest.raises(UnreachableError):
        device.wait(Scripted(trouble), begun(), sleep=clock.sleep, clock=clock)
    assert len(clock.slept) == 1


@pytest.mark.parametrize(
    ("error", "text"),
    [
        ("access_denied", "refused on the page"),
        ("expired_token", "not entered in time"),
        ("invalid_grant", "ended the login: invalid_grant"),
    ],
)
def test_the_end_of_a_login_is_told_in_words(error: str, text: str) -> None:
    """Refused, too late, or anything else that the server says."""
    clock = Clock()
    with pytest.raises(LoginError, match=text):
        device.wait(
            Scripted(answer(400, {"error": error})), begun(), sleep=clock.sleep, clock=clock
        )


def test_an_answer_that_got_lost_with_the_token_is_told() -> None:
    """A code is good for one answer: asked again, the server says no more than that it was used."""
    clock = Clock()
    used = answer(400, {"error": "invalid_grant"})
    transport = Scripted(UnreachableError("the answer broke off"), used)
    with pytest.raises(LoginError, match="got lost on its way; run `ml-dash login` again"):
        device.wait(transport, begun(), sleep=clock.sleep, clock=clock)


def test_no_connection_is_kept_between_two_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is idle for the interval is closed by many proxies just when it is used again."""
    clock, transport = Clock(), Scripted(PENDING, PENDING, answer(200, TOKENS))
    open_at: list[int] = []
    monkeypatch.setattr(transport, "close", lambda: open_at.append(len(clock.slept)))
    device.wait(transport, begun(), sleep=clock.sleep, clock=clock)
    assert open_at == [0, 1, 2]


def test_nobody_is_asked_beyond_the_end_of_a_code() -> None:
    """Also by a server that never says that it has ended."""
    clock = Clock()
    transport = Scripted(*[PENDING] * 1000)
    with pytest.raises(LoginError, match="not entered in time"):
        device.wait(transport, begun(expires_in=60), sleep=clock.sleep, clock=clock)
    assert sum(clock.slept) <= 60.0
    assert len(transport.asked) == 11


@pytest.mark.parametrize("body", [{"access_token": ""}, {"access_token": "a\nb"}, {"token": "x"}])
def test_an_answer_without_a_token_is_told(body: object) -> None:
    """A token that would end a header is none, either."""
    clock = Clock()
    with pytest.raises(RemoteError):
        device.wait(Scripted(answer(200, body)), begun(), sleep=clock.sleep, clock=clock)


def test_an_answer_that_broke_off_is_asked_for_again() -> None:
    """The server still has it, or says what became of it."""
    clock = Clock()
    transport = Scripted(answer(200, "{"), answer(200, TOKENS))
    device.wait(transport, begun(), sleep=clock.sleep, clock=clock)
    assert clock.slept == [5.0, 10.0]
