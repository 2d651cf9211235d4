"""What the routes of a login answer with; see `ml_dash.server.shapes`."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict


class Discovery(TypedDict):
    """Where a login goes, and what this server offers to it (RFC 8414)."""

    issuer: str
    device_authorization_endpoint: str
    token_endpoint: str
    revocation_endpoint: str
    grant_types_supported: list[str]
    response_types_supported: list[str]
    scopes_supported: list[str]
    token_endpoint_auth_methods_supported: list[str]
    revocation_endpoint_auth_methods_supported: list[str]


class DeviceGrant(TypedDict):
    """A code for the program, and one for its user (RFC 8628, 3.2)."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str
    expires_in: int
    interval: int


class AccessToken(TypedDict):
    """What a program shows from now on, and what it gets another one with (RFC 6749, 5.1)."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int
    refresh_token: str
    scope: str
