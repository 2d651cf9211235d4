"""What came of an answer that breaks off is kept by those who ask for the rest."""

from __future__ import annotations

import socket
import threading

import pytest
from test_remote_pace import read_head, served

from ml_dash.remote import RemoteClient, UnreachableError

HEAD = (
    b"HTTP/1.1 %b\r\nContent-Type: application/octet-stream\r\nContent-Length: 300000\r\n"
    b"Content-Range: bytes 0-299999/300000\r\n\r\n"
)


def breaks(connection: socket.socket, over: threading.Event) -> None:
    """Answer with a part of a range, or of the whole where the path says so."""
    head = read_head(connection)
    whole = b"/whole" in head
    connection.sendall(HEAD % (b"200 OK" if whole else b"206 Partial Content"))
    if b"/none" not in head:
        connection.sendall(bytes(200_000))


def test_what_came_of_a_range_is_given_to_those_who_want_it() -> None:
    """At least one piece of it."""
    with served(breaks) as url:
        data = RemoteClient(url).request("GET", "/part", partial=True).content
    assert 0 < len(data) <= 200_000


@pytest.mark.parametrize(("path", "partial"), [("/part", False), ("/none", True), ("/whole", True)])
def test_any_other_answer_is_whole_or_an_error(path: str, partial: bool) -> None:
    """Also where nothing came, and where it is no range."""
    with served(breaks) as url, pytest.raises(UnreachableError) as failure:
        RemoteClient(url).request("GET", path, partial=partial)
    assert failure.value.kind == "closed"
