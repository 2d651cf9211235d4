"""Who one is to a server: logging in, the tokens that are kept, and renewing them in time."""

from __future__ import annotations

from ml_dash.auth.kept import forget_server, keep_server, kept_server

__all__ = ["forget_server", "keep_server", "kept_server"]
