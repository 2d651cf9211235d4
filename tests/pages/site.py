"""Folders shown by a small server under a strict policy, for pages that need no more."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

STATIC = Path(__file__).parents[2] / "ml_dash" / "server" / "pages" / "static"
HARNESS = Path(__file__).parent / "harness"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'"
)
_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
}


class Site:
    """Answers with files.

    Args:
        folders: by the first part of their address.

    Attributes:
        url: its address.
    """

    def __init__(self, **folders: Path) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                _, first, name = [*self.path.partition("?")[0].split("/", 2), ""][:3]
                path = folders.get(first, Path("/nowhere")) / name
                found = path.is_file()
                self.send_response(200 if found else 404)
                self.send_header("Content-Security-Policy", POLICY)
                self.send_header("Content-Type", _TYPES.get(path.suffix, "text/plain"))
                self.end_headers()
                self.wfile.write(path.read_bytes() if found else b"")

            def log_message(self, format: str, *arguments: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
