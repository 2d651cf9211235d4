"""What the routes of users, namespaces and tokens answer with; see `ml_dash.server.shapes`."""

from __future__ import annotations

from typing import Literal

from typing_extensions import TypedDict

Role = Literal["reader", "writer", "owner"]
Kind = Literal["personal", "team"]


class Namespace(TypedDict):
    """A namespace as one of its members sees it."""

    name: str
    kind: Kind
    role: Role


class DatedNamespace(Namespace):
    """A namespace that is shown alone."""

    created: float


class Member(TypedDict):
    """Who has which role."""

    user: str
    role: Role


class Caller(TypedDict):
    """The user who asks."""

    id: str
    name: str
    admin: bool


class Using(TypedDict):
    """The token that is asked with; no token where a page of the server asks."""

    id: str | None
    kind: str
    scopes: list[str]
    expires: float | None


class Me(TypedDict):
    """Who asks, and what they may."""

    user: Caller
    own: str
    namespaces: list[Namespace]
    token: Using


class Namespaces(TypedDict):
    """The namespaces that somebody is a member of."""

    namespaces: list[Namespace]


class OneNamespace(TypedDict):
    """A namespace that was made or changed."""

    namespace: Namespace


class NamespaceAndMembers(TypedDict):
    """A namespace and who is in it."""

    namespace: DatedNamespace
    members: list[Member]


class Members(TypedDict):
    """Who is in a namespace."""

    members: list[Member]


class User(TypedDict):
    """A user as an administrator sees them."""

    id: str
    name: str
    admin: bool
    disabled: bool
    created: float


class Users(TypedDict):
    """All users."""

    users: list[User]


class OneUser(TypedDict):
    """A user that was changed."""

    user: User


class Link(TypedDict):
    """The path of a link with which a user sets a password, once."""

    link: str


class MadeUser(OneUser, Link):
    """A user that was made, and their link."""


class Token(TypedDict):
    """An API token, without its text."""

    id: str
    name: str
    kind: str
    scopes: list[str]
    created: float
    expires: float | None
    used: float | None


class Tokens(TypedDict):
    """The tokens of a user that are good."""

    tokens: list[Token]


class MadeToken(Token):
    """A token that was made; its text is told this once."""

    token: str
