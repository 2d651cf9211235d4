"""What the routes answer with, field by field, for the OpenAPI document.

The routes build their answers as plain objects: lists of runs and the answers to appends are made
often, and checking each of them costs more than making it. Tests hold them against these types.
"""

from __future__ import annotations

from typing import Any

from ml_dash.server.shapes.accounts import (
    Link,
    MadeToken,
    MadeUser,
    Me,
    Member,
    Members,
    NamespaceAndMembers,
    Namespaces,
    OneNamespace,
    OneUser,
    Tokens,
    Users,
)
from ml_dash.server.shapes.oauth import AccessToken, DeviceGrant, Discovery
from ml_dash.server.shapes.reading import At, Cameras, Chart, Files, Frames, Index, Inside, Logs
from ml_dash.server.shapes.runs import (
    Appended,
    FoundRun,
    OneProject,
    OneRun,
    Params,
    Projects,
    Runs,
    Segments,
    Sessions,
    StoredChunk,
    Stream,
    Upload,
)
from ml_dash.wire import API

_RUN = f"{API}/runs/{{run}}"
_NAMESPACE = f"{API}/namespaces/{{namespace}}"

SHAPES: dict[tuple[str, str], Any] = {
    ("get", f"{API}/me"): Me,
    ("get", f"{API}/namespaces"): Namespaces,
    ("post", f"{API}/namespaces"): OneNamespace,
    ("get", _NAMESPACE): NamespaceAndMembers,
    ("patch", _NAMESPACE): OneNamespace,
    ("get", f"{_NAMESPACE}/members"): Members,
    ("put", f"{_NAMESPACE}/members/{{user}}"): Member,
    ("get", f"{_NAMESPACE}/projects"): Projects,
    ("post", f"{_NAMESPACE}/projects"): OneProject,
    ("get", f"{API}/users"): Users,
    ("post", f"{API}/users"): MadeUser,
    ("patch", f"{API}/users/{{user}}"): OneUser,
    ("post", f"{API}/users/{{user}}/link"): Link,
    ("get", f"{API}/tokens"): Tokens,
    ("post", f"{API}/tokens"): MadeToken,
    ("get", f"{API}/runs"): Runs,
    ("post", f"{API}/runs"): FoundRun,
    ("get", _RUN): OneRun,
    ("patch", _RUN): OneRun,
    ("get", f"{_RUN}/params"): Params,
    ("get", f"{_RUN}/sessions"): Sessions,
    ("post", f"{_RUN}/append"): Appended,
    ("get", f"{_RUN}/segments"): Segments,
    ("get", f"{_RUN}/segments/{{path}}"): list[StoredChunk],
    ("get", f"{_RUN}/streams"): list[Stream],
    ("get", f"{_RUN}/streams/{{name}}/chart"): Chart,
    ("get", f"{_RUN}/streams/{{name}}/index"): Index,
    ("get", f"{_RUN}/at"): At,
    ("get", f"{_RUN}/logs"): Logs,
    ("get", f"{_RUN}/frames"): Cameras,
    ("get", f"{_RUN}/frames/{{camera}}"): Frames,
    ("get", f"{_RUN}/files"): Files,
    ("get", f"{_RUN}/folders"): Inside,
    ("post", f"{_RUN}/uploads"): Upload,
    ("get", "/.well-known/oauth-authorization-server"): Discovery,
    ("post", "/oauth/device_authorization"): DeviceGrant,
    ("post", "/oauth/token"): AccessToken,
}
"""What the good answers of a route look like."""
