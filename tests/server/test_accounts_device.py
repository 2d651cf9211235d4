"""Logging in from a device, held against RFC 8628, 6749, 7009 and 8414 statement by statement."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from ml_dash.server.accounts import secrets
from ml_dash.server.tables import DeviceGrant

from .inside import Inside
from .people import Browser, Device, error


@pytest.fixture
def inside(inside: Inside) -> Inside:
    """A server of each kind, for what is used once must be so under the locks of both databases."""
    inside.user("anna")
    return inside


def answer(inside: Inside, device: Device, decision: str, code: str | None = None) -> int:
    """Decide as `anna` about a device."""
    browser = Browser(inside)
    browser.login("anna")
    code = device.begun["user_code"] if code is None else code
    form = {"user_code": code, "decision": decision}
    return int(browser.post("/device/answer", form).status_code)


def test_the_authorization_answer_has_what_the_rfc_asks_for(inside: Inside) -> None:
    """RFC 8628, 3.2: codes, address of the page, seconds to live, interval; not to be stored."""
    device = Device(inside)
    begun = device.begun
    assert len(begun["device_code"]) >= 43
    assert re.fullmatch(r"[BCDFGHJKLMNPQRSTVWXZ]{4}-[BCDFGHJKLMNPQRSTVWXZ]{4}", begun["user_code"])
    assert begun["verification_uri"] == "http://dash.test/device"
    assert begun["verification_uri_complete"].endswith(f"/device?user_code={begun['user_code']}")
    assert (begun["expires_in"], begun["interval"]) == (900, 5)


def test_a_request_without_a_client_is_refused(inside: Inside) -> None:
    """RFC 8628, 3.1: `client_id` is required; 3.5: errors are those of RFC 6749."""
    client = Device(inside).client
    assert error(client.post("/oauth/device_authorization", data={"scope": "read"})) == (
        "invalid_request"
    )
    wrong = {"client_id": "ml-dash", "scope": "everything"}
    assert error(client.post("/oauth/device_authorization", data=wrong)) == "invalid_scope"
    assert error(client.post("/oauth/device_authorization", data={"client_id": "a b"})) == (
        "invalid_client"
    )


def test_the_device_is_told_to_wait_until_the_user_decides(inside: Inside) -> None:
    """RFC 8628, 3.5: `authorization_pending` for as long as nobody decided."""
    device = Device(inside)
    assert error(device.ask()) == "authorization_pending"
    inside.now += 5
    assert error(device.ask()) == "authorization_pending"


def test_who_asks_too_often_is_slowed_down_for_good(inside: Inside) -> None:
    """RFC 8628, 3.5: `slow_down` adds five seconds to this and all following intervals."""
    device = Device(inside)
    assert error(device.ask()) == "authorization_pending"
    inside.now += 2
    assert error(device.ask()) == "slow_down"
    inside.now += 6
    assert error(device.ask()) == "slow_down"  # 10 seconds it is by now
    inside.now += 14
    assert error(device.ask()) == "authorization_pending"  # of 15, less the slack


def test_an_approved_device_gets_its_tokens_once(inside: Inside) -> None:
    """RFC 8628, 3.5 and 5.2: a device code is used once; the answer is that of RFC 6749, 5.1."""
    device = Device(inside, scope="read write")
    assert answer(inside, device, "approve") == 200
    got = device.ask()
    assert got.status_code == 200
    assert got.headers["cache-control"] == "no-store"
    tokens = got.json()
    assert (tokens["token_type"], tokens["expires_in"]) == ("Bearer", 3600)
    assert tokens["scope"] == "read write"
    assert device.me(tokens["access_token"]) == 200
    assert error(device.ask()) == "invalid_grant"


def test_a_denied_device_gets_none(inside: Inside) -> None:
    """RFC 8628, 3.5: `access_denied`."""
    device = Device(inside)
    assert answer(inside, device, "deny") == 200
    assert error(device.ask()) == "access_denied"


def test_a_code_expires(inside: Inside) -> None:
    """RFC 8628, 3.5: `expired_token`, and the page does not know the user code any more."""
    device = Device(inside)
    inside.now += 900
    assert error(device.ask()) == "expired_token"
    assert answer(inside, device, "approve") == 404


def test_an_approval_that_nobody_fetches_expires_too(inside: Inside) -> None:
    """A device code is worth nothing once its time is over, approved or not."""
    device = Device(inside)
    answer(inside, device, "approve")
    inside.now += 900
    assert error(device.ask()) == "expired_token"


def test_a_device_code_is_good_for_its_client_alone(inside: Inside) -> None:
    """RFC 6749, 5.2: `invalid_grant` where it was issued to another client, or never."""
    device = Device(inside)
    answer(inside, device, "approve")
    assert error(device.ask(client_id="other")) == "invalid_grant"
    assert error(device.ask(device_code="x" * 43)) == "invalid_grant"
    assert device.ask().status_code == 200


def test_malformed_questions_have_their_errors(inside: Inside) -> None:
    """RFC 6749, 3.2 and 5.2: missing, empty and repeated parameters, unknown grants."""
    device = Device(inside)
    assert error(device.ask(device_code="")) == "invalid_request"
    assert error(device.ask(grant_type="password")) == "unsupported_grant_type"
    twice = "grant_type=refresh_token&refresh_token=a&refresh_token=b"
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    post = device.client.post
    assert error(post("/oauth/token", content=twice, headers=form)) == "invalid_request"
    assert device.client.get("/oauth/token").status_code == 405
    assert post("/oauth/token", json={"grant_type": "refresh_token"}).status_code == 415


def test_user_codes_are_read_as_people_type_them(inside: Inside) -> None:
    """RFC 8628, 6.1: case, spaces and the dash do not matter."""
    device = Device(inside)
    typed = " ".join(device.begun["user_code"].lower().replace("-", ""))
    assert answer(inside, device, "approve", typed) == 200


def test_the_page_shows_who_asks_and_for_what_before_anything_is_granted(inside: Inside) -> None:
    """RFC 8628, 3.3.1 and 5.4: the code is shown to be compared, even when the link had it."""
    device, browser = Device(inside, scope="read"), Browser(inside)
    browser.login("anna")
    linked = browser.get(f"/device?user_code={device.begun['user_code']}")
    assert device.begun["user_code"] in linked.text
    assert "anna@lab-3" not in linked.text  # looking it up takes a click, which is counted
    shown = browser.post("/device", {"user_code": device.begun["user_code"]}).text
    assert device.begun["user_code"] in shown
    assert "anna@lab-3" in shown
    assert "see what you may see" in shown
    assert "delete runs" not in shown
    assert error(device.ask()) == "authorization_pending"


def test_what_a_device_says_of_itself_is_text(inside: Inside) -> None:
    """Markup in the name of a device is shown, not run."""
    device, browser = Device(inside, client_name="<script>alert(1)</script>"), Browser(inside)
    browser.login("anna")
    shown = browser.post("/device", {"user_code": device.begun["user_code"]}).text
    assert "<script" not in shown
    assert "&lt;script&gt;" in shown


def test_user_codes_cannot_be_guessed(inside: Inside) -> None:
    """RFC 8628, 5.1: after ten wrong codes even the right one is not looked at for a while."""
    device, browser = Device(inside), Browser(inside)
    browser.login("anna")
    for _ in range(10):
        assert browser.post("/device", {"user_code": "BBBB-BBBB"}).status_code == 404
    code = {"user_code": device.begun["user_code"]}
    late = browser.post("/device", code)
    assert late.status_code == 429
    assert int(late.headers["retry-after"]) == 900
    approved = browser.post("/device/answer", code | {"decision": "approve"})
    assert approved.status_code == 429
    inside.now += 900
    fresh = Device(inside)
    assert browser.post("/device", {"user_code": fresh.begun["user_code"]}).status_code == 200


def test_nobody_makes_devices_without_end(inside: Inside) -> None:
    """An address that asks for codes again and again is told to wait."""
    for _ in range(100):
        Device(inside)
    late = Device(inside).begun
    assert (late["status"], late["code"]) == (429, "too_many")


def test_codes_are_kept_as_hashes_alone(inside: Inside) -> None:
    """Neither the device code nor the user code stands in the database."""
    device = Device(inside)
    with inside.data.reading() as session:
        row = session.scalars(select(DeviceGrant)).one()
    kept = repr(vars(row))
    assert device.begun["device_code"] not in kept
    assert device.begun["user_code"].replace("-", "") not in kept
    assert row.device_hash == secrets.digest(device.begun["device_code"])


def test_a_device_code_that_is_asked_for_at_once_is_used_once(inside: Inside) -> None:
    """Of eight questions at the same moment one gets the tokens."""
    device = Device(inside)
    answer(inside, device, "approve")
    with ThreadPoolExecutor(8) as pool:
        found = sorted(answer.status_code for answer in pool.map(lambda _: device.ask(), range(8)))
    assert found == [200] + [400] * 7


def test_the_discovery_document_names_what_is_there(inside: Inside) -> None:
    """RFC 8414, 3: the issuer is where it was asked for; every address in it answers."""
    client = Device(inside).client
    found = client.get("/.well-known/oauth-authorization-server").json()
    assert found["issuer"] == "http://dash.test"
    assert found["response_types_supported"] == []
    assert found["token_endpoint_auth_methods_supported"] == ["none"]
    for name in ("device_authorization_endpoint", "token_endpoint", "revocation_endpoint"):
        assert found[name].startswith("http://dash.test/oauth/")
        assert client.post(found[name], data={}).status_code == 400
