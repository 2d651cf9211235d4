"""The server, and the database beneath it, are killed at random moments and started again."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ml_dash.sync import replicate
from ml_dash.sync.trouble import BackOff

from .copies import check_equal, record, seeds
from .serving import Machines, Person, Served
from .training import Training


def train_through(
    kill: Callable[[], None], server: Served, person: Person, root: Path, batch: range
) -> None:
    """Two trainings and a `sync` go on while something is killed, once for each seed.

    Afterwards the copies must be equal, and what a training reported as sent must have arrived.
    """
    chance = random.Random(batch.start)
    name = f"killed-{batch.start}"
    folder = record(root, f"{name}/finished", 10 * batch.start)
    runs = {f"{name}/finished": folder}
    with (
        Training(f"{name}/one", root, server.url, person) as one,
        Training(f"{name}/two", root, server.url, person, fork=True) as two,
    ):
        for training in (one, two):
            training.wait_for_start()
            runs[training.prefix] = training.folder
        for _ in batch:
            time.sleep(chance.uniform(0.0, 0.4))
            kill()
            report = replicate(folder, server.client(person), patience=60.0, back_off=BackOff(0.05))
            assert report.ok, report
        assert [one.finish(), two.finish()] == [0, 0]
    for prefix, each in runs.items():
        report = replicate(each, server.client(person), patience=60.0)
        assert report.ok, (prefix, report)
        check_equal(each, server.client(person), prefix)


@pytest.mark.parametrize("batch", seeds(0, 8, 4))
def test_the_server_is_killed(server: Served, tmp_path: Path, batch: range) -> None:
    """At random moments of trainings that replicate to it."""
    person = server.person()

    def kill() -> None:
        server.kill()
        server.start()

    train_through(kill, server, person, tmp_path, batch)


@pytest.mark.parametrize("batch", seeds(50, 12, 6))
def test_postgres_is_killed(
    served: Callable[[str], Served], machines: Machines, tmp_path: Path, batch: range
) -> None:
    """Its postmaster, as the machine's memory guard would; the server lives through it."""
    server = served("postgres-s3")
    person, pid = server.person(), server.pid

    def kill() -> None:
        machines.postgres.kill()
        machines.postgres.start()

    train_through(kill, server, person, tmp_path, batch)
    assert server.pid == pid and server.answers()
