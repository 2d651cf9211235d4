"""A server inside the test's own process, with users who hold tokens."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from fastapi.testclient import TestClient
from sqlalchemy.orm import Session

from ml_dash import wire
from ml_dash.server.accounts.passwords import hash_password
from ml_dash.server.accounts.secrets import issue
from ml_dash.server.accounts.users import create_user
from ml_dash.server.app import create_app
from ml_dash.server.settings import ServerSettings
from ml_dash.server.tables import Table, User

PASSWORD = "correct horse battery"


@cache
def hashed() -> str:
    """The hash of `PASSWORD`, made once: a good hash takes its time."""
    return hash_password(PASSWORD)


def make_user(session: Session, name: str, now: float, admin: bool = False) -> User:
    """A user whose password is `PASSWORD`."""
    user = create_user(session, name, None, admin, now=now)
    user.password = hashed()
    session.flush()
    return user


class Inside:
    """An application over SQLite and a folder; time stands still unless a test moves `now`."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.settings = ServerSettings(folder=str(folder), **settings).settled()
        self.app = create_app(self.settings)
        self.data = self.app.state.database
        self.objects = self.app.state.store
        self.now = 1_800_000_000.0
        self.app.state.now = lambda: self.now
        Table.metadata.create_all(self.data.engine)

    def user(self, name: str, scopes: tuple[str, ...] = ("read", "write", "admin")) -> TestClient:
        """A new user's client."""
        user = self.data.transaction(lambda s: make_user(s, name, self.now))
        return self.client(user.id, scopes)

    def client(self, user_id: str, scopes: tuple[str, ...]) -> TestClient:
        """Another client of a user."""
        _, text = self.data.transaction(lambda s: issue(s, user_id, "access", scopes, now=self.now))
        return TestClient(self.app, headers={"Authorization": f"Bearer {text}"})

    def close(self) -> None:
        """Let go of the database."""
        self.data.close()


def make_run(client: TestClient, prefix: str = "demo/a") -> str:
    """The id of a run."""
    answer = client.post("/api/v1/runs", json={"prefix": prefix, "id": "1"})
    assert answer.status_code in (200, 201), answer.text
    return str(answer.json()["run"]["id"])


def send(client: TestClient, run: str, *pieces: tuple[str, int, bytes, bytes]) -> list[dict]:
    """Append pieces: segment, offset, the bytes before it, the bytes."""
    header = {
        "pieces": [
            {"segment": path, "offset": at, "tail": wire.tail_crc(before), "size": len(text)}
            for path, at, before, text in pieces
        ]
    }
    body = wire.pack(header, [text for *_, text in pieces])
    answer = client.post(f"/api/v1/runs/{run}/append", content=body)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["pieces"])
