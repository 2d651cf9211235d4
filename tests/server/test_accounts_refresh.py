"""What a login becomes: refresh, rotation, reuse, revocation (RFC 6749, 7009 and 9700)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from ml_dash.server.accounts import grants
from ml_dash.server.accounts.users import set_disabled
from ml_dash.server.tables import Secret

from .inside import Inside
from .people import error, let_in


@pytest.fixture
def inside(inside: Inside) -> Inside:
    """A server of each kind, for what is used once must be so under the locks of both databases."""
    inside.user("anna")
    return inside


def test_refresh_tokens_rotate(inside: Inside) -> None:
    """Each exchange gives a new access token and a new refresh token."""
    device, first = let_in(inside)
    second = device.refresh(first["refresh_token"]).json()
    assert second["refresh_token"] != first["refresh_token"]
    assert device.me(second["access_token"]) == 200
    assert device.refresh(second["refresh_token"]).status_code == 200


def test_an_old_refresh_token_ends_the_login(inside: Inside) -> None:
    """Used again after the grace, it was stolen: all tokens of the login end, newer ones too."""
    device, first = let_in(inside)
    other, untouched = let_in(inside)
    second = device.refresh(first["refresh_token"]).json()
    inside.now += grants.GRACE + 1
    assert error(device.refresh(first["refresh_token"])) == "invalid_grant"
    assert device.me(second["access_token"]) == 401
    assert error(device.refresh(second["refresh_token"])) == "invalid_grant"
    assert other.me(untouched["access_token"]) == 200


def test_a_lost_answer_is_asked_for_again(inside: Inside) -> None:
    """Within the grace an exchanged token is exchanged again; that does not prolong the grace."""
    device, first = let_in(inside)
    device.refresh(first["refresh_token"])
    inside.now += grants.GRACE
    again = device.refresh(first["refresh_token"])
    assert again.status_code == 200
    assert device.me(again.json()["access_token"]) == 200
    inside.now += 1
    assert error(device.refresh(first["refresh_token"])) == "invalid_grant"


def test_processes_that_refresh_at_once_all_go_on(inside: Inside) -> None:
    """Eight exchanges of one token at the same moment all give tokens that work."""
    device, first = let_in(inside)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: device.refresh(first["refresh_token"]), range(8)))
    assert [answer.status_code for answer in answers] == [200] * 8
    assert {device.me(answer.json()["access_token"]) for answer in answers} == {200}


def test_tokens_expire(inside: Inside) -> None:
    """Access after an hour, refresh after thirty days without an exchange."""
    device, first = let_in(inside)
    inside.now += 3600
    assert device.me(first["access_token"]) == 401
    second = device.refresh(first["refresh_token"]).json()
    inside.now += 30 * 86_400
    assert error(device.refresh(second["refresh_token"])) == "invalid_grant"


def test_a_refresh_never_gives_more_than_was_granted(inside: Inside) -> None:
    """RFC 6749, 6: a narrower scope may be asked for, a wider one may not."""
    device, first = let_in(inside, scope="read write")
    assert error(device.refresh(first["refresh_token"], scope="admin")) == "invalid_scope"
    narrow = device.refresh(first["refresh_token"], scope="read").json()
    assert narrow["scope"] == "read"
    assert device.refresh(narrow["refresh_token"]).json()["scope"] == "read write"


def test_a_refresh_token_is_good_for_its_client_alone(inside: Inside) -> None:
    """RFC 6749, 6: it is bound to the client that it was issued to."""
    device, first = let_in(inside)
    assert error(device.refresh(first["refresh_token"], client_id="other")) == "invalid_grant"
    assert error(device.refresh(first["access_token"])) == "invalid_grant"


@pytest.mark.parametrize("which", ["refresh_token", "access_token"])
def test_revoking_a_token_ends_its_login(inside: Inside, which: str) -> None:
    """RFC 7009, 2.1 and 2.2: all tokens of the grant end; 200 also for one that is not known."""
    device, tokens = let_in(inside)
    for token in (tokens[which], tokens[which], "unknown"):
        assert device.client.post("/oauth/revoke", data={"token": token}).status_code == 200
    assert device.me(tokens["access_token"]) == 401
    assert error(device.refresh(tokens["refresh_token"])) == "invalid_grant"
    assert error(device.client.post("/oauth/revoke", data={})) == "invalid_request"


def test_tokens_of_a_disabled_user_are_not_renewed(inside: Inside) -> None:
    """A login ends with its user."""
    device, tokens = let_in(inside)
    with inside.data.reading() as session:
        user_id = session.scalars(select(Secret.user_id)).first()
    inside.data.transaction(lambda s: set_disabled(s, str(user_id), True, inside.now))
    assert device.me(tokens["access_token"]) == 401
    assert error(device.refresh(tokens["refresh_token"])) == "invalid_grant"
