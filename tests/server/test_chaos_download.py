"""Runs are downloaded whole or not at all, whatever happens on the way."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from replicas import files_in, segments_in

from ml_dash import Experiment
from ml_dash.remote import RemoteClient
from ml_dash.sync import replicate
from ml_dash.sync.download import DownloadError, download
from ml_dash.sync.trouble import BackOff

from .copies import QUIET, record, seeds
from .faults import FaultProxy
from .serving import Served


def nothing(seconds: float) -> None:
    """In place of sleeping."""


def upload(folder: Path, client: RemoteClient, prefix: str) -> str:
    """Send a run; its id on the server."""
    assert replicate(folder, client).ok
    about = {"prefix": prefix, "id": "", "create": False}
    return str(client.json("POST", "/runs", json=about)["run"]["id"])


def check_whole(folder: Path, original: Path) -> None:
    """Fail if there is anything but whole files of the run under the names that they have in it."""
    there, here = segments_in(folder), segments_in(original)
    assert all(here[name] == data for name, data in there.items())
    for path in (folder / "files/data").rglob("*"):
        if path.is_file():
            name = path.relative_to(folder)
            assert path.read_bytes() == (original / name).read_bytes(), name


def check_same(folder: Path, original: Path) -> None:
    """Fail unless one folder has just what the other has."""
    assert segments_in(folder) == segments_in(original)
    assert files_in(folder) == files_in(original)


@pytest.mark.parametrize("batch", seeds(300, 10, 10))
def test_a_download_through_a_bad_network_is_the_same_run(
    server: Served, tmp_path: Path, batch: range
) -> None:
    """Byte by byte; and a second time nothing is fetched."""
    person = server.person()
    with FaultProxy(server.port) as proxy:
        for seed in batch:
            prefix = f"download/r{seed}"
            folder, copy = record(tmp_path / "here", prefix, seed), tmp_path / f"copy{seed}"
            run = upload(folder, server.client(person), prefix)
            proxy.seed(seed)
            download(run, server.client(person, proxy.url), copy, sleep=nothing)
            check_same(copy, folder)
            again = download(run, server.client(person), copy)
            assert (again.segments, again.files, again.bytes) == (0, 0, 0)
            assert again.kept == len(segments_in(folder)) + len(files_in(folder))


@pytest.mark.parametrize("batch", seeds(400, 6, 6))
def test_a_download_that_is_killed_leaves_only_whole_files(
    server: Served, tmp_path: Path, batch: range
) -> None:
    """At any moment, and the next one brings the rest."""
    person = server.person()
    with Experiment("download/kill", dash_root=tmp_path / "here", **QUIET).run as experiment:
        for number in range(30):
            experiment.track(f"t{number}").append({"step": number})
            experiment.files("models").save_blob(os.urandom(400_000), to=f"{number}.bin")
    folder, copy = tmp_path / "here/download/kill", tmp_path / "copy"
    upload(folder, server.client(person), "download/kill")
    variables = {**os.environ, "ML_DASH_TOKEN": person.token, "ML_DASH_URL": server.url}
    arguments = [sys.executable, "-m", "ml_dash", "download", "download/kill", "--to", str(copy)]
    for seed in batch:
        child = subprocess.Popen(
            arguments, env=variables, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(random.Random(seed).uniform(0.3, 0.9))
        child.kill()
        child.wait()
        check_whole(copy, folder)
    done = subprocess.run(arguments, env=variables, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    check_same(copy, folder)


def test_a_download_that_cannot_go_on_leaves_no_run(server: Served, tmp_path: Path) -> None:
    """What makes the folder a run comes last."""
    person = server.person()
    folder = record(tmp_path / "here", "download/cut", 10)
    run = upload(folder, server.client(person), "download/cut")

    def cut(report: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        download(run, server.client(person), tmp_path / "copy", cut)
    check_whole(tmp_path / "copy", folder)
    assert not any((tmp_path / "copy/run").glob("*.jsonl"))


def test_a_download_brings_what_came_since(server: Served, tmp_path: Path) -> None:
    """Segments that grew, and nothing else; the copy of a run is a run that `sync` knows."""
    person = server.person()
    client = server.client(person)
    prefix = f"download/{person.name}"
    folder = record(tmp_path, prefix, 10)
    run = upload(folder, client, prefix)
    download(run, client, tmp_path / "copy")
    with Experiment(prefix, dash_root=tmp_path, **QUIET).run as experiment:
        experiment.track("new").append({"x": 1})
    upload(folder, client, prefix)
    report = download(run, client, tmp_path / "copy")
    assert report.segments == 2 and report.files == 0, "its rows and those of its session"
    check_same(tmp_path / "copy", folder)
    back = replicate(tmp_path / "copy", client, prefix)
    assert back.ok and back.bytes == 0


def test_a_folder_with_another_history_is_left_alone(server: Served, tmp_path: Path) -> None:
    """A download never overwrites what it cannot have written."""
    person = server.person()
    folder = record(tmp_path / "here", "download/other", 7)
    run = upload(folder, server.client(person), "download/other")
    name = next(path for path in segments_in(folder) if path.startswith("tracks/"))
    mine = tmp_path / "copy" / name
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b'{"mine": 1}\n')
    with pytest.raises(DownloadError, match="another history"):
        download(run, server.client(person), tmp_path / "copy")
    assert mine.read_bytes() == b'{"mine": 1}\n'


def test_a_run_may_be_downloaded_while_it_is_written(server: Served, tmp_path: Path) -> None:
    """Each time what is there then; at the end, all of it."""
    person = server.person()
    client = server.client(person)
    with Experiment("download/live", dash_root=tmp_path, **QUIET).run as experiment:
        for step in range(5):
            experiment.track("t").append({"step": step})
            experiment.flush()
            report = replicate(tmp_path / "download/live", client, back_off=BackOff(0.01))
            assert report.ok
            about = {"prefix": "download/live", "id": "", "create": False}
            run = str(client.json("POST", "/runs", json=about)["run"]["id"])
            download(run, client, tmp_path / "copy")
            assert segments_in(tmp_path / "copy") == segments_in(tmp_path / "download/live")
    upload(tmp_path / "download/live", client, "download/live")
    download(run, client, tmp_path / "copy")
    check_same(tmp_path / "copy", tmp_path / "download/live")


def test_a_downloaded_run_has_the_views_that_its_end_has_made(
    server: Served, tmp_path: Path
) -> None:
    """`run.json` and `params.json`, which scripts read, with the same in them."""
    person = server.person()
    folder, client = record(tmp_path, "views/one", 5), server.client(person)
    download(upload(folder, client, "views/one"), client, tmp_path / "copy")
    for name in ("run.json", "params.json"):
        assert (tmp_path / "copy" / name).read_bytes() == (folder / name).read_bytes()
