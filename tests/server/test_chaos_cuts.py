"""Runs get through lines that reset each connection before a large file is through."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from replicas import files_in, segments_in

from ml_dash import Experiment
from ml_dash.sync import replicate
from ml_dash.sync.download import download
from ml_dash.sync.trouble import BackOff

from .copies import QUIET, check_equal
from .cutting import CuttingLine
from .serving import Served


def recorded(root: Path, prefix: str) -> Path:
    """A run with rows, a large file and small ones."""
    with Experiment(prefix, dash_root=root, **QUIET).run as experiment:
        for step in range(50):
            experiment.log(os.urandom(4_000).hex(), step=step)
        experiment.files("models").save_blob(os.urandom(4_000_000), to="large.bin")
        for number in range(30):
            experiment.files("frames").save_blob(os.urandom(30_000), to=f"{number}.bin")
    return root / prefix


@pytest.mark.parametrize("cut", [3_000_000, 300_000])
def test_a_run_is_sent_over_connections_that_are_reset(
    server: Served, tmp_path: Path, cut: int
) -> None:
    """In one call, and no more than a few times what it has."""
    person = server.person()
    prefix = f"cuts/up{cut}"
    folder = recorded(tmp_path, prefix)
    with CuttingLine(server.port, up=cut) as line:
        client = server.client(person, line.url)
        report = replicate(folder, client, back_off=BackOff(0.01))
    assert report.ok, str(report)
    assert line.cuts and line.moved[0] < 40_000_000
    check_equal(folder, server.client(person), prefix)


@pytest.mark.parametrize("cut", [3_000_000, 300_000])
def test_a_run_is_fetched_over_connections_that_are_reset(
    server: Served, tmp_path: Path, cut: int
) -> None:
    """What came of a file is not fetched again."""
    person = server.person()
    prefix = f"cuts/down{cut}"
    folder = recorded(tmp_path / "here", prefix)
    assert replicate(folder, server.client(person)).ok
    about = {"prefix": prefix, "id": "", "create": False}
    run = str(server.client(person).json("POST", "/runs", json=about)["run"]["id"])
    with CuttingLine(server.port, down=cut) as line:
        waits: list[float] = []
        download(run, server.client(person, line.url), tmp_path / "copy", sleep=waits.append)
    assert segments_in(tmp_path / "copy") == segments_in(folder)
    assert files_in(tmp_path / "copy") == files_in(folder)
    assert line.cuts and line.moved[1] < 20_000_000
