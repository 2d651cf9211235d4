"""The address of a server, in one form."""

from __future__ import annotations

import re
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ml_dash.wire import API

_PORTS = {"http": 80, "https": 443}
_BARE = re.compile(r"[a-zA-Z0-9-]+(\.[a-zA-Z0-9-]+)*(:\d+)?(/[\w./-]*)?", re.ASCII)


def server_url(text: str) -> str:
    """The address of a server in one form: no slash at its end, its host in lower case.

    Raises:
        ValueError: it is none; the text says what one looks like.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError:
        raise ValueError(f"{_shown(text)} is not the address of a server") from None
    if parts.scheme not in _PORTS or not parts.hostname:
        raise ValueError(
            f"{_shown(text)} is not the address of a server; it must begin with https:// or"
            f" http://, such as {_likely(text.strip())}"
        )
    if "@" in parts.netloc:
        raise ValueError("the address of a server has a password in it; use `ml-dash login`")
    if parts.query or parts.fragment:
        # Without what follows, which may be a secret.
        kept = parts._replace(query="", fragment="").geturl()
        raise ValueError(f"the address of a server ends before ? or #, such as {kept!r:.200}")
    path = parts.path.rstrip("/").removesuffix(API)
    return urlunsplit(SplitResult(parts.scheme, _host(parts, port), path.rstrip("/"), "", ""))


def origin(url: str) -> str:
    """Scheme, host and port: what a token is never sent outside of; empty for what has none."""
    try:
        parts = urlsplit(url)
        return f"{parts.scheme}://{_host(parts, parts.port)}" if parts.hostname else ""
    except ValueError:
        return ""


def is_local(url: str) -> bool:
    """Whether an address is one of this machine."""
    import ipaddress

    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost" or host.endswith(".localhost")


def _host(parts: SplitResult, port: int | None) -> str:
    host = (parts.hostname or "").lower()
    host = f"[{host}]" if ":" in host else host
    return host if port in (None, _PORTS.get(parts.scheme)) else f"{host}:{port}"


def _likely(text: str) -> str:
    """What was meant, where only the scheme is missing."""
    if not _BARE.fullmatch(text):
        return "https://dash.example"
    return f"http://{text}" if is_local(f"http://{text}") else f"https://{text}"


def _shown(text: str) -> str:
    """An address in a message: without what may be a password."""
    before, at, after = text.rpartition("@")
    return repr(f"…@{after}" if at else before + after)[:200]
