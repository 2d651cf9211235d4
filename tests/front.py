"""nginx as the page on the server has it, before two servers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import requests
from documents import FENCE, ROOT
from server.machines import reserve_port
from server.serving import Served

from ml_dash.server.settings import ServerSettings

HOST = "dash.example.org"


class Front:
    """nginx with the configuration of the page, before two servers over one folder.

    Args:
        folder: for all of it.
        limit: bytes of a body that it takes, as nginx writes it; by default the page's.

    Attributes:
        url: the proxy's address.
        certificate: what proves it.
        servers: those behind it.
    """

    def __init__(self, folder: Path, limit: str = "64m") -> None:
        self.folder = folder
        self._limit = limit
        self.port = reserve_port()
        self.url = f"https://127.0.0.1:{self.port}"
        self.certificate, self._key = folder / "cert.pem", folder / "cert.key"
        settings = ServerSettings(folder=str(folder / "srv")).settled()
        options = ["--url", f"https://{HOST}"]
        self.servers = [Served(settings, options), Served(settings, options)]

    @contextmanager
    def running(self) -> Iterator[Front]:
        """Start all of it, and end it."""
        self._certify()
        proxy: subprocess.Popen[bytes] | None = None
        try:
            for each in self.servers:
                each.start()
            configuration = self._configure()
            proxy = subprocess.Popen(
                ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(configuration)],
                env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
            )
            self._wait(proxy)
            yield self
        finally:
            if proxy is not None:
                proxy.terminate()
                proxy.wait(30)
            for each in self.servers:
                each.kill()

    def _certify(self) -> None:
        names = f"subjectAltName=DNS:{HOST},IP:127.0.0.1"
        made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        made += ["-nodes", "-days", "2", "-subj", f"/CN={HOST}", "-addext", names]
        made += ["-keyout", str(self._key), "-out", str(self.certificate)]
        subprocess.run(made, check=True, capture_output=True)

    def _configure(self) -> Path:
        page = (ROOT / "docs" / "server.md").read_text()
        (site,) = (code for name, code in FENCE.findall(page) if name == "nginx")
        for named, real in {
            "127.0.0.1:3000": f"127.0.0.1:{self.servers[0].port}",
            "127.0.0.1:3001": f"127.0.0.1:{self.servers[1].port}",
            "listen 443 ssl": f"listen 127.0.0.1:{self.port} ssl",
            "client_max_body_size 64m": f"client_max_body_size {self._limit}",
            f"/etc/ssl/{HOST}.pem": str(self.certificate),
            f"/etc/ssl/{HOST}.key": str(self._key),
        }.items():
            assert named in site, named
            site = site.replace(named, real)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        places = "".join(f"{kind}_temp_path {self.folder}/{kind};\n" for kind in kinds)
        head = f"daemon off;\nmaster_process off;\npid {self.folder}/nginx.pid;\nevents {{}}\n"
        file = self.folder / "nginx.conf"
        file.write_text(f"{head}http {{\naccess_log off;\n{places}{site}}}\n")
        return file

    def _wait(self, proxy: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 30
        while proxy.poll() is None and time.monotonic() < end:
            try:
                requests.get(f"{self.url}/api/v1/health", verify=str(self.certificate), timeout=5)
                return
            except requests.ConnectionError:
                time.sleep(0.05)
        raise AssertionError("nginx does not start")
