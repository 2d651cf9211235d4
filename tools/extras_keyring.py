"""A keyring that forgets, for machines on which there is no other."""

from __future__ import annotations

from typing import ClassVar

from keyring.backend import KeyringBackend


class Memory(KeyringBackend):
    """Passwords in the memory of one process."""

    priority = 5.0
    _kept: ClassVar[dict[tuple[str, str], str]] = {}

    def get_password(self, service: str, username: str) -> str | None:
        """What was kept."""
        return self._kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        """Keep it."""
        self._kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        """Forget it."""
        self._kept.pop((service, username), None)
