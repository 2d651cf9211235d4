"""Two API processes over one PostgreSQL and one bucket are one server."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from replicas import segments_in

from ml_dash import Experiment, wire
from ml_dash.remote import RemoteClient
from ml_dash.sync import replicate
from ml_dash.sync.listing import segment_url, stored_segments

from .copies import QUIET, check_equal, record
from .serving import Machines, Person, Served

WRITERS = 12
APPENDS = 10


class Balancer:
    """A client whose requests go to one server process after the other."""

    def __init__(self, clients: list[RemoteClient], start: int = 0) -> None:
        self._clients = clients
        self._turn = count(start)
        self.own = clients[0].own

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Ask the next one."""
        return self._clients[next(self._turn) % len(self._clients)].json(method, path, **options)


@pytest.fixture(scope="module")
def pair(
    machines: Machines, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Served, Served]]:
    """Two processes that started at once over an empty database."""
    folder = tmp_path_factory.mktemp("pair")
    settings = machines.settings("postgres-s3", folder / "one")
    made = Served(settings), Served(replace(settings, folder=str(folder / "two")))
    for each in made:
        each.begin()
    for each in made:
        each.wait()
    yield made
    for each in made:
        each.kill()


def clients(pair: tuple[Served, Served], person: Person) -> list[RemoteClient]:
    """A client of each."""
    return [each.client(person, timeout=(5.0, 60.0)) for each in pair]


def run_path(client: Any, prefix: str) -> str:
    """The address of a run, which is made where there is none."""
    about = {"prefix": prefix, "id": "1", "create": True}
    return f"/runs/{client.json('POST', '/runs', json=about)['run']['id']}"


def together(jobs: list[Any]) -> None:
    """Do all of them at once; fail if one did."""
    errors: list[BaseException] = []
    barrier = threading.Barrier(len(jobs))

    def work(job: Any) -> None:
        barrier.wait()
        try:
            job()
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            errors.append(error)

    threads = [threading.Thread(target=work, args=(job,)) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def append(client: Any, path: str, segment: str, known: bytes, text: bytes) -> dict[str, Any]:
    """One append; the answer."""
    tail = wire.tail_crc(known)
    piece = {"segment": segment, "offset": len(known), "tail": tail, "size": len(text)}
    body = wire.pack({"pieces": [piece]}, [text])
    answer = client.json("POST", f"{path}/append", body=body, headers={"Content-Type": wire.FRAMES})
    return dict(answer["pieces"][0])


def test_many_clients_append_to_one_run_by_way_of_both(pair: tuple[Served, Served]) -> None:
    """Each writer's rows are there once and in order, and the run's own count says so."""
    person = pair[0].person()
    both = clients(pair, person)
    path = run_path(both[0], "pair/one")

    def write(writer: int) -> None:
        client, known = Balancer(both, writer), b""
        for number in range(APPENDS):
            text = b"%s\n" % json.dumps({"timestamp": number / 7, "step": number}).encode()
            answer = append(client, path, f"tracks/t/w{writer}.jsonl", known, text)
            assert answer["state"] == "taken", answer
            known += text

    together([lambda writer=writer: write(writer) for writer in range(WRITERS)])
    found = {name: size for name, size, _ in stored_segments(both[1], path)}
    assert len(found) == WRITERS
    for name in found:
        rows = both[1].request("GET", segment_url(path, name)).content.splitlines()
        assert [json.loads(row)["step"] for row in rows] == list(range(APPENDS))
    assert both[1].json("GET", path)["run"]["rows"] == WRITERS * APPENDS


def test_of_two_that_append_at_the_same_place_one_is_told_to_move_on(
    pair: tuple[Served, Served],
) -> None:
    """Again and again: every row is taken exactly once, whoever sent it first."""
    person = pair[0].person()
    both = clients(pair, person)
    path, segment = run_path(both[0], "pair/race"), "tracks/t/same.jsonl"
    known = b""
    for number in range(25):
        text = b'{"timestamp": %d.0}\n' % number
        answers: list[dict[str, Any]] = []

        def send(client: RemoteClient, before: bytes, text: bytes, to: list[Any]) -> None:
            to.append(append(client, path, segment, before, text))

        together([partial(send, client, known, text, answers) for client in both])
        states = sorted(answer["state"] for answer in answers)
        assert states == ["moved", "taken"], answers
        known += text
        assert {answer["end"] for answer in answers} == {len(known)}
    assert both[0].request("GET", segment_url(path, segment)).content == known


def test_replicators_of_one_run_may_each_talk_to_another_process(
    pair: tuple[Served, Served], tmp_path: Path
) -> None:
    """Three that send the same folder at once, each request to the other process in turn."""
    person = pair[0].person()
    both: list[Any] = clients(pair, person)
    with Experiment("pair/same", dash_root=tmp_path, **QUIET).run as experiment:
        for step in range(200):
            experiment.log("x" * 5000, step=step)
            experiment.track(f"t{step % 5}").append({"step": step})
        experiment.files("models").save_blob(b"m" * 3_000_000, to="large.bin")
        experiment.files("models").save_blob(b"s" * 3_000, to="small.bin")
    folder = tmp_path / "pair/same"
    reports: list[Any] = []

    def send(turn: int) -> None:
        balancer: Any = Balancer(both, turn)
        reports.append(replicate(folder, balancer))

    together([lambda turn=turn: send(turn) for turn in range(3)])
    assert all(report.ok for report in reports), reports
    check_equal(folder, both[0], "pair/same")
    sent = sum(report.bytes for report in reports)
    assert sent == sum(map(len, segments_in(folder).values())), "each byte was taken once"


def test_many_runs_of_one_new_project_may_be_made_at_once(
    pair: tuple[Served, Served], tmp_path: Path
) -> None:
    """And a run that several processes make at once is one run."""
    person = pair[0].person()
    both: list[Any] = clients(pair, person)
    made: list[str] = []
    jobs = [
        lambda turn=turn: made.append(run_path(both[turn % 2], f"pair-new/r{turn // 4}"))
        for turn in range(16)
    ]
    together(jobs)
    assert len(made) == 16 and len(set(made)) == 4
    folder = record(tmp_path, "pair-new/r0", 5)
    assert replicate(folder, both[1]).ok
    check_equal(folder, both[0], "pair-new/r0")


def test_one_process_goes_on_where_the_other_was_killed(
    pair: tuple[Served, Served], tmp_path: Path
) -> None:
    """It knows every byte that the other one has said it took."""
    first, second = pair
    person = first.person()
    folder = record(tmp_path, "pair/kill", 30)

    def kill(progress: Any) -> None:
        if progress.rows:
            first.kill()

    report = replicate(folder, first.client(person), progress=kill, patience=0.1)
    assert report.error is not None and report.bytes > 0
    rest = replicate(folder, second.client(person))
    assert rest.ok and rest.bytes + report.bytes == sum(map(len, segments_in(folder).values()))
    check_equal(folder, second.client(person), "pair/kill")
    first.start()
