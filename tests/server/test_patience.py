"""Rows that are being sent while the store is full, or has lost some of them."""

from __future__ import annotations

import os
import threading
from typing import Any

import pytest

from ml_dash.server import patience
from ml_dash.server.store import ObjectStore, SilentError

from .inside import Inside, make_run, send

ROWS = 30_000


def lines(number: int) -> bytes:
    """A chunk of rows as no other test has them: chunks are kept by their hash."""
    mark = os.urandom(4).hex()
    row = b'{"timestamp":%d.5,"x":1,"mark":"%b"}\n'
    return b"".join(row % (number * ROWS + each, mark.encode()) for each in range(ROWS))


def recorded(client: Any) -> tuple[str, str]:
    """A run, and where the rows of a stream are: several pieces of an answer, of a chunk each."""
    run = make_run(client)
    before = b""
    for number in range(4):
        text = lines(number)
        send(client, run, ("metrics/train/w.jsonl", len(before), before, text))
        before += text
    return run, f"/api/v1/runs/{run}/streams/metrics/train/rows"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_rows_whose_answer_has_begun_wait_for_a_full_store(
    small: Inside, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """All of them come, though there was no room for their later chunks."""
    anna = small.user("anna")
    where = f"{recorded(anna)[1]}?format={form}&columns=x"
    objects: ObjectStore = small.app.state.store
    real, asked = objects.get, [0]

    def get(*about: Any) -> bytes:
        asked[0] += 1
        if asked[0] in (3, 4, 6):
            raise SilentError("too many requests wait for the store")
        return real(*about)

    monkeypatch.setattr(objects, "get", get)
    monkeypatch.setattr(patience, "PAUSE", 0.01)
    found = anna.get(where).content.splitlines()
    assert len(found) == 4 * ROWS + (form == "csv")
    assert asked[0] > 6, "it was turned away three times"


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_rows_are_not_begun_to_be_given_while_the_store_is_away(
    small: Inside, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    """503, from which a client knows to come back, and no 200 that breaks off."""
    anna = small.user("anna")
    where = f"{recorded(anna)[1]}?format={form}&columns=x"

    def away(*asked: Any) -> bytes:
        raise SilentError("too many requests wait for the store")

    monkeypatch.setattr(small.app.state.store, "get", away)
    answer = anna.get(where)
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) >= 1


def test_only_some_threads_wait_for_a_full_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next answer breaks off: what the database alone can answer needs a thread, too."""

    def full() -> bytes:
        raise SilentError("too many requests wait for the store")

    monkeypatch.setattr(patience, "_threads", threading.BoundedSemaphore(1))
    with patience._threads, pytest.raises(SilentError):
        patience.in_a_thread(full)


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_rows_that_the_store_has_lost_are_told_as_lost(small: Inside, form: str) -> None:
    """With a status and a word for programs, where nothing was sent before."""
    anna = small.user("anna")
    run, where = recorded(anna)
    objects: ObjectStore = small.app.state.store
    objects.delete(list(objects.of_run(run)))
    answer = anna.get(f"{where}?format={form}&columns=x")
    assert (answer.status_code, answer.json()["code"]) == (500, "lost")
