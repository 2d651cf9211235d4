"""What a server is started with: options of the command line over variables of the environment."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Self

from ml_dash.wire import REQUEST_LIMIT

PREFIX = "ML_DASH_SERVER_"
_PARSERS: dict[str, Callable[[str], Any]] = {"str": str, "int": int, "float": float}


@dataclass(frozen=True, slots=True)
class ServerSettings:
    """The settings of one server process.

    Each can be given as a variable, such as `ML_DASH_SERVER_DATABASE`.

    Attributes:
        folder: what the defaults of `database` and `store` lie in.
        database: an SQLAlchemy URL; by default SQLite in the folder.
        store: `s3://bucket/prefix`, `file:///path`, `memory://`; by default a folder.
        endpoint: of the S3 server, where it is not Amazon's.
        region: of the bucket.
        host: the address to listen on.
        port: likewise.
        url: how users reach the server, where a proxy stands before it; cookies are marked secure
            when it begins with https.
        trusted_proxies: addresses, with commas, whose `X-Forwarded-For` and `-Proto` are believed.
        access_seconds: how long an access token lives.
        refresh_seconds: how long a refresh token lives, from its last exchange.
        session_seconds: how long a browser stays logged in.
        device_seconds: how long a device waits for its user.
        request_limit: bytes of a decoded request.
        body_memory: bytes of bodies that are held at once; beyond, requests are answered with 503.
        concurrency: requests that are worked on at once; the others are answered with 503, and
            one caller's beyond the half of them with 429.
        compact_chunks: chunks of a segment beyond which they are put together.
        grace_seconds: how long objects that nothing needs are kept for those who still read them.
    """

    folder: str = "ml-dash-server"
    database: str = ""
    store: str = ""
    endpoint: str = ""
    region: str = ""
    host: str = "127.0.0.1"
    port: int = 3000
    url: str = ""
    trusted_proxies: str = "127.0.0.1"
    access_seconds: float = 3600.0
    refresh_seconds: float = 30 * 86400.0
    session_seconds: float = 7 * 86400.0
    device_seconds: float = 900.0
    request_limit: int = REQUEST_LIMIT
    body_memory: int = 128 << 20
    concurrency: int = 200
    compact_chunks: int = 64
    grace_seconds: float = 3600.0

    @classmethod
    def load(
        cls, given: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
    ) -> Self:
        """Settle every setting.

        Args:
            given: options; those that are `None` count as not given.
            environ: the environment, `os.environ` by default.

        Raises:
            ValueError: a variable has no such value.
        """
        environ = os.environ if environ is None else environ
        values: dict[str, Any] = {}
        for field in fields(cls):
            name = PREFIX + field.name.upper()
            if text := environ.get(name):
                try:
                    values[field.name] = _PARSERS[str(field.type)](text)
                except ValueError:
                    raise ValueError(f"{name} is {text!r}; it must be a number") from None
        values |= {name: value for name, value in (given or {}).items() if value is not None}
        return cls(**values).settled()

    @property
    def is_local(self) -> bool:
        """Whether the database is the file in the folder."""
        return self.database == _own_database(Path(self.folder))

    def settled(self) -> Self:
        """With the defaults that lie in the folder.

        Raises:
            ValueError: there is no such port.
        """
        if not 0 <= self.port < 65536:
            raise ValueError(f"the port is {self.port}; it must be 0 (any free one) to 65535")
        folder = Path(self.folder).absolute()
        return replace(
            self,
            folder=str(folder),
            database=self.database or _own_database(folder),
            store=self.store or (folder / "objects").as_uri(),
        )


def _own_database(folder: Path) -> str:
    return f"sqlite:///{folder / 'server.sqlite'}"
