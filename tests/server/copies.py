"""Runs that are recorded by a seed, and the proof that a server's copy of one is equal."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import pytest
from replicas import files_in, segments_in, sha256

from ml_dash import Experiment
from ml_dash.remote import RemoteClient
from ml_dash.sync.listing import segment_url, stored_segments
from ml_dash.sync.verify import differences

QUIET: dict[str, Any] = {"echo": False, "environment": False}

ROUNDS = int(os.environ.get("ML_DASH_TEST_ROUNDS", "1"))
"""How many times as many rounds as usual are played, each by a seed of its own."""


def seeds(first: int, count: int, batch: int) -> list[Any]:
    """The seeds of a test in batches, as many times as many as rounds are asked for.

    Args:
        first: the first seed.
        count: of the seeds.
        batch: how many go into one test.
    """
    end = first + count * ROUNDS
    found = [range(at, min(at + batch, end)) for at in range(first, end, batch)]
    return [pytest.param(each, id=f"{each.start}-{each.stop - 1}") for each in found]


def record(root: Path, prefix: str, seed: int) -> Path:
    """A small run with rows in several streams, small files and now and then a large one."""
    chance = random.Random(seed)
    with Experiment(prefix, dash_root=root, **QUIET).run as experiment:
        experiment.params.set(seed=seed)
        for step in range(chance.randrange(2, 40)):
            experiment.track(f"robot/{chance.randrange(3)}").append({"step": step, "x": step / 7})
        experiment.metrics("train").log(step=1, loss=chance.random())
        experiment.log("x" * chance.randrange(5_000))
        for number in range(chance.randrange(3)):
            experiment.files("models").save_blob(chance.randbytes(2000), to=f"{number}.bin")
        if seed % 10 == 0:
            experiment.files("models").save_blob(chance.randbytes((1 << 20) + seed), to="large")
    return root / prefix


def check_equal(folder: Path, client: RemoteClient, prefix: str, *, thorough: bool = True) -> None:
    """Fail unless a server has exactly what a folder has: rows, and files by their checksums.

    Args:
        folder: the run.
        client: the server, reached by a network that works.
        prefix: the run's key.
        thorough: also let the client's own comparison, and that of the chunks, say so.
    """
    about = {"prefix": prefix, "id": "", "create": False}
    path = f"/runs/{client.json('POST', '/runs', json=about)['run']['id']}"
    # Nothing is sent of one whose writer was killed when it had just made it.
    local = {name: data for name, data in segments_in(folder).items() if data}
    stored = {name for name, *_ in stored_segments(client, path)}
    sizes = {name: len(data) for name, data in local.items()}
    assert stored == set(local), f"other segments: here {sizes}, there {stored}"
    for name, data in local.items():
        there = client.request("GET", segment_url(path, name)).content
        assert there == data, f"{name} differs: {len(data)} bytes here, {len(there)} there"
    # A writer that was killed between a file and its row had not returned from the call: of such a
    # file nothing is known but its bytes, and nobody sends it.
    index = b"".join(data for name, data in local.items() if name.startswith("files/index/"))
    named = {sha: data for sha, data in files_in(folder).items() if sha.encode() in index}
    for sha, data in named.items():
        assert client.request("GET", f"{path}/blobs/{sha}").content == data, "a file differs"
    if thorough:
        nobodys = [
            f"{path.relative_to(folder).as_posix()}: not on the server"
            for path in (folder / "files/data").rglob("*")
            if path.is_file() and sha256(path.read_bytes()) not in named
        ]
        found = set(differences(folder, client, prefix)).difference(nobodys)
        assert not found, f"differences: {sorted(found)}"
