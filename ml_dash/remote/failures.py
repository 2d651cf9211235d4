"""What failed requests mean, said in one sentence each."""

from __future__ import annotations

import errno
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

from ml_dash.remote.errors import (
    BusyError,
    ForbiddenError,
    NotFoundError,
    RejectedError,
    RemoteError,
    UnauthorizedError,
    UnreachableError,
)
from ml_dash.wire import CODES

if TYPE_CHECKING:
    from requests import Response

MOST_SAID = 365 * 86_400.0
"""Seconds that a server can ask to wait; what is more than a year is a year."""

_OF_PROXIES = (408, 413, 429, 502, 503, 504)
"""Statuses that a proxy gives for the server behind it, as a page: what they mean is the same."""

_TO_ANYBODY = (401, 407, 408, 413, 429)
"""Statuses that mean the same whoever gives them, with a word or without."""

_BROKEN_TLS = {"SSLEOFError", "SSLZeroReturnError"}
"""A connection that breaks while a body goes out is an error of TLS to the library beneath."""

_LOG_IN = "log in with `ml-dash login {url}`, or set ML_DASH_TOKEN"
_RENEW = (
    "the one in ML_DASH_TOKEN, which goes before a login, has ended or was revoked; set another"
)


def of_exception(error: Exception, url: str) -> UnreachableError:
    """The error for a request that got no answer.

    Args:
        error: what `requests` raised, or what stands behind it.
        url: the server's.
    """
    from requests import exceptions

    causes = list(_causes(error))
    names = {type(cause).__name__ for cause in causes}
    if isinstance(error, exceptions.SSLError) and names & _BROKEN_TLS:
        return _unreachable("closed", f"{url} closed the connection before its answer was whole")
    if isinstance(error, exceptions.SSLError):
        return _unreachable("tls", _tls(error, url))
    if isinstance(error, OSError) and "certificate bundle" in str(error):
        return _unreachable("tls", f"{url}: the file that REQUESTS_CA_BUNDLE names is not there")
    if isinstance(error, exceptions.ProxyError):
        return _unreachable(
            "proxy", f"the proxy on the way to {url} cannot be used; see HTTPS_PROXY and NO_PROXY"
        )
    if isinstance(error, exceptions.ConnectTimeout):
        return _unreachable("timeout", f"{url} does not answer: no connection in time")
    if isinstance(error, exceptions.Timeout):
        return _unreachable("timeout", f"{url} took too long to answer")
    if "ReadTimeoutError" in names:
        return _unreachable("timeout", f"{url} took too long to answer")
    if "NameResolutionError" in names or "gaierror" in names:
        return _unreachable(
            "dns", f"the host of {url} is not known here; is its name right, and is there a network"
        )
    if any(getattr(cause, "errno", None) == errno.ECONNREFUSED for cause in causes):
        return _unreachable("refused", f"nothing listens at {url}: the connection was refused")
    if isinstance(error, exceptions.ContentDecodingError):
        return _unreachable("garbled", f"the answer of {url} could not be unpacked")
    if isinstance(error, (exceptions.ChunkedEncodingError, exceptions.ConnectionError)):
        if names & {
            "ProtocolError",
            "RemoteDisconnected",
            "IncompleteRead",
            "ConnectionResetError",
        }:
            return _unreachable(
                "closed", f"{url} closed the connection before its answer was whole"
            )
        reason = next((c.strerror for c in causes if isinstance(c, OSError) and c.strerror), "")
        return _unreachable("network", f"{url} cannot be reached{': ' if reason else ''}{reason}")
    return _unreachable("network", f"{url} cannot be asked: {type(error).__name__}")


def of_answer(
    response: Response, url: str, *, had_token: bool, was_set: bool = False
) -> RemoteError | None:
    """The error that an answer stands for; `None` for one that is none.

    Args:
        response: read whole, unless it went well.
        url: the server's.
        had_token: whether the request carried a token.
        was_set: whether that was in `ML_DASH_TOKEN`, so that no login mends it.
    """
    status = response.status_code
    if 300 <= status < 400 and status != 304:
        return _unreachable("redirect", _redirect(response, url), status)
    page = is_page(response)
    if page and status not in _OF_PROXIES:
        title = f"{status} " if status >= 400 else ""
        return _unreachable(
            "html",
            f"{url} answers with a {title}web page and not as an ML-Dash server does; is the"
            " address right, or does a proxy or a login page stand in between",
            status,
        )
    if status < 400:
        return None
    said = {} if page else _problem(response)
    if 400 <= status < 500 and status not in _TO_ANYBODY and not said:
        # Not of the server, which always says its word: no reason to give the run up.
        return _unreachable(
            "foreign",
            f"{url} does not answer as an ML-Dash server does ({status}); is the address right, or"
            " does a proxy stand in between",
            status,
        )
    advice = _RENEW if was_set else _LOG_IN.format(url=url)
    error = _of_status(status, response, url, said, advice, had_token=had_token)
    error.status = status
    error.code = str(said.get("code") or ("too_large" if status == 413 else ""))
    return error


def is_page(response: Response) -> bool:
    """Whether an answer is a page for people. A user's own HTML comes as an attachment."""
    kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    attached = response.headers.get("Content-Disposition", "").lower().startswith("attachment")
    return kind in ("text/html", "application/xhtml+xml") and not attached


def _problem(response: Response) -> dict[str, Any]:
    """The error that the server tells; empty where it is something else that answers."""
    said = content(response)
    word = said.get("code")
    return said if isinstance(word, str) and word in CODES and "detail" in said else {}


def content(response: Response) -> dict[str, Any]:
    """The object of JSON that an answer is; empty for any other."""
    try:
        found = response.json()
    except (ValueError, OSError):  # not JSON, or broken off
        return {}
    return found if isinstance(found, dict) else {}


def _of_status(
    status: int,
    response: Response,
    url: str,
    said: dict[str, Any],
    advice: str,
    *,
    had_token: bool,
) -> RemoteError:
    detail = str(said.get("detail") or "").strip()[:500]
    if status == 401:
        if had_token:
            return UnauthorizedError(f"{url} does not take the token: {advice}")
        return UnauthorizedError(f"{url} wants to know who asks: {advice}")
    if status == 403:
        return ForbiddenError(f"{url} refuses: {detail or 'you may not do that there'}")
    if status == 404:
        return NotFoundError(f"{url}: {detail or 'there is no such thing, or you may not see it'}")
    if status == 408:  # a line that stood still meanwhile: what was sent is sent again
        return _unreachable("timeout", f"{url} got only a part of a request in time")
    if status in (429, 503):
        return _busy(response, url, said)
    if status in (502, 504) and not said:
        text = f"a proxy before {url} has no answer of the server ({status})"
        return _unreachable("gateway", text)
    if status == 407:
        return _unreachable("proxy", f"the proxy on the way to {url} wants a password")
    if status >= 500:
        more = f": {detail}" if detail else ""
        return _unreachable("status", f"{url} has an error of its own ({status}){more}")
    if status == 413 and not detail:
        detail = "it is too large for the server, or for a proxy before it"
    return RejectedError(f"{url} does not take this ({status}): {detail or 'it did not say why'}")


def _busy(response: Response, url: str, said: dict[str, Any]) -> BusyError:
    wait = retry_after(response.headers.get("Retry-After", ""), time.time())
    again = f"; it asks to wait {_span(wait)}" if wait is not None else ""
    what = "is asked too often" if response.status_code == 429 else "is not ready"
    error = BusyError(f"{url} {what} ({response.status_code}){again}")
    error.retry_after = wait
    error.status = response.status_code
    error.code = str(said.get("code") or "")
    return error


def retry_after(header: str, now: float) -> float | None:
    """The seconds that a header asks to wait, at most `MOST_SAID`; `None` if it says none.

    Args:
        header: a number of seconds, or a date.
        now: in seconds since 1970.
    """
    text = header.strip()
    try:
        if text.isascii() and text.isdecimal():
            return min(MOST_SAID, float(text))
        wait = parsedate_to_datetime(text).timestamp() - now
    except (ValueError, TypeError, OverflowError):
        return None
    return min(MOST_SAID, max(0.0, wait))


def _span(seconds: float) -> str:
    """A time as people say it, in the unit that fits."""
    for unit, length in (("days", 86_400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{seconds:.0f} s"


def _redirect(response: Response, url: str) -> str:
    from ml_dash.remote.address import origin

    there = origin(response.headers.get("Location", ""))
    if there and there != origin(url):
        return f"{url} sends on to {there}, which was not followed; if that is the server, name it"
    return f"{url} sends on to another page; is the address right"


def _tls(error: Exception, url: str) -> str:
    text = str(error).lower().replace("_", " ")
    if "no certificate or crl" in text or "pem lib" in text:
        return f"{url}: the file that REQUESTS_CA_BUNDLE names has no certificate in it"
    if "wrong version number" in text or "record layer" in text:
        return f"{url} does not speak TLS; if it is meant to be without, name it as http://…"
    if "self-signed" in text or "self signed" in text or "unable to get local issuer" in text:
        why = "is signed by nobody that is known here; set REQUESTS_CA_BUNDLE to your lab's file"
    elif "expired" in text:
        why = "has expired, or the clock of this machine is wrong"
    elif "mismatch" in text or "doesn't match" in text:
        why = "is for another host"
    else:
        return f"{url}: no secure connection could be made (TLS)"
    return f"{url}: its certificate {why}"


def _unreachable(kind: str, text: str, status: int = 0) -> UnreachableError:
    error = UnreachableError(text)
    error.kind = kind
    error.status = status
    return error


def garbled(url: str, what: str) -> UnreachableError:
    """The error for an answer that is not what it should be."""
    return _unreachable("garbled", f"the answer of {url} {what}")


def _causes(error: BaseException) -> list[BaseException]:
    """An exception and all that stand behind it."""
    found: list[BaseException] = []
    waiting: list[object] = [error]
    while waiting and len(found) < 30:
        each = waiting.pop()
        if isinstance(each, BaseException) and each not in found:
            found.append(each)
            waiting += [each.__cause__, each.__context__, getattr(each, "reason", None), *each.args]
    return found
