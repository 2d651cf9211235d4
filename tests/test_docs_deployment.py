"""What the page on the server says of proxies, backups and upgrades is done here, for real."""

from __future__ import annotations

import os
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests
from cli_process import experiment
from documents import ROOT, blocks_of
from front import HOST, Front
from server.serving import Machines, Person, Served, Token

from ml_dash import Experiment
from ml_dash.remote import RemoteClient, UnauthorizedError
from ml_dash.server.settings import ServerSettings
from ml_dash.sync.replicate import replicate
from ml_dash.sync.server import server_at
from ml_dash.sync.verify import differences

PAGE = "docs/server.md"

# `aws s3 sync FROM TO`, as far as the page needs it, against the server of the tests.
AWS = """
import os, sys
import boto3

words, source, target = sys.argv[1:3], sys.argv[3], sys.argv[4]
assert words == ["s3", "sync"], words
s3 = boto3.client("s3", endpoint_url=os.environ["AWS_ENDPOINT_URL"], region_name="us-east-1")
bucket, _, prefix = source.removeprefix("s3://").partition("/")
other, _, place = target.removeprefix("s3://").partition("/")
for page in s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix + "/"):
    for found in page.get("Contents", []):
        key = place + found["Key"].removeprefix(prefix)
        s3.copy({"Bucket": bucket, "Key": found["Key"]}, other, key)
"""


class Shell:
    """Runs lines of the page, with other places for those that it names.

    Args:
        folder: for programs that stand in for what is not installed.
        places: what is put in the place of what.
        variables: of the environment.
    """

    def __init__(self, folder: Path, places: dict[str, str], **variables: str) -> None:
        self._places = places
        programs = folder / "programs"
        programs.mkdir()
        (programs / "aws").write_text(f"#!{sys.executable}\n{AWS}")
        (programs / "aws").chmod(0o755)
        path = os.pathsep.join([str(programs), os.environ["PATH"]])
        self._environment = {**os.environ, **variables, "PATH": path, "HOME": str(folder)}

    def run(self, code: str) -> str:
        """Run a block as it stands; what it printed."""
        for named, real in self._places.items():
            code = code.replace(named, real)
        done = subprocess.run(
            ["bash", "-euc", code],
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}{done.stderr}"
        return done.stdout


def block(*words: str) -> str:
    """The one block of shell of the page that has all the words."""
    (found,) = (b.code for b in blocks_of(PAGE) if all(word in b.code for word in words))
    return found


def record(root: Path, name: str) -> Path:
    """A finished run with rows and a file."""
    with experiment(f"robotics/{name}", root).run as run:
        for step in range(500):
            run.track("joints").append({"step": step, "q": step / 7})
        run.files("models").save_blob(os.urandom(100_000), to="model.bin")
    return root / "robotics" / name


class Lab:
    """A server, a user, and two runs: one from before the backup, one from after it."""

    def __init__(self, served: Served, root: Path) -> None:
        self.served, self.root = served, root
        served.start()
        self.person: Person = served.person("anna")
        self.before = record(root, "before")
        self.send(self.before)

    def send(self, run: Path) -> None:
        """Bring a run to the server."""
        report = replicate(run, self.served.client(self.person))
        assert report.ok, str(report)

    def lacks(self, run: Path) -> list[str]:
        """What the server has not of a run."""
        return differences(run, self.served.client(self.person))

    def go_on(self) -> Path:
        """Record and send another run."""
        after = record(self.root, "after")
        self.send(after)
        return after

    def check(self, after: Path) -> None:
        """All of the time of the backup is there; what came later comes by another sync."""
        self.served.start()
        assert self.lacks(self.before) == []
        found = self.served.client(self.person).json("GET", "/runs")["runs"]
        assert [run["name"] for run in found] == ["before"]
        self.send(after)
        assert self.lacks(after) == []


def test_a_backup_of_sqlite_and_a_folder_is_a_server_again(tmp_path: Path) -> None:
    """Made while the server runs; the disk is lost; the page's commands bring it back."""
    folder, backup = tmp_path / "srv", tmp_path / "backup"
    backup.mkdir()
    shell = Shell(tmp_path, {"/srv/ml-dash": str(folder), "/backup": str(backup)})
    lab = Lab(Served(ServerSettings(folder=str(folder)).settled()), tmp_path / "runs")
    try:
        shell.run(block("sqlite3", ".backup"))
        after = lab.go_on()
        lab.served.kill()
        shutil.rmtree(folder)
        shell.run(block("cp", "server.sqlite-wal"))
        lab.check(after)
    finally:
        lab.served.kill()


def test_a_backup_of_postgresql_and_s3_is_a_server_again(tmp_path: Path) -> None:
    """Database and bucket are lost; dump and copy make a server that has all of that time."""
    machines = Machines()
    try:
        settings = machines.settings("postgres-s3", tmp_path / "srv")
        url = settings.database.replace("postgresql+psycopg://", "postgresql://")
        places = {
            "s3://ml-dash/prod": settings.store,
            "s3://ml-dash-backup/prod": "s3://dash/backup",
            "/backup": str(tmp_path),
        }
        kept = {**machines.bucket.environment, "AWS_ENDPOINT_URL": machines.bucket.endpoint}
        shell = Shell(tmp_path, places, PGURL=url, **kept)
        lab = Lab(Served(settings), tmp_path / "runs")
        shell.run(block("pg_dump", "aws"))
        after = lab.go_on()
        lab.served.kill()
        # Another database and another place in the bucket: both are empty
        lab.served.settings = replace(
            settings, database=machines.postgres.new_database(), store=machines.bucket.new_store()
        )
        empty = lab.served.settings.database.replace("postgresql+psycopg://", "postgresql://")
        places["s3://ml-dash/prod"] = lab.served.settings.store
        (tmp_path / "later").mkdir()
        Shell(tmp_path / "later", places, PGURL=empty, **kept).run(block("pg_restore", "aws"))
        lab.check(after)
        lab.served.kill()
    finally:
        machines.close()


def test_the_database_is_brought_to_the_version_of_the_program(tmp_path: Path) -> None:
    """The upgrade's command makes an empty database one that a server starts over."""
    machines = Machines()
    try:
        settings = machines.settings("postgres-s3", tmp_path / "srv")
        environment = {
            "ML_DASH_SERVER_DATABASE": settings.database,
            "PYTHONPATH": str(ROOT),
        }
        line = f"{sys.executable} -m ml_dash"
        Shell(tmp_path, {"ml-dash": line}, **environment).run("ml-dash server upgrade\n")
        served = Served(settings)
        served.start()
        assert served.person("anna").name == "anna"
        served.kill()
    finally:
        machines.close()


def test_a_team_is_made_and_a_user_disabled_by_the_commands_of_the_page(tmp_path: Path) -> None:
    """Anna is a member of lab, gets a new link, and is out when she is disabled."""
    served = Served(ServerSettings(folder=str(tmp_path / "srv")).settled())
    served.start()
    try:
        keeper, anna = served.person("keeper", admin=True), served.person("anna")
        places = {"https://dash.example.org": served.url}
        shell = Shell(tmp_path, places, ML_DASH_TOKEN=keeper.token)
        shell.run(block("curl", "/api/v1/namespaces/lab/members/anna"))
        roles = {
            one["name"]: one["role"] for one in served.client(anna).json("GET", "/me")["namespaces"]
        }
        assert roles == {"anna": "owner", "lab": "writer"}
        said = shell.run(block("curl", "/users/anna/link"))
        assert "/welcome?token=" in said
        with pytest.raises(UnauthorizedError):
            served.client(anna).json("GET", "/me")
    finally:
        served.kill()


@pytest.fixture(scope="module")
def front(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    """One proxy for the tests of this file."""
    with Front(tmp_path_factory.mktemp("front")).running() as found:
        yield found


def test_runs_reach_two_servers_through_the_proxy_of_the_page(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows and files arrive whole, and both processes have had requests."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(front.certificate))
    person = front.servers[0].person()
    client = RemoteClient(front.url, Token(person.token), timeout=(5.0, 30.0))
    run = record(tmp_path, "behind")
    report = replicate(run, client)
    assert report.ok, str(report)
    assert differences(run, client) == []
    assert all("/append" in s.said() or "/blobs" in s.said() for s in front.servers)


def test_a_proxy_that_allows_less_than_the_page_says_works_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows, many files at once and large files get through in smaller requests, whole."""
    chance = random.Random(4)
    with experiment("small", tmp_path / "runs").run as recorded:
        for step in range(3000):
            recorded.track("t").append({"step": step, "x": chance.random()})
        for number in range(3):
            recorded.files("f").save_blob(chance.randbytes(150_000), to=f"{number}.bin")
        recorded.files("f").save_blob(chance.randbytes(3 << 20), to="large.bin")
    run = tmp_path / "runs" / "small"
    with Front(tmp_path, limit="100k").running() as front:
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(front.certificate))
        person = front.servers[0].person()
        client = RemoteClient(front.url, Token(person.token), timeout=(5.0, 30.0))
        report = replicate(run, client)
        assert report.ok, str(report)
        assert differences(run, client) == []


def test_a_wrong_certificate_stops_no_run_and_the_right_one_lets_it_through(
    front: Front, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """One warning that names the remedy; with the authority's file the same run is sent."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.setenv("ML_DASH_TOKEN", front.servers[0].person().token)
    options = {"dash_root": tmp_path, "dash_url": front.url, "echo": False, "environment": False}
    with Experiment("arm", **options).run as recorded:
        for step in range(100):
            recorded.track("t").append({"step": step, "x": step})
        recorded.flush(timeout=5.0)
    told = [text for text in (r.getMessage() for r in caplog.records) if "certificate" in text]
    assert len(told) == 1 and "REQUESTS_CA_BUNDLE" in told[0] and "The run goes on" in told[0]
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(front.certificate))
    report = replicate(tmp_path / "arm", server_at(front.url))
    assert report.ok and report.rows > 100, str(report)


def test_the_proxy_tells_the_server_of_tls_and_its_address(front: Front) -> None:
    """Cookies are for TLS, browsers are told to stay with it, and links have the public name."""
    with requests.Session() as session:
        session.trust_env = False
        session.verify = str(front.certificate)
        page = session.get(f"{front.url}/login", timeout=30)
        assert page.status_code == 200
        assert "Strict-Transport-Security" in page.headers
        cookies = page.headers.get("Set-Cookie", "")
        assert not cookies or "Secure" in cookies
        about = session.get(
            f"{front.url}/.well-known/oauth-authorization-server", timeout=30
        ).json()
        assert urlsplit(about["token_endpoint"]).netloc == HOST


def test_the_check_of_readiness_is_the_command_of_the_page(front: Front, tmp_path: Path) -> None:
    """curl asks the proxy, and hears that database and store answer."""
    (tmp_path / ".curlrc").write_text(
        f'connect-to = "{HOST}:443:127.0.0.1:{front.port}"\ncacert = "{front.certificate}"\n'
    )
    said = Shell(tmp_path, {}).run(block("curl", "ready"))
    assert said.startswith("{")
