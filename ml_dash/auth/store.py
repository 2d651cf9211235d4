"""Where tokens are kept: the system's keyring, else a file that only the user can read.

The file `credentials.json`, beside the configuration file, names the servers. It holds the tokens
of each, or says that the keyring does: so nobody waits for a keyring who never logged in.
"""

from __future__ import annotations

import contextlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from ml_dash.auth.private import locked, write_whole
from ml_dash.remote.transport import Hidden
from ml_dash.settings import config_path

SERVICE = "ml-dash"
"""What the entries are called in a keyring."""

_FIELDS = ("access", "refresh", "expires", "token_endpoint", "revocation_endpoint", "user")
_SECRET = ("access", "refresh")

logger = logging.getLogger("ml_dash")


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a login gives.

    Attributes:
        access: shown to the server with each request.
        refresh: gets the next ones; `None` if there is none.
        expires: when `access` ends by this machine's clock; `None` if that was not said.
        token_endpoint: where the next ones are to be had.
        revocation_endpoint: where they are given back; empty if nowhere.
        user: whose they are, as far as known.
    """

    access: str = field(repr=False)
    refresh: str | None = field(default=None, repr=False)
    expires: float | None = None
    token_endpoint: str = ""
    revocation_endpoint: str = ""
    user: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it is kept."""
        return {name: getattr(self, name) for name in _FIELDS}

    @staticmethod
    def from_json(found: Any) -> Tokens | None:
        """From what was kept; `None` if that is none."""
        if not isinstance(found, dict) or not isinstance(found.get("access"), str):
            return None
        values = {name: found[name] for name in _FIELDS if found.get(name) is not None}
        for name in _SECRET:
            if name in values:
                values[name] = Hidden(values[name])
        return Tokens(**values)


class TokenStore:
    """The tokens of a user, by server.

    Args:
        folder: where `credentials.json` is; by default that of the configuration file.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = config_path().absolute().parent if folder is None else folder
        self.path = self._folder / "credentials.json"

    def __repr__(self) -> str:
        return f"<TokenStore {self.path}>"

    def lock(self, url: str) -> Path:
        """The file to be `locked` while the tokens of a server are renewed."""
        import hashlib

        name = hashlib.sha256(url.encode()).hexdigest()[:16]
        return self._folder / f"credentials-{name}.lock"

    def load(self, url: str) -> Tokens | None:
        """The tokens for a server; `None` if there are none, or they cannot be read."""
        entry = self._read().get(url)
        if isinstance(entry, dict) and entry.get("keyring") is True:
            return _from_keyring(url)
        return Tokens.from_json(entry)

    def is_shut(self, url: str) -> bool:
        """Whether the tokens for a server are in a keyring that does not give them here.

        One that is of a desktop is not there for a service, or over SSH.
        """
        entry = self._read().get(url)
        return (
            isinstance(entry, dict) and entry.get("keyring") is True and _from_keyring(url) is None
        )

    def servers(self) -> list[str]:
        """The servers that there are tokens for."""
        return sorted(self._read())

    def save(self, url: str, tokens: Tokens) -> str:
        """Keep the tokens for a server in place of older ones.

        Returns:
            Where they are, for a person.

        Raises:
            OSError: they can be kept nowhere.
        """
        text = orjson.dumps(tokens.to_json(), default=str).decode()
        with locked(self._folder / "credentials.lock"):
            entries = self._read()
            if name := _to_keyring(url, text):
                if entries.get(url) != {"keyring": True}:
                    self._write({**entries, url: {"keyring": True}})
                return name
            self._write({**entries, url: orjson.loads(text)})
        return str(self.path)

    def delete(self, url: str) -> None:
        """Forget the tokens for a server, if there are any.

        Raises:
            OSError: the file cannot be written.
        """
        with locked(self._folder / "credentials.lock"):
            entries = self._read()
            entry = entries.pop(url, None)
            if entry is None:
                return
            if entry == {"keyring": True}:
                _out_of_keyring(url)
            self._write(entries)

    def fault(self) -> str:
        """Why the file cannot be read; empty where it can be, or where there is none."""
        try:
            found = orjson.loads(self.path.read_bytes())
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            return str(error)
        return "" if isinstance(found, dict) else "it has no logins in it"

    def _read(self) -> dict[str, Any]:
        try:
            if self.path.stat().st_mode & 0o077:
                with contextlib.suppress(OSError):
                    self.path.chmod(0o600)
                    if not self.path.stat().st_mode & 0o077:  # some file systems only pretend
                        logger.warning("%s could be read by others; now it cannot", self.path)
            found = orjson.loads(self.path.read_bytes())
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    def _write(self, entries: dict[str, Any]) -> None:
        write_whole(self.path, orjson.dumps(entries, option=orjson.OPT_INDENT_2))


def keyring_name() -> str:
    """What the keyring in use is called; empty where there is no real one. May wait for it."""
    backend = _keyring()
    return "" if backend is None else str(getattr(backend, "name", type(backend).__name__))


def _keyring() -> Any:
    """The keyring in use, `None` where there is no real one."""
    try:
        import keyring
        import keyring.errors

        backend = keyring.get_keyring()
        # Below 1 are those that fail, forget, or write a file that is no safer than ours.
        return backend if float(backend.priority) >= 1 else None
    except Exception:  # noqa: BLE001 - what a backend of anybody's raises; the file does as well
        return None


def _to_keyring(url: str, text: str) -> str:
    """Keep a text there; what the keyring is called, empty if it does not take it."""
    backend = _keyring()
    if backend is None:
        return ""
    try:
        backend.set_password(SERVICE, url, text)
        if backend.get_password(SERVICE, url) != text:
            return ""
    except Exception:  # noqa: BLE001 - locked, forbidden, full: then the file
        return ""
    return f"the keyring ({keyring_name()})"


def _from_keyring(url: str) -> Tokens | None:
    backend = _keyring()
    if backend is None:
        return None
    try:
        text = backend.get_password(SERVICE, url)
        return Tokens.from_json(orjson.loads(text)) if text else None
    except Exception:  # noqa: BLE001 - locked, or not ours: as if not logged in
        return None


def _out_of_keyring(url: str) -> None:
    backend = _keyring()
    if backend is not None:
        try:
            backend.delete_password(SERVICE, url)
        except Exception:  # noqa: BLE001 - it was not there, or is locked
            return
