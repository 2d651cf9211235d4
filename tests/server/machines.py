"""The machines beneath a server, started for tests: PostgreSQL, an S3 server, and free ports."""

from __future__ import annotations

import fcntl
import http.client
import os
import pwd
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

PORTS = range(20_000, 30_000)
"""Below those that the system hands out by itself, so that none of ours is taken by a client."""

_PATIENCE = 60.0
_MOTO = """
import sys
from moto.server import ThreadedMotoServer
server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
server.start()
print(server.get_host_and_port()[1], flush=True)
sys.stdin.read()
"""

_held: list[IO[bytes]] = []


def reserve_port() -> int:
    """A port that nobody listens on, and that no other test process is given while this one lives.

    It stays ours between the end of a server and its next start, too: a lock on a file says so.
    """
    folder = Path(tempfile.gettempdir(), "ml-dash-test-ports")
    folder.mkdir(mode=0o777, exist_ok=True)
    for port in random.SystemRandom().sample(PORTS, 200):
        file = (folder / str(port)).open("wb")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            file.close()
            continue
        _held.append(file)
        return port
    raise RuntimeError("no port is free")


def mortal(arguments: list[str]) -> list[str]:
    """A command that ends with this process, however that ends, where the system can do that."""
    found = shutil.which("setpriv")
    return [found, "--pdeathsig", "KILL", *arguments] if found else arguments


class Postgres:
    """A PostgreSQL of its own, in a folder of its own, reached by a socket in that folder.

    Args:
        durable: whether the disk confirms what is committed, as benchmarks need it.

    Attributes:
        folder: what it lies in.
        log: what it says.
    """

    def __init__(self, *, durable: bool = False) -> None:
        self._durable = durable
        self._programs = _find_programs()
        # Not below the folder of the tests: a socket's path is short, and root's is closed to it.
        self.folder = Path(tempfile.mkdtemp(prefix="dash-pg-"))
        self.log = self.folder / "log"
        self._data = self.folder / "data"
        self._as: dict[str, Any] = {}
        if os.geteuid() == 0:  # it refuses to run as root
            user = _plain_user()
            os.chown(self.folder, user.pw_uid, user.pw_gid)
            self._as = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        self._count = 0
        arguments = ["--no-sync", "--auth=trust", "--username=dash", "--encoding=UTF8"]
        made = self._run("initdb", "--pgdata", str(self._data), "--locale=C", *arguments)
        if made.returncode:
            raise RuntimeError(f"initdb failed: {made.stdout.decode()}")

    def start(self) -> None:
        """Start it, also after a kill, and wait until it answers."""
        options = {
            "listen_addresses": "",
            "unix_socket_directories": str(self.folder),
            # Off: what a killed process has written is with the system, and the power stays on
            "fsync": "on" if self._durable else "off",
            "max_connections": "200",
            "shared_buffers": "32MB",
        }
        arguments = [text for key, value in options.items() for text in ("-c", f"{key}={value}")]
        end = time.monotonic() + _PATIENCE
        while True:
            if self._process is None or self._process.poll() is not None:
                # Once more: the children of one that was killed need a moment to notice.
                self._process = self._popen("postgres", "-D", str(self._data), *arguments)
            ready = self._run("pg_isready", "-q", "-h", str(self.folder), "-U", "dash")
            if ready.returncode == 0:
                return
            if time.monotonic() > end:
                raise RuntimeError(f"PostgreSQL does not start: {self.log.read_text()[-3000:]}")
            time.sleep(0.02)

    def kill(self) -> None:
        """As `kill -9` of the postmaster does."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def new_database(self) -> str:
        """The SQLAlchemy URL of a new and empty database."""
        self._count += 1
        name = f"dash{self._count}"
        made = self._run("createdb", "-h", str(self.folder), "-U", "dash", "-T", "template0", name)
        if made.returncode:
            raise RuntimeError(f"createdb failed: {made.stdout.decode()}")
        return f"postgresql+psycopg://dash@/{name}?host={self.folder}"

    def close(self) -> None:
        """End it, and remove its folder."""
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [self._programs / program, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd=self.folder,
            timeout=_PATIENCE,
            check=False,
            **self._as,
        )

    def _popen(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            return subprocess.Popen(
                mortal([str(self._programs / program), *arguments]),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                **self._as,
            )


class Bucket:
    """An S3 server with one bucket, in a process that ends with this one.

    Attributes:
        endpoint: its address.
        environment: the variables with which it is reached.
    """

    def __init__(self) -> None:
        self.environment = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        self._process = subprocess.Popen(
            [sys.executable, "-c", _MOTO],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None and self._process.stderr is not None
        port = self._process.stdout.readline().strip()
        if not port:
            said = self._process.stderr.read().decode()
            raise RuntimeError(f'no S3 server: pip install "moto[s3,server]": {said[-2000:]}')
        self._process.stderr.close()
        self.endpoint = f"http://127.0.0.1:{int(port)}"
        self._count = 0
        link = http.client.HTTPConnection("127.0.0.1", int(port), timeout=_PATIENCE)
        link.request("PUT", "/dash")
        assert link.getresponse().status == 200
        link.close()

    def new_store(self) -> str:
        """The URL of a place in the bucket that nobody else uses."""
        self._count += 1
        return f"s3://dash/at/{self._count}"

    def close(self) -> None:
        """End it."""
        self._process.kill()
        self._process.communicate()


def _find_programs() -> Path:
    found = sorted(
        Path("/usr/lib/postgresql").glob("*/bin/initdb"),
        key=lambda path: [int(part) for part in path.parts[4].split(".") if part.isdecimal()],
    )
    if found:
        return found[-1].parent
    if somewhere := shutil.which("initdb"):
        return Path(somewhere).resolve().parent
    raise RuntimeError("these tests need PostgreSQL: apt-get install postgresql")


def _plain_user() -> pwd.struct_passwd:
    with suppress(KeyError):
        return pwd.getpwnam("postgres")
    return pwd.getpwnam("nobody")
