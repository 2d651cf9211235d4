"""The pages over a folder of runs, for the person at this machine alone."""

from __future__ import annotations

import hmac
import secrets as random
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from sqlalchemy import select
from sqlalchemy.orm import Session
from starlette.middleware.trustedhost import TrustedHostMiddleware

from ml_dash.server.accounts import cookies
from ml_dash.server.accounts.identity import SCOPES
from ml_dash.server.accounts.rendering import go
from ml_dash.server.accounts.secrets import issue
from ml_dash.server.accounts.users import create_user
from ml_dash.server.app import create_app
from ml_dash.server.folder.changes import router
from ml_dash.server.folder.store import FolderStore
from ml_dash.server.folder.watch import Watch
from ml_dash.server.problems import Problem
from ml_dash.server.settings import ServerSettings
from ml_dash.server.tables import Namespace, Table

USER = "local"
"""Who looks at a folder, and the namespace that its runs are shown in."""


class FolderApp:
    """The application over one folder, its token, and what it keeps while it runs.

    Args:
        root: the folder of runs.
        port: that it will listen on, at the loopback address alone.
        edit: whether runs may be tagged and deleted.

    Attributes:
        app: to be served.
        path: with the token, what the user opens first.
    """

    def __init__(self, root: Path, port: int, *, edit: bool = False) -> None:
        self._scratch = Path(tempfile.mkdtemp(prefix="ml-dash-ui-"))
        self._token = random.token_urlsafe(32)
        self._scopes = list(SCOPES) if edit else ["read"]
        settings = ServerSettings(folder=str(self._scratch), store="memory://", port=port).settled()
        self.app: FastAPI = create_app(settings, first=[router], lifespan=self._life)
        self.path = f"/open?token={self._token}"
        state = self.app.state
        data, objects = state.database, FolderStore()
        Table.metadata.create_all(data.engine)
        user = data.transaction(lambda session: create_user(session, USER, None))
        self._user_id = user.id
        with data.reading() as session:
            namespace_id = session.scalars(select(Namespace.id)).one()
        state.store, state.folder = objects, str(root)
        self.watch = Watch(root, data, objects, namespace_id)
        state.prepare, state.watch, state.opened = self.watch.prepare, self.watch, self._open
        # A page elsewhere may make the browser ask this port by another name
        self.app.add_middleware(
            TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "[::1]"]
        )

    def close(self) -> None:
        """Let go of everything."""
        self.watch.stop()
        self.app.state.database.close()
        shutil.rmtree(self._scratch, ignore_errors=True)

    @asynccontextmanager
    async def _life(self, app: FastAPI) -> AsyncIterator[None]:
        self.watch.start()
        try:
            yield
        finally:
            self.close()

    def _open(self, request: Request, token: str) -> Response:
        """Log in whoever has the token, which is in the address that the user was given."""
        if not hmac.compare_digest(token.encode("utf-8", "replace"), self._token.encode()):
            raise Problem(401, "this address is not, or no longer, that of `ml-dash ui`")

        def work(session: Session) -> Any:
            return issue(session, self._user_id, "session", self._scopes, now=time.time())[1]

        answer = go(request, "/")
        state = request.app.state
        seconds = state.settings.session_seconds
        cookies.keep_session(request, answer, state.database.transaction(work), seconds)
        return answer
