"""The API of a server, as one user sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from ml_dash.remote.address import server_url
from ml_dash.remote.failures import garbled, of_answer
from ml_dash.remote.transport import Transport
from ml_dash.wire import API

if TYPE_CHECKING:
    from requests import Response


TIMEOUT = (5.0, 30.0)


class Bearer(Protocol):
    """Who knows the token."""

    def header(self) -> str | None:
        """What to send as `Authorization`; `None` without a token."""
        ...

    def refresh(self, stale: str) -> bool:
        """The server refused `stale`: whether there is another one now."""
        ...


class RemoteClient:
    """Asks a server. Threads and forked processes may share it.

    It tries a request once; only when the token was refused, it is renewed and the request made
    once more.

    Args:
        url: the server's.
        credentials: the token; none by default.
        timeout: seconds to connect, and between two pieces of an answer; `TIMEOUT` by default.

    Raises:
        ValueError: `url` is not the address of a server.
    """

    def __init__(
        self,
        url: str,
        credentials: Bearer | None = None,
        timeout: tuple[float, float] | None = None,
    ) -> None:
        self.url = server_url(url)
        self._credentials = credentials
        self._transport = Transport(self.url, timeout or TIMEOUT)
        self._own: str | None = None

    def __repr__(self) -> str:
        return f"<RemoteClient {self.url}>"

    def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, Any] | None = None,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        stream: bool = False,
        most: int | None = None,
        partial: bool = False,
    ) -> Response:
        """Make a request; its answer went well.

        Args:
            method: of HTTP.
            path: below `/api/v1`, quoted, such as `/runs`.
            params: what goes behind the `?`.
            json: the body, to be encoded.
            body: the body as it is; say in `headers` what it is.
            headers: more of them.
            stream: leave the answer's body to be read by the caller.
            most: bytes that it may have otherwise, however long they take; by default 64 MiB, in
                ten minutes.
            partial: of a range of bytes that breaks off, give what came, unless that is nothing.

        Raises:
            RemoteError: it did not go well; its class says in which way.
        """
        options: dict[str, Any] = {
            "params": params,
            "headers": headers,
            "stream": stream,
            "most": most,
            "partial": partial,
        }
        if json is not None:
            options["json"] = json
        elif body is not None:
            options["data"] = body
        url = f"{self.url}{API}{path}"
        held = self._credentials
        header = held.header() if held is not None else None
        response = self._transport.send(method, url, authorization=header, **options)
        if response.status_code == 401 and held is not None and header is not None:
            response.close()
            if held.refresh(header):
                header = held.header()
                response = self._transport.send(method, url, authorization=header, **options)
        was_set = getattr(held, "from_environment", False)
        failure = of_answer(response, self.url, had_token=header is not None, was_set=was_set)
        if failure is not None:
            response.close()
            raise failure
        return response

    def json(self, method: str, path: str, **options: Any) -> Any:
        """Make a request as `request` does, and decode its answer.

        Raises:
            RemoteError: it did not go well, or the answer is not JSON.
        """
        response = self.request(method, path, **options)
        if response.status_code == 204 or not response.content:
            return None
        import orjson

        try:
            return orjson.loads(response.content)
        except ValueError:  # which has all of the answer in it
            pass
        raise garbled(self.url, "is not JSON, or not all of it")

    @property
    def moved(self) -> float:
        """When bytes last went to the server or came from it, by `time.monotonic()`."""
        return self._transport.moved

    @property
    def underway(self) -> int:
        """Bytes of bodies that have gone out and are not answered yet. Any thread may ask."""
        return self._transport.underway

    @property
    def own(self) -> str:
        """The user's own namespace.

        Raises:
            RemoteError: the server did not say.
        """
        if self._own is None:
            found = self.json("GET", "/me")
            if not isinstance(found, dict) or not isinstance(found.get("own"), str):
                raise garbled(self.url, "does not say which namespace is yours")
            self._own = str(found["own"])
        return self._own

    def close(self) -> None:
        """Close the connections of this thread."""
        self._transport.close()
