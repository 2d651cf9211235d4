"""The application: settings, database, store and routes put together; it alone knows them all."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager

from fastapi import APIRouter, FastAPI

from ml_dash.server import document, problems
from ml_dash.server.database import Database
from ml_dash.server.headers import SecurityHeaders
from ml_dash.server.health import Probe
from ml_dash.server.limits import Gate
from ml_dash.server.settings import ServerSettings
from ml_dash.server.store import ObjectStore
from ml_dash.server.sweeping import Sweeper
from ml_dash.version import __version__
from ml_dash.wire import API

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def sweeping(app: FastAPI) -> AsyncIterator[None]:
    """Chunks are put together, and garbage is removed, while the application runs."""
    state = app.state
    sweeper = Sweeper(state.database, state.store, state.settings, lambda: float(state.now()))
    sweeper.start()
    try:
        yield
    finally:
        sweeper.stop()


def create_app(
    settings: ServerSettings, *, first: Sequence[APIRouter] = (), lifespan: Lifespan = sweeping
) -> FastAPI:
    """Make the application. Opens the database, and changes nothing in it.

    Args:
        settings: see `ServerSettings`.
        first: routes that go before those of every server.
        lifespan: begins and ends what runs beside the requests.
    """
    app = FastAPI(
        title="ML-Dash",
        version=__version__,
        description="Runs of training and robotics: what was recorded, and who may see it.",
        openapi_url=f"{API}/openapi.json",
        docs_url=None,  # the pages of FastAPI load scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.now = time.time  # tests put another clock here
    app.state.database = Database(settings.database)
    app.state.store = ObjectStore(
        settings.store, endpoint=settings.endpoint, region=settings.region
    )
    app.state.stopping = False  # once it is true, what has no end of its own ends
    app.state.probes = [
        Probe("database", app.state.database.ping),
        Probe("store", app.state.store.ping),
    ]
    problems.install(app)
    document.install(app)
    app.add_middleware(Gate)
    app.add_middleware(SecurityHeaders)  # around the gate: its answers get them, too
    for router in (*first, *_routers()):
        app.include_router(router)
    return app


def _routers() -> list[APIRouter]:
    from ml_dash.server import health
    from ml_dash.server.accounts import account_pages, device, pages, tokens
    from ml_dash.server.accounts import routes as accounts
    from ml_dash.server.blobs import routes as blobs
    from ml_dash.server.pages import routes as web
    from ml_dash.server.projects import routes as projects
    from ml_dash.server.runs import restore_routes as restoring
    from ml_dash.server.runs import routes as runs
    from ml_dash.server.segments import routes as segments
    from ml_dash.server.streams import live
    from ml_dash.server.streams import routes as streams

    accounts_routers = [
        accounts.router,
        tokens.router,
        device.router,
        pages.router,
        account_pages.router,
    ]
    return [
        *accounts_routers,
        health.router,
        blobs.router,
        projects.router,
        runs.router,
        restoring.router,
        segments.router,
        streams.router,
        live.router,
        web.router,
    ]
