"""Whom a server behind proxies believes, about addresses and about TLS."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from fastapi import Request

from ml_dash.server.proxies import client_address, is_secure
from ml_dash.server.settings import ServerSettings


def asked(peer: str, headers: dict[str, str], **settings: Any) -> Request:
    """A request that comes from `peer`."""
    state = SimpleNamespace(settings=ServerSettings(**settings))
    return Request(
        {
            "type": "http",
            "scheme": "http",
            "path": "/",
            "query_string": b"",
            "server": ("dash", 3000),
            "client": (peer, 1),
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
            "app": SimpleNamespace(state=state),
        }
    )


@pytest.mark.parametrize(
    ("peer", "forwarded", "trusted", "address"),
    [
        ("203.0.113.9", "198.51.100.1", "127.0.0.1", "203.0.113.9"),
        ("127.0.0.1", "198.51.100.1", "127.0.0.1", "198.51.100.1"),
        ("127.0.0.1", "6.6.6.6, 198.51.100.1", "127.0.0.1", "198.51.100.1"),
        ("10.0.0.2", "6.6.6.6, 198.51.100.1, 10.0.0.3", "10.0.0.0/8", "198.51.100.1"),
        ("127.0.0.1", "rubbish", "127.0.0.1", "127.0.0.1"),
        ("127.0.0.1", "", "127.0.0.1", "127.0.0.1"),
        ("::ffff:127.0.0.1", "198.51.100.1", "127.0.0.1", "198.51.100.1"),
        ("2001:db8::1:2:3:4", "", "", "2001:db8::/64"),
        ("127.0.0.1", "198.51.100.1", "", "127.0.0.1"),
    ],
)
def test_only_trusted_proxies_say_where_a_request_comes_from(
    peer: str, forwarded: str, trusted: str, address: str
) -> None:
    """The last address that is not a trusted proxy's counts; what a client puts first does not."""
    request = asked(peer, {"x-forwarded-for": forwarded}, trusted_proxies=trusted)
    assert client_address(request) == address


def test_only_trusted_proxies_say_that_tls_was_spoken() -> None:
    """`X-Forwarded-Proto` of a stranger makes nothing secure; the public address does."""
    headers = {"x-forwarded-proto": "https"}
    assert is_secure(asked("127.0.0.1", headers))
    assert not is_secure(asked("203.0.113.9", headers))
    assert is_secure(asked("203.0.113.9", {}, url="https://dash.test"))
