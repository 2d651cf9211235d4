"""How a request came: from which address, over TLS or not, and to which address of the server.

Behind a proxy the connection tells the proxy's address; what it says of the client in
`X-Forwarded-For` and `X-Forwarded-Proto` is believed from trusted proxies alone, for everybody
can send these headers.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from fastapi import Request

Networks = tuple[IPv4Network | IPv6Network, ...]


def client_address(request: Request) -> str:
    """The address of the client; an IPv6 one as its network of 64 bits, which one client owns.

    With several proxies, the last address that is not one of a trusted proxy.
    """
    trusted = _trusted(request)
    address = request.client.host if request.client else ""
    if _is_in(address, trusted):
        for entry in reversed(request.headers.get("x-forwarded-for", "").split(",")):
            candidate = entry.strip()
            if not _is_address(candidate):
                break
            address = candidate
            if not _is_in(candidate, trusted):
                break
    return _network(address)


def is_secure(request: Request) -> bool:
    """Whether the browser speaks TLS, with us or with the proxy."""
    if str(request.app.state.settings.url).startswith("https:"):
        return True
    if request.url.scheme == "https":
        return True
    peer = request.client.host if request.client else ""
    said = request.headers.get("x-forwarded-proto", "").strip().lower()
    return said == "https" and _is_in(peer, _trusted(request))


def base_url(request: Request) -> str:
    """How users reach the server, without a slash at the end."""
    if url := str(request.app.state.settings.url):
        return url.rstrip("/")
    return f"{'https' if is_secure(request) else 'http'}://{request.url.netloc}"


def _trusted(request: Request) -> Networks:
    return _parse(str(request.app.state.settings.trusted_proxies))


@lru_cache(maxsize=8)
def _parse(text: str) -> Networks:
    return tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


def _is_in(address: str, networks: Networks) -> bool:
    if not _is_address(address):
        return False
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
        parsed = parsed.ipv4_mapped
    return any(parsed in network for network in networks)


def _network(address: str) -> str:
    if not _is_address(address):
        return address[:64]
    parsed = ip_address(address)
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ip_network((int(parsed), 64), strict=False))
    return str(parsed)
