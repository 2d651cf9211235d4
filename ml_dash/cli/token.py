"""`ml-dash token`: tokens for machines, such as those that run CI."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from ml_dash.cli.command import DONE, Command, CommandError, take_json
from ml_dash.cli.quantities import moment
from ml_dash.cli.screen import Screen
from ml_dash.cli.server_argument import server_of, take_url
from ml_dash.cli.text import printable

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient

_SCOPES = ("read", "write", "admin")
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0, "y": 365 * 86_400.0}
_ACTIONS = ("create", "list", "revoke")


def _arguments(parser: ArgumentParser) -> None:
    parser.add_argument("action", metavar="ACTION", choices=_ACTIONS, help="create, list or revoke")
    parser.add_argument("token", metavar="NAME", nargs="?", help="its name; or id, to revoke it")
    parser.add_argument(
        "--scope",
        action="append",
        choices=_SCOPES,
        help="what it is for: read, write or admin; may be repeated (default: read and write)",
    )
    parser.add_argument(
        "--expires",
        metavar="TIME",
        type=_seconds,
        default="90d",
        help="when it ends: 12h, 30d, 1y or never (default: 90d)",
    )
    take_url(parser)
    take_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ml_dash.auth.signed_in import signed_in

    client = signed_in(server_of(options.url))
    if options.action == "list":
        return _list(client, options, screen)
    if not options.token:
        raise CommandError(f"give a name: `ml-dash token {options.action} NAME`")
    if options.action == "create":
        return _create(client, options, screen)
    return _revoke(client, options, screen)


def _create(client: RemoteClient, options: Namespace, screen: Screen) -> int:
    from ml_dash.cli.json_text import json_text
    from ml_dash.remote.failures import garbled

    known = [str(token["id"]) for token in _tokens(client) if token.get("name") == options.token]
    if known:
        raise CommandError(
            f"there is a token {options.token!r} already, {', '.join(known)};"
            " revoke it first, or take another name"
        )
    about = {"name": options.token, "scopes": options.scope or ["read", "write"]}
    if options.expires is not None:
        about["expires_in"] = options.expires
    made = client.json("POST", "/tokens", json=about)
    if not isinstance(made, dict) or "token" not in made:
        raise garbled(client.url, "has no token in it")
    if options.json:
        screen.line(json_text(made, indent=2))
        return DONE
    screen.line(printable(str(made["token"])))
    screen.say("this is shown once; put it into ML_DASH_TOKEN where it is needed")
    return DONE


def _tokens(client: RemoteClient) -> list[dict[str, Any]]:
    from ml_dash.remote.failures import garbled

    found = client.json("GET", "/tokens")
    tokens = found.get("tokens") if isinstance(found, dict) else None
    if not isinstance(tokens, list):
        raise garbled(client.url, "has no tokens in it; is it the address of an ML-Dash server")
    return tokens


def _list(client: RemoteClient, options: Namespace, screen: Screen) -> int:
    from ml_dash.cli.json_text import json_text

    found = _tokens(client)
    if options.json:
        screen.line(json_text(found, indent=2))
        return DONE
    for token in found:
        ends = token.get("expires")
        until = f"until {moment(float(ends))}" if ends is not None else "never ends"
        scopes = " ".join(map(str, token.get("scopes") or ()))
        screen.line(printable(f"{token['id']}  {token.get('name')}  {scopes}  {until}"))
    if not found:
        screen.say(f"there are no tokens on {client.url}")
    return DONE


def _revoke(client: RemoteClient, options: Namespace, screen: Screen) -> int:
    wanted = options.token
    found = [t for t in _tokens(client) if wanted in (str(t["id"]), t.get("name"))]
    if not found:
        raise CommandError(f"there is no token {wanted!r}; `ml-dash token list` shows those there")
    if len(found) > 1:
        ids = ", ".join(str(token["id"]) for token in found)
        raise CommandError(
            f"there are {len(found)} tokens {wanted!r}: revoke each by its id, {ids}"
        )
    client.json("DELETE", f"/tokens/{quote(str(found[0]['id']), safe='')}")
    screen.line(printable(f"revoked {found[0].get('name')}"))
    return DONE


def _seconds(text: str) -> float | None:
    if text == "never":
        return None
    number, unit = text[:-1], text[-1:].lower()
    if unit not in _UNITS or not number.isascii() or not number.isdecimal() or int(number) < 1:
        raise ArgumentTypeError(f"{text!r} is no time; give 12h, 30d, 1y or never")
    return int(number) * _UNITS[unit]


TOKEN = Command(
    name="token",
    usage="ACTION [NAME] [--scope read|write|admin] [--expires TIME] [--url URL] [--json]",
    summary="make, list and revoke tokens for machines",
    details=(
        "A token goes into ML_DASH_TOKEN where nobody can log in, such as CI. It does\n"
        "what you may do, as far as its scopes reach, until it ends or is revoked."
    ),
    examples=(
        ("ml-dash token create ci --expires 30d", "to record and to read"),
        ("ml-dash token create viewer --scope read", "to read only"),
        ("ml-dash token list", "those that are good"),
        ("ml-dash token revoke ci", "by its name or id"),
    ),
    arguments=_arguments,
    run=_run,
)
