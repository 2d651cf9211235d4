"""Serves the pages over a folder until Ctrl-C."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn

from ml_dash.server.folder.app import FolderApp

HOST = "127.0.0.1"
"""Nobody but this machine reaches it."""


def serve_folder(
    root: Path, port: int, ready: Callable[[str], None], *, edit: bool = False
) -> None:
    """Serve the pages over a folder.

    Args:
        root: the folder of runs.
        port: to listen on; 0 for any that is free.
        ready: told the address to open, once it is answered.
        edit: whether runs may be tagged and deleted.

    Raises:
        OSError: the port is taken.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((HOST, port))
        listening.listen(128)
        port = listening.getsockname()[1]
        made = FolderApp(root, port, edit=edit)
        config = uvicorn.Config(
            made.app,
            log_level="warning",
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
        ready(f"http://{HOST}:{port}{made.path}")
        uvicorn.Server(config).run(sockets=[listening])
    finally:
        listening.close()
