"""The address of a server in one form, and what is none."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_dash.remote import server_url
from ml_dash.remote.address import is_local, origin


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("https://Dash.Example", "https://dash.example"),
        (" https://dash.example/ ", "https://dash.example"),
        ("https://dash.example:443/", "https://dash.example"),
        ("http://dash.example:80", "http://dash.example"),
        ("http://dash.example:8080//", "http://dash.example:8080"),
        ("https://dash.example/lab/dash/", "https://dash.example/lab/dash"),
        ("https://dash.example/api/v1", "https://dash.example"),
        ("http://[::1]:3000", "http://[::1]:3000"),
    ],
)
def test_an_address_has_one_form(given: str, url: str) -> None:
    """However it is written; that form stays as it is."""
    assert server_url(given) == url
    assert server_url(url) == url


@pytest.mark.parametrize(
    "given",
    [
        "",
        "dash.example",
        "ftp://a",
        "https://",
        "https:///x",
        "http://a:b:c",
        "http://[",
        "http://a:x",
        "https://a:b@c",
        "https://a/?b",
        "https://a/#b",
        "https://a:99999",
    ],
)
def test_what_is_no_address_is_refused(given: str) -> None:
    """With words that say what one looks like."""
    with pytest.raises(ValueError, match=r"address of a server"):
        server_url(given)


@given(st.text(max_size=30))
def test_no_text_breaks_the_check_of_an_address(text: str) -> None:
    """It is one, or a ValueError; origins are compared without one."""
    origin(text)
    try:
        url = server_url(text)
    except ValueError:
        return
    assert server_url(url) == url


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:3000", True),
        ("http://127.0.0.1", True),
        ("http://127.8.0.1", True),
        ("http://[::1]:1", True),
        ("http://dash.localhost", True),
        ("http://127.0.0.1.evil.test", False),
        ("http://localhost.evil.test", False),
        ("http://10.0.0.1", False),
    ],
)
def test_an_address_of_this_machine_is_known(url: str, local: bool) -> None:
    """And a name that only looks like one is not."""
    assert is_local(url) is local
