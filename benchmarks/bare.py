"""A server that only reads what it is sent, the floor of ours: `python -m benchmarks.bare`.

It writes its port into the file that it is given. `/read` reads the body of a request, `/kept`
writes it into a file, too, and has the disk confirm it.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request


def make_app(file: Path) -> FastAPI:
    """The application.

    Args:
        file: what `/kept` writes into.
    """
    app = FastAPI()
    kept = file.open("ab", buffering=0)

    @app.get("/read")
    def answer() -> dict[str, int]:
        return {"size": 0}

    @app.post("/read")
    async def read(request: Request) -> dict[str, int]:
        size = 0
        async for part in request.stream():
            size += len(part)
        return {"size": size}

    @app.post("/kept")
    async def keep(request: Request) -> dict[str, int]:
        body = await request.body()
        await asyncio.to_thread(_write, body)
        return {"size": len(body)}

    def _write(body: bytes) -> None:
        kept.write(body)
        os.fsync(kept)

    return app


def main(port_file: Path, kept: Path) -> None:
    """Serve until the process is ended."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=256)
    # As asyncio does for sockets that it makes itself; an answer waits 40 ms otherwise
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    beside = port_file.with_suffix(".new")
    beside.write_text(str(listening.getsockname()[1]), "utf-8")
    beside.replace(port_file)
    config = uvicorn.Config(make_app(kept), log_level="warning")
    uvicorn.Server(config).run(sockets=[listening])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
