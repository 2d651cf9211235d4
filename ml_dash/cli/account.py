"""`ml-dash login`, `logout` and `whoami`: who one is to a server."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Any

from ml_dash.cli.browser import has_screen, open_page
from ml_dash.cli.command import DONE, Command, CommandError, take_json
from ml_dash.cli.quantities import moment
from ml_dash.cli.screen import Screen
from ml_dash.cli.server_argument import WHICH, server_of
from ml_dash.cli.text import printable

if TYPE_CHECKING:
    from ml_dash.auth.device import Grant
    from ml_dash.remote import RemoteClient


def _take_server(parser: ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", nargs="?", help=WHICH)


def _login_arguments(parser: ArgumentParser) -> None:
    _take_server(parser)
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def _login(options: Namespace, screen: Screen) -> int:
    from ml_dash.auth import device, keep_server
    from ml_dash.auth.oauth import LoginError, revoke
    from ml_dash.auth.store import TokenStore
    from ml_dash.remote.address import is_local
    from ml_dash.remote.transport import Transport

    url = server_of(options.url)
    if url.startswith("http://") and not is_local(url):
        screen.say(f"{url} is without TLS: whoever sees the traffic sees the token")
    transport = Transport(url)
    try:
        grant = device.begin(transport, name=_here())
        _ask_user(grant, screen, browser=not options.no_browser)
        tokens = device.wait(transport, grant)
    except LoginError as error:
        raise CommandError(str(error)) from None
    store = TokenStore()
    before = store.load(url)
    try:
        place = store.save(url, tokens)
    except OSError as error:
        revoke(transport, tokens)
        raise CommandError(f"the login cannot be kept: {error}") from None
    if before is not None:
        revoke(transport, before)
    screen.line(printable(f"logged in to {url}{_as_whom(url, tokens.access)}"))
    try:
        config = keep_server(url)
    except (OSError, ValueError) as error:
        raise CommandError(
            f"the token is in {place}, but {url} is not kept as the server for runs: {error}"
        ) from None
    screen.say(f"the token is in {place}; {url} is kept in {config} as the server for runs")
    _tell_variables(url, screen)
    return DONE


def _ask_user(grant: Grant, screen: Screen, *, browser: bool) -> None:
    """Show where to type what, and open a browser there if there is one."""
    screen.line(printable(f"open   {grant.page}"))
    screen.line(printable(f"enter  {grant.user_code}"))
    screen.flush()
    if browser and _is_attended() and open_page(grant.page_with_code or grant.page):
        screen.say("a browser was opened there; compare the code before you agree")
    minutes = max(1, round(grant.expires_in / 60))
    screen.say(f"waiting for up to {minutes} min; Ctrl-C ends it and changes nothing")
    screen.flush()


def _is_attended() -> bool:
    """Whether somebody sits here, before a screen."""
    if os.environ.get("CI") or not sys.stderr or not sys.stderr.isatty():
        return False
    return has_screen()


def _tell_variables(url: str, screen: Screen) -> None:
    """Say what in the environment goes before the login."""
    from ml_dash.remote import server_url
    from ml_dash.settings import load, token

    try:
        found = load()
    except ValueError as error:  # the login stands all the same
        screen.say(str(error))
        return
    if token():
        screen.say("ML_DASH_TOKEN is set and goes before this login")
    if found.url and server_url(found.url) != url:
        screen.say(f"ML_DASH_URL is set, so runs go to {found.url}")


def _logout(options: Namespace, screen: Screen) -> int:
    from ml_dash.auth import forget_server, kept_server
    from ml_dash.auth.oauth import revoke
    from ml_dash.auth.store import TokenStore
    from ml_dash.remote.transport import Transport

    url = server_of(options.url)
    store = TokenStore()
    tokens = store.load(url)
    known = url in store.servers()
    revoked = tokens is not None and revoke(Transport(url), tokens)
    try:
        store.delete(url)
        if kept_server() == url:
            forget_server()
    except (OSError, ValueError) as error:
        raise CommandError(f"the login cannot be removed: {error}") from None
    screen.line(f"logged out of {url}" if known else f"nobody was logged in to {url}")
    if tokens is not None and not revoked:
        screen.say("the server could not be told: end the login there, on the page of your account")
    return DONE


def _whoami(options: Namespace, screen: Screen) -> int:
    from ml_dash.auth.signed_in import signed_in

    url = server_of(options.url)
    found = _me(signed_in(url))
    if options.json:
        from ml_dash.cli.json_text import json_text

        screen.line(json_text({"url": url, **found}, indent=2))
        return DONE
    admin = ", who looks after it" if found["user"].get("admin") else ""
    screen.line(printable(f"{found['user']['name']} on {url}{admin}"))
    for space in found.get("namespaces") or ():
        screen.line(printable(f"  {space.get('name')}  {space.get('role')}"))
    token = found.get("token") or {}
    ends = token.get("expires")
    until = f", until {moment(float(ends))}" if ends is not None else ""
    scopes = " ".join(map(str, token.get("scopes") or ()))
    screen.line(printable(f"  token: {token.get('kind')}, for {scopes}{until}"))
    return DONE


def _me(client: RemoteClient) -> dict[str, Any]:
    from ml_dash.remote.failures import garbled

    found = client.json("GET", "/me")
    user = found.get("user") if isinstance(found, dict) else None
    if not isinstance(user, dict) or "name" not in user:
        raise garbled(client.url, "does not say who you are")
    return dict(found)


def _as_whom(url: str, token: str) -> str:
    from ml_dash.auth.tokens import Credentials
    from ml_dash.remote import RemoteClient, RemoteError

    try:
        found = _me(RemoteClient(url, Credentials(url, token)))
    except RemoteError:  # the login stands all the same
        return ""
    return f" as {found['user']['name']}"


def _here() -> str:
    """What the page shows of who asks, so that nobody agrees to what somebody else asked for."""
    import getpass
    import platform

    try:
        user = getpass.getuser()
    except (OSError, KeyError, ImportError):  # a container's user may have no name
        user = ""
    return f"{user}@{platform.node()}".strip("@")


def _whoami_arguments(parser: ArgumentParser) -> None:
    _take_server(parser)
    take_json(parser)


LOGIN = Command(
    name="login",
    usage="[URL] [--no-browser]",
    summary="log in to a server",
    details=(
        "Shows an address and a code; open the one, on any device, and enter the other.\n"
        "The token is kept in the system's keyring, else in a file that only you can\n"
        "read, and renewed when it ends. Runs go to this server from then on. Where\n"
        "nobody sits, as in CI, set ML_DASH_TOKEN instead: see `ml-dash token`."
    ),
    examples=(
        ("ml-dash login https://dash.example", "the first time"),
        ("ml-dash login", "again, at the same server"),
    ),
    arguments=_login_arguments,
    run=_login,
)

LOGOUT = Command(
    name="logout",
    usage="[URL]",
    summary="forget the token for a server",
    details="Ends the login there, too, if the server answers. Runs stay where they are.",
    examples=(("ml-dash logout", "of the server that is kept"),),
    arguments=_take_server,
    run=_logout,
)

WHOAMI = Command(
    name="whoami",
    usage="[URL] [--json]",
    summary="show who you are to a server",
    details="Your name, the namespaces that you may use, each with your role, and the token.",
    examples=(
        ("ml-dash whoami", "at the server that is kept"),
        ("ml-dash whoami --json | jq -r .user.name", "for scripts"),
    ),
    arguments=_whoami_arguments,
    run=_whoami,
)
