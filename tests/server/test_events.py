"""Events: what is told while a run goes on, to whom, until when, and what it costs."""

from __future__ import annotations

import asyncio
import http.client
import json
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest
from sqlalchemy import delete, update

from ml_dash.server.problems import Problem
from ml_dash.server.runs.routes import shown
from ml_dash.server.streams import events
from ml_dash.server.streams.events import HEARTBEAT, PAUSE, Seats, Watch, follow, may_read
from ml_dash.server.tables import Member, Run

from .inside import Inside, make_run, send
from .recorded import line
from .serving import Served

ROW = line({"timestamp": 1.0, "step": 1, "loss": 0.5})


def watch(inside: Inside, run: str, after: str = "") -> Watch:
    return Watch(inside.data, run, lambda: shown(inside.data, run, inside.now), after)


def told(found: list[bytes] | None) -> list[tuple[str, Any]]:
    """Events by name, with their contents."""
    assert found is not None
    made = []
    for event in found:
        fields = dict(part.split(": ", 1) for part in event.decode().strip().split("\n"))
        made.append((fields["event"], json.loads(fields["data"])))
    return made


def test_a_look_tells_what_grew_and_then_nothing(inside: Inside) -> None:
    """First all streams and the run, then silence, then only the stream that grew."""
    anna = inside.user("anna")
    run = make_run(anna)
    send(anna, run, ("metrics/m/w.jsonl", 0, b"", ROW), ("tracks/a/w.jsonl", 0, b"", ROW))
    looking = watch(inside, run)
    first = told(looking.look())
    assert first[0] == ("segments", {"paths": {"metrics/m": len(ROW), "tracks/a": len(ROW)}})
    assert first[1][0] == "run" and first[1][1]["id"] == run
    assert looking.look() == []
    inside.now += 1
    send(anna, run, ("tracks/a/w.jsonl", len(ROW), ROW, ROW))
    assert told(looking.look())[0] == ("segments", {"paths": {"tracks/a": 2 * len(ROW)}})


def test_whoever_comes_back_is_told_only_what_is_new(inside: Inside) -> None:
    """The id of the last event leads to silence until something is added; then all is told."""
    anna = inside.user("anna")
    run = make_run(anna)
    send(anna, run, ("metrics/m/w.jsonl", 0, b"", ROW))
    last = (watch(inside, run).look() or [])[-1]
    mark = last.split(b"\n")[0].removeprefix(b"id: ").decode()
    again = watch(inside, run, mark)
    assert again.look() == []
    send(anna, run, ("metrics/m/w.jsonl", len(ROW), ROW, ROW))
    assert told(again.look())[0] == ("segments", {"paths": {"metrics/m": 2 * len(ROW)}})


def test_a_run_that_dies_in_silence_is_told(inside: Inside) -> None:
    """Its status changes though nothing came: a thorough look notices."""
    anna = inside.user("anna")
    run = make_run(anna)
    start = line({"timestamp": 1.0, "event": "start", "session": "s", "root": True, "id": "1"})
    send(anna, run, ("run/w.jsonl", 0, b"", start))
    looking = watch(inside, run)
    assert told(looking.look())[-1][1]["status"] == "RUNNING"
    inside.now += 10_000
    assert looking.look() == []
    assert told(looking.look(thorough=True)) == [("run", shown(inside.data, run, inside.now))]
    assert looking.look(thorough=True) == []


def test_looks_end_when_the_run_is_deleted(inside: Inside) -> None:
    """There is nothing to look at then."""
    run = make_run(inside.user("anna"))
    looking = watch(inside, run)
    inside.data.transaction(lambda session: session.execute(delete(Run).where(Run.id == run)))
    assert looking.look() is None


class Line:
    """One who follows, over a clock that does not wait."""

    def __init__(self, looks: list[list[bytes] | None], alive: bool = True) -> None:
        self.waited = 0.0
        self.checks = 0
        self.thorough: list[bool] = []
        self.stop_at = float("inf")
        self._looks = looks
        self._alive = alive

    async def look(self, thorough: bool) -> list[bytes] | None:
        self.thorough.append(thorough)
        return self._looks.pop(0) if self._looks else []

    async def alive(self) -> bool:
        self.checks += 1
        return self._alive

    async def pause(self, seconds: float) -> None:
        self.waited += seconds

    async def go(self) -> list[bytes]:
        stream = follow(self.look, self.alive, lambda: self.waited >= self.stop_at, self.pause)
        return [event async for event in stream]


def test_a_silent_run_is_heard_every_fifteen_seconds_and_ended_after_ten_minutes() -> None:
    """Comments in between, each with a check of the reader's right."""
    one = Line([])
    got = asyncio.run(one.go())
    assert one.waited == events.LONGEST
    assert got[0].startswith(b"retry:") and set(got[1:]) == {b": still here\n\n"}
    assert len(got) - 1 == one.checks == events.LONGEST // HEARTBEAT - 1
    assert one.thorough.count(True) == one.checks


def test_a_busy_run_is_checked_as_often() -> None:
    """Events at every look put off the comments, not the check of the reader's right."""
    one = Line([[b"x"]] * 40, alive=False)
    got = asyncio.run(one.go())
    assert one.checks == 1 and one.waited == HEARTBEAT
    assert got[1:] == [b"x"] * int(HEARTBEAT / PAUSE)


def test_the_end_of_the_server_ends_the_stream() -> None:
    """At the next look at the latest."""
    one = Line([[b"x"]])
    one.stop_at = 3.0
    assert asyncio.run(one.go())[1:] == [b"x"] and one.waited == 3.0


def test_the_end_of_the_run_ends_the_stream() -> None:
    """When a look finds it gone."""
    one = Line([[b"x"], None])
    assert asyncio.run(one.go())[1:] == [b"x"] and one.waited == PAUSE


def test_seats_are_bounded_and_given_back() -> None:
    """The third of two is told to come later; a reader who leaves makes room."""
    ended: list[int] = []

    async def endless(number: int) -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"x"
        finally:
            ended.append(number)

    async def go() -> None:
        seats = Seats(2)
        one, two = (seats.taken(endless(number)) for number in (1, 2))
        assert await anext(one) == await anext(two) == b"x"
        with pytest.raises(Problem) as refused:
            seats.taken(endless(3))
        assert refused.value.status == 503 and refused.value.retry_after
        await one.aclose()
        assert ended == [1] and seats.used == 1
        assert await anext(seats.taken(endless(3))) == b"x"

    asyncio.run(go())


def test_the_right_to_follow_ends_with_the_membership(inside: Inside) -> None:
    """Whoever is taken out of the namespace is no longer told."""
    anna = inside.user("anna")
    run = make_run(anna)
    user = anna.get("/api/v1/me").json()["user"]["id"]
    assert may_read(inside.data, run, user)
    inside.data.transaction(lambda s: s.execute(delete(Member).where(Member.user_id == user)))
    assert not may_read(inside.data, run, user)
    inside.data.transaction(lambda s: s.execute(update(Run).values(updated=0.0)))


class Follower:
    """A connection of its own to a server, read line by line."""

    def __init__(self, port: int, run: str, token: str, **headers: str) -> None:
        self._link = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        own = {"Authorization": f"Bearer {token}", **headers}
        self._link.request("GET", f"/api/v1/runs/{run}/events", headers=own)
        self.answer = self._link.getresponse()

    def event(self, name: str) -> Any:
        """The content of the next event of a name."""
        seen = ""
        while text := self.answer.readline():
            if text.startswith(b"event: "):
                seen = text[7:].strip().decode()
            elif text.startswith(b"data: ") and seen == name:
                return json.loads(text[6:])
        raise AssertionError("the stream ended")

    def close(self) -> None:
        """Hang up."""
        self.answer.close()
        self._link.close()


@pytest.fixture
def followed(server: Served) -> Iterator[tuple[Served, Any, str, Callable[..., Follower]]]:
    """A real server, a person's client, a run of theirs, and how to follow it."""
    person = server.person()
    client = server.client(person)
    run = client.json("POST", "/runs", json={"prefix": "demo/live", "id": "1"})["run"]["id"]
    opened: list[Follower] = []

    def follow_it(**headers: str) -> Follower:
        opened.append(Follower(server.port, run, person.token, **headers))
        return opened[-1]

    yield server, client, run, follow_it
    for each in opened:
        each.close()


def test_followers_are_told_by_a_real_server_and_others_are_answered_meanwhile(
    followed: Any,
) -> None:
    """Sixty follow, more than there are threads; rows reach all, and a request takes its turn."""
    from ml_dash import wire

    _, client, run, follow_it = followed
    crowd = [follow_it() for _ in range(60)]
    assert {each.answer.status for each in crowd} == {200}
    assert crowd[0].answer.headers["content-type"].startswith("text/event-stream")
    for each in crowd:
        assert each.event("run")["id"] == run
    header = {"pieces": [{"segment": "logs/w.jsonl", "offset": 0, "tail": 0, "size": len(ROW)}]}
    client.request("POST", f"/runs/{run}/append", body=wire.pack(header, [ROW]))
    heard: list[Any] = []
    threads = [
        threading.Thread(target=lambda one=each: heard.append(one.event("segments")))
        for each in crowd
    ]
    for thread in threads:
        thread.start()
    assert client.json("GET", f"/runs/{run}")["run"]["rows"] == 1
    for thread in threads:
        thread.join(30)
    assert heard == [{"paths": {"logs": len(ROW)}}] * 60


def test_a_follower_who_is_gone_makes_room(followed: Any) -> None:
    """Two hundred come and go, one after the other: none is turned away."""
    _, _, _, follow_it = followed
    for _ in range(200):
        one = follow_it()
        assert one.answer.status == 200 and one.answer.readline() == b"retry: 2000\n"
        one.close()
