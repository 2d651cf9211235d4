"""A client of a server as the user that is logged in there."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

from ml_dash.auth.kept import kept_server
from ml_dash.auth.store import TokenStore
from ml_dash.auth.tokens import Credentials
from ml_dash.remote.address import server_url
from ml_dash.remote.client import RemoteClient
from ml_dash.settings import load, place_of


def signed_in(url: str) -> RemoteClient:
    """A client of the server at `url`, with the token that is kept for it. Asks nothing yet.

    Raises:
        ValueError: it is not the address of a server.
    """
    return RemoteClient(url, Credentials(url))


def server_for(given: str | None = None) -> str:
    """The server that is meant: the one given, else `ML_DASH_URL`, else the one that is kept.

    Raises:
        ValueError: there is none, or it is no address.
    """
    url = given or load().url  # the kept one is a line of the configuration file
    if not url:
        raise ValueError(
            "no server is known: give its address, once to `ml-dash login URL`, or set ML_DASH_URL"
        )
    try:
        return server_url(url)
    except ValueError as error:
        if given:
            raise
        raise ValueError(f"{place_of('url')}: {error}") from None


def split_address(text: str) -> tuple[str, str]:
    """The server and the run's prefix in the address of a run, `https://server/…/name`.

    A server may stand below a path: one that is known, by login or settings, is looked for first.

    Raises:
        ValueError: it is no address, or has no run in it.
    """
    parts = urlsplit(text.strip())
    whole = server_url(parts._replace(query="", fragment="").geturl())
    known = [kept_server(), load().url, *TokenStore().servers()]
    bases = sorted({server_url(url) for url in known if url}, key=len, reverse=True)
    base = next((base for base in bases if f"{whole}/".startswith(f"{base}/")), "")
    base = base or server_url(f"{parts.scheme}://{parts.netloc}")
    prefix = unquote(whole.removeprefix(base).strip("/"))
    if not prefix:
        raise ValueError(
            f"{text!r} names a server and no run; add the run's prefix, such as"
            f" {base}/namespace/project/name"
        )
    return base, prefix
