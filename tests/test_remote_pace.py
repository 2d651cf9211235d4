"""Answers that trickle end, and slow lines that are steady are waited for."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from urllib3.exceptions import ReadTimeoutError

from ml_dash.remote import RemoteClient, UnreachableError, pace

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/octet-stream\r\nContent-Length: %d\r\n\r\n"
SIZE = 48 << 10

Serve = Callable[[socket.socket, threading.Event], None]


@contextmanager
def served(serve: Serve) -> Iterator[str]:
    """The address of a server that treats each connection in one way."""
    over = threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=treat, args=(connection,), daemon=True).start()

    def treat(connection: socket.socket) -> None:
        with connection:
            try:
                serve(connection, over)
            except OSError:
                return  # the client has gone

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        over.set()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def read_head(connection: socket.socket) -> bytes:
    """The request up to its body, and what of the body came with it."""
    found = b""
    while b"\r\n\r\n" not in found:
        found += connection.recv(1024)
    return found


def trickle(connection: socket.socket, over: threading.Event, data: bytes, pause: float) -> None:
    """Send one byte after the other."""
    for number in range(len(data)):
        if over.wait(pause):
            return
        connection.sendall(data[number : number + 1])


def in_drips(connection: socket.socket, over: threading.Event) -> None:
    """Answer, and send the body a byte at a time."""
    read_head(connection)
    connection.sendall(HEAD % 10_000)
    trickle(connection, over, bytes(10_000), 0.05)


def head_in_drips(connection: socket.socket, over: threading.Event) -> None:
    """Send even the head a byte at a time."""
    read_head(connection)
    trickle(connection, over, b"HTTP/1.1 200 OK\r\nX-Long: " + b"x" * 10_000, 0.05)


def steadily(connection: socket.socket, over: threading.Event) -> None:
    """Send the body slowly: the whole takes longer than the time-out."""
    read_head(connection)
    connection.sendall(HEAD % SIZE)
    for _ in range(16):
        if over.wait(0.1):
            return
        connection.sendall(bytes(SIZE // 16))


@pytest.mark.parametrize("serve", [in_drips, head_in_drips])
def test_an_answer_that_drips_is_one_that_took_too_long(serve: Serve) -> None:
    """Each byte comes in time, and the whole never would."""
    with served(serve) as url:
        begun = time.monotonic()
        with pytest.raises(UnreachableError, match="took too long to answer") as caught:
            RemoteClient(url, timeout=(5.0, 0.3)).request("GET", "/me")
    assert caught.value.kind == "timeout"
    assert time.monotonic() - begun < 10


def test_a_body_that_is_left_to_the_caller_is_paced_as_well() -> None:
    """It is the connection that takes the time, not who reads."""
    with served(in_drips) as url:
        answer = RemoteClient(url, timeout=(5.0, 0.3)).request("GET", "/me", stream=True)
        begun = time.monotonic()
        with pytest.raises(ReadTimeoutError):
            answer.raw.read(10_000)
        assert time.monotonic() - begun < 10


def test_a_slow_answer_that_comes_steadily_is_taken_whole() -> None:
    """The whole takes longer than the time-out, which is between two pieces."""
    with served(steadily) as url:
        client = RemoteClient(url, timeout=(5.0, 1.2))
        begun = time.monotonic()
        answer = client.request("GET", "/me", most=1 << 40)
        assert len(answer.content) == SIZE
        assert time.monotonic() - begun > 1.3, "it was not slow"
        assert client.moved - begun > 1.3, "the last of its pieces counts"


def test_a_caller_that_is_slow_itself_is_not_held_against_the_server() -> None:
    """What it does between two reads is its own time."""
    with served(steadily) as url:
        answer = RemoteClient(url, timeout=(5.0, 0.3)).request("GET", "/me", stream=True)
        size = 0
        for piece in answer.iter_content(SIZE // 8):
            size += len(piece)
            threading.Event().wait(0.15)
    assert size == SIZE


def test_a_body_that_goes_out_slowly_and_steadily_is_sent() -> None:
    """The time-out is for each piece of it: a large part gets through a slow line."""
    size = 6 << 20
    got: list[int] = []

    def serve(connection: socket.socket, over: threading.Event) -> None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)
        count = len(read_head(connection).partition(b"\r\n\r\n")[2])
        while count < size:
            data = connection.recv(1 << 18)
            count += len(data)
            if not data or over.wait(len(data) / size * 1.5):
                return
        got.append(count)
        connection.sendall(HEAD % 2 + b"{}")

    with served(serve) as url:
        client = RemoteClient(url, timeout=(0.4, 10.0))
        assert client.json("PUT", "/part", body=bytes(size)) == {}
    assert got == [size]


def test_a_piece_of_a_body_has_more_time_than_a_connection() -> None:
    """A slow line takes some hundred kilobytes at once, and then nothing for many seconds."""
    told: list[object] = []

    class Socket:
        def settimeout(self, seconds: float) -> None:
            told.append(seconds)

    class Connection:
        sock = Socket()

        def send(self, data: memoryview) -> None:
            told.append(len(data))

    about = {"moved": staticmethod(lambda out: None), "patience": 30.0}
    made: Any = type("Sending", (pace._Sending, Connection), about)()
    made.send(b"headers")
    made.send(bytes(2 * pace.PIECE))
    assert told == [7, pace.PIECE, 30.0, pace.PIECE]
