"""The server that runs go to: does it answer, is it the right one, and who is one to it."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ml_dash.auth.store import TokenStore
from ml_dash.auth.tokens import Credentials
from ml_dash.cli.doctor.findings import Section
from ml_dash.cli.quantities import duration, moment
from ml_dash.remote import (
    ForbiddenError,
    NotFoundError,
    RemoteClient,
    RemoteError,
    UnauthorizedError,
    UnreachableError,
    server_url,
)
from ml_dash.remote.address import is_local
from ml_dash.version import __version__

if TYPE_CHECKING:
    from requests import Response

TIMEOUT = (4.0, 6.0)
"""Seconds to connect, and between two pieces of an answer."""

SKEW = 5.0
"""Seconds by which the clocks may differ; the server tells whole ones."""

SOON = 7 * 86_400.0
"""Seconds before its end at which a token that nobody renews is worth a note."""

_ELSEWHERE = "runs are recorded here meanwhile, and `ml-dash sync --all` sends them later"
_REMEDIES = {
    "dns": "compare the address with what you were given; is this machine on the network or VPN?",
    "refused": f"is `ml-dash serve` running there, and on this port? {_ELSEWHERE}",
    "timeout": f"a firewall may be in between, or the server busy; {_ELSEWHERE}",
    "closed": f"look into the log of the server, or of the proxy before it; {_ELSEWHERE}",
    "network": f"is this machine on the network? {_ELSEWHERE}",
    "proxy": "the variables HTTPS_PROXY, HTTP_PROXY and NO_PROXY say which proxy is used",
    "tls": f"compare the address; whoever runs the server mends its certificate; {_ELSEWHERE}",
    "redirect": "log in to the address that it sends on to",
    "html": "ask whoever runs the server for its address",
    "garbled": "ask whoever runs the server for its address",
    "status": "look into the log of the server",
}


def examine_server(section: Section, given: str | None, place: str) -> RemoteClient | None:
    """Tell whether the server answers and takes the token.

    Args:
        section: where to.
        given: its address by option, variable or configuration file, if there is one.
        place: which of them it is.

    Returns:
        A client, if the server knows who asks.
    """
    if not given:
        section.tell("url", None, "none; runs are kept here alone")
        return None
    try:
        url = server_url(given)
    except ValueError:  # its text repeats the address, which may have a token in it
        section.tell("url", None, "not an address")
        section.problem(
            f"what is set as the server, by {place}, is not the address of one",
            "give it as https://dash.example, without user, ? or #",
        )
        return None
    section.tell("url", url)
    if url.startswith("http://") and not is_local(url):
        section.note(f"{url} is without TLS", "whoever sees the traffic sees the token: use https")
    section.doing = f"reading the token for {url}"
    credentials = Credentials(url)
    token = _Token(section, url, credentials)
    section.doing = f"asking {url}"
    if not _is_there(section, url):
        token.tell()
        return None
    client = RemoteClient(url, credentials, TIMEOUT)
    return client if token.ask(client) else None


class _Token:
    """The token for a server, and what is to be told of it: never itself, nor a part of it."""

    def __init__(self, section: Section, url: str, credentials: Credentials) -> None:
        self._section = section
        self._url = url
        self._given = credentials.given
        self.facts: dict[str, Any] = {"from": "ML_DASH_TOKEN" if self._given else None}
        kept = None if self._given else TokenStore().load(url)
        self._is_there = self._given or kept is not None
        if kept is not None:
            self.facts |= {
                "from": "login",
                "expires": kept.expires,
                "renewable": kept.refresh is not None,
            }

    def tell(self, text: str = "") -> None:
        """Say what is known without the server, or what it said."""
        if not text and not self._is_there:
            text = "none"
        elif not text:
            text = f"from {self._source()}; the server was not asked about it"
            if self._is_over() and not self.facts.get("renewable"):
                self._section.problem(
                    f"the login to {self._url} has ended ({moment(self.facts['expires'])})",
                    f"`ml-dash login {self._url}`",
                )
        self._section.tell("token", self.facts, text)

    def ask(self, client: RemoteClient) -> bool:
        """Ask the server whose token it is; whether it takes it."""
        if not self._is_there:
            self.tell()
            self._section.problem(f"nobody is logged in to {self._url}", self._log_in())
            return False
        try:
            found = client.json("GET", "/me")
        except RemoteError as error:
            self._refused(error)
            return False
        user = found.get("user") if isinstance(found, dict) else None
        if not isinstance(user, dict) or "name" not in user:
            self.tell()
            self._section.problem(
                f"{self._url} does not say who you are", "is it an ML-Dash server?"
            )
            return False
        self._accepted(str(user["name"]), found.get("token") or {})
        return True

    def _accepted(self, name: str, said: dict[str, Any]) -> None:
        scopes = [str(scope) for scope in said.get("scopes") or ()]
        ends = said.get("expires")
        ends = float(ends) if isinstance(ends, (int, float)) else None
        renewable = bool(self.facts.get("renewable"))
        self.facts |= {"user": name, "scopes": scopes, "expires": ends, "accepted": True}
        self.facts["renewable"] = renewable
        until = f", until {moment(ends)}" if ends is not None else ", without end"
        renewed = ", renewed by itself" if renewable else ""
        self.tell(f"{name}, by {self._source()}, for {', '.join(scopes)}{until}{renewed}")
        if "write" not in scopes:
            self._section.problem(
                f"the token for {self._url} is not for writing, so no run gets there",
                f"`ml-dash token create NAME --scope read --scope write`, or {self._log_in()}",
            )
        if ends is not None and not renewable and ends - time.time() < SOON:
            self._section.note(
                f"the token for {self._url} ends in {duration(max(0.0, ends - time.time()))}",
                "make another one in time: `ml-dash token create NAME`",
            )

    def _refused(self, error: RemoteError) -> None:
        if not isinstance(error, (UnauthorizedError, ForbiddenError)):
            self.tell()
            self._section.problem(str(error), _REMEDIES.get(error.kind, "try it again"))
            return
        self.facts["accepted"] = False
        over = f"ended {moment(self.facts['expires'])}" if self._is_over() else "is not taken"
        self.tell(f"from {self._source()}, {over}")
        why = "it has ended or was revoked" if error.status else str(error)  # else never sent
        self._section.problem(
            f"the token for {self._url}, from {self._source()}, {over}: {why}", self._log_in()
        )

    def _source(self) -> str:
        return "ML_DASH_TOKEN" if self._given else "login"

    def _is_over(self) -> bool:
        ends = self.facts.get("expires")
        return ends is not None and ends < time.time()

    def _log_in(self) -> str:
        log_in = f"`ml-dash login {self._url}`"
        if self._given:  # it goes before what a login keeps
            return f"give ML_DASH_TOKEN a new one, or remove it and {log_in}"
        return f"{log_in}, or set ML_DASH_TOKEN"


def _is_there(section: Section, url: str) -> bool:
    """Ask without a token whether an ML-Dash server answers, which one, and what time it has."""
    client = RemoteClient(url, None, TIMEOUT)
    try:
        begun = time.time()
        answer = client.request("GET", "/health")
        took = time.time() - begun
        said = answer.json()
    except (UnreachableError, NotFoundError) as error:
        section.tell("reachable", False, "no")
        section.problem(str(error), _REMEDIES.get(error.kind, _REMEDIES["html"]))
        return False
    except RemoteError as error:
        section.tell("reachable", False, "no")
        section.problem(str(error), "try it again later")
        return False
    except ValueError:
        said = None
    if not isinstance(said, dict) or said.get("status") != "ok":
        section.tell("reachable", False, "something else answers")
        section.problem(f"{url} is no ML-Dash server", _REMEDIES["html"])
        return False
    section.tell("reachable", True, f"yes, in {took * 1000:,.0f} ms")
    _tell_version(section, said.get("version"))
    _tell_clock(section, answer, begun + took / 2)
    section.doing = f"asking {url} whether it is ready"
    try:
        client.request("GET", "/ready")
    except RemoteError as error:
        section.tell("ready", False, "no")
        section.problem(f"the server answers, and cannot work: {error}", "look into its log")
    else:
        section.tell("ready", True, "yes")
    client.close()
    return True


def _tell_version(section: Section, version: object) -> None:
    known = version if isinstance(version, str) else None
    section.tell("version", known, known or "not said")
    if known is not None and known != __version__:
        section.note(
            f"the server is of version {known}, this is {__version__}",
            "bring both to the same one when something does not work",
        )


def _tell_clock(section: Section, answer: Response, now: float) -> None:
    """Compare the clocks by the date in an answer, which is cut to whole seconds."""
    try:
        there = parsedate_to_datetime(answer.headers.get("Date", "")).timestamp() + 0.5
    except (ValueError, TypeError):
        section.tell("clock difference", None, "not known: the server tells no time")
        return
    ahead = there - now
    text = "less than 2 s" if abs(ahead) < 2 else f"{ahead:+,.0f} s"
    section.tell("clock difference", round(ahead, 1), text)
    if abs(ahead) > SKEW:
        section.problem(
            f"the clock of this machine is {duration(abs(ahead))}"
            f" {'behind' if ahead > 0 else 'ahead of'} the server's",
            "have both set by NTP: rows of several machines are ordered by their clocks",
        )
