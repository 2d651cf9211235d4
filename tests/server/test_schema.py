"""The OpenAPI document, and generated requests held against it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from sqlalchemy import update

from ml_dash.server.app import create_app
from ml_dash.server.settings import ServerSettings
from ml_dash.server.shapes import SHAPES, accounts, oauth, reading, runs
from ml_dash.server.tables import User
from ml_dash.wire import FRAMES

from .inside import Inside, make_run, send
from .people import let_in
from .recorded import sha, store

CHECKS = [
    not_a_server_error,
    response_schema_conformance,
    content_type_conformance,
    status_code_conformance,
]
_app = create_app(ServerSettings(database="sqlite://", store="memory://"))
_app.state.database.close()
schemathesis.serializer.alias(FRAMES, "application/octet-stream")
schema = schemathesis.openapi.from_dict(_app.openapi())
"""Without requests: the document is made before any server is."""


class Target:
    """A server with a user, who looks after it, and a run."""

    def __init__(self, inside: Inside) -> None:
        self.client = inside.user("anna")
        inside.user("eve")  # whom generated requests may disable
        self.app = inside.app
        inside.data.transaction(lambda s: s.execute(update(User).values(admin=True)))
        self.app.state.stopping = True  # streams of events end at once
        run, content = make_run(self.client), b"\x89PNG"
        line = b'{"timestamp":%d,"step":%d,"loss":0.5,"level":"info","message":"x"}\n'
        lines = b"".join(line % (at, at) for at in range(9))
        row = {"timestamp": 1.0, "op": "save", "path": "camera/0.png", "data": "camera/0.png"}
        row |= {"sha256": sha(content), "size": len(content)}
        index = json.dumps(row).encode() + b"\n"
        send(
            self.client,
            run,
            ("logs/w.jsonl", 0, b"", lines),
            ("files/index/w.jsonl", 0, b"", index),
        )
        send(self.client, run, ("metrics/train/w.jsonl", 0, b"", lines))
        assert store(self.client, run, content).status_code == 200
        self.there = {"run": run, "namespace": "anna", "user": "eve", "camera": "camera"}
        self.there |= {"name": "metrics/train", "sha256": sha(content)}

    def place(self, case: schemathesis.Case[Any]) -> dict[str, str]:
        """Parameters of the path with which there is something, except to delete it."""
        if case.method == "DELETE":
            return {}
        path = "files/camera/0.png" if "/files/" in case.path else "metrics/train/w.jsonl"
        there = self.there | {"path": path.removeprefix("files/")}
        return {name: there[name] for name in case.path_parameters if name in there}


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One server for all generated requests."""
    inside = Inside(tmp_path_factory.mktemp("schema") / "server", concurrency=10_000)
    yield Target(inside)
    inside.close()


# ready is 503 once the server is about to end
@schema.exclude(path="/api/v1/ready").parametrize()
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_a_route(case: schemathesis.Case[Any], target: Target) -> None:
    """Good and bad requests get an answer below 500 that the document announces."""
    if case.meta is not None and case.meta.generation.mode.is_positive:
        case.path_parameters.update(target.place(case))
    answer = case.call(app=target.app, headers=dict(target.client.headers))
    case.validate_response(answer, checks=CHECKS)


FORMATS = [
    (path, form)
    for path, methods in _app.openapi()["paths"].items()
    for parameter in methods.get("get", {}).get("parameters", ())
    if parameter["name"] == "format"
    for form in parameter["schema"]["enum"]
]


@pytest.mark.parametrize(("path", "form"), FORMATS)
def test_every_format_that_can_be_asked_for_is_documented(
    path: str, form: str, target: Target
) -> None:
    """What a stream answers in each of its formats is of a kind that the document names."""
    answer = target.client.get(
        path.format(**target.there), params={"format": form, "column": "loss"}
    )
    assert answer.status_code == 200, answer.text
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in _app.openapi()["paths"][path]["get"]["responses"]["200"]["content"]


def test_every_route_of_the_api_is_documented_with_its_errors() -> None:
    """Each operation has a sentence, and says that its errors are problems."""
    document = _app.openapi()
    count = 0
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            count += 1
            assert operation.get("description") or operation.get("summary"), (method, path)
            assert operation["responses"], (method, path)
            if path.startswith("/api/v1/") and path not in ("/api/v1/health", "/api/v1/ready"):
                told = operation["responses"].get("default") or operation["responses"]["4XX"]
                assert list(told["content"]) == ["application/problem+json"], (method, path)
    assert count > 40


def fields_of(shape: Any) -> set[str]:
    """The fields that a type always has."""
    return set(shape.__required_keys__)


@pytest.mark.parametrize(
    ("path", "shape", "inside"),
    [
        ("me", accounts.Me, ""),
        ("me", accounts.Caller, "user"),
        ("me", accounts.Using, "token"),
        ("namespaces", accounts.Namespace, "namespaces"),
        ("namespaces/anna", accounts.NamespaceAndMembers, ""),
        ("namespaces/anna", accounts.DatedNamespace, "namespace"),
        ("namespaces/anna/members", accounts.Member, "members"),
        ("namespaces/anna/projects", runs.CountedProject, "projects"),
        ("users", accounts.User, "users"),
        ("tokens", accounts.Token, "tokens"),
        ("runs", runs.Runs, ""),
        ("runs", runs.Run, "runs"),
        ("runs/{run}", runs.Run, "run"),
        ("runs/{run}/params", runs.Params, ""),
        ("runs/{run}/segments", runs.Segment, "segments"),
        ("runs/{run}/segments/metrics/train/w.jsonl?chunks=1", runs.StoredChunk, ""),
        ("runs/{run}/streams", runs.Stream, ""),
        ("runs/{run}/streams/{name}/chart?columns=loss", reading.Chart, ""),
        ("runs/{run}/streams/{name}/index", reading.Index, ""),
        ("runs/{run}/at?step=1&streams={name}", reading.At, ""),
        ("runs/{run}/logs", reading.Logs, ""),
        ("runs/{run}/frames", reading.Camera, "cameras"),
        ("runs/{run}/frames/{camera}", reading.Frames, ""),
        ("runs/{run}/files", reading.Files, ""),
        ("runs/{run}/folders", reading.Inside, ""),
        ("runs/{run}/folders", reading.Folder, "folders"),
    ],
)
def test_answers_have_the_fields_of_the_document_and_no_others(
    path: str, shape: Any, inside: str, target: Target
) -> None:
    """Generated requests find what is missing or of another type; this finds what is not told."""
    target.client.post("/api/v1/tokens", json={"name": "ci"})
    found = target.client.get(f"/api/v1/{path.format(**target.there)}").json()
    found = found[inside] if inside else found
    shown = found if isinstance(found, list) else [found]
    assert shown, "there is something to look at"
    for each in shown:
        assert set(each) == fields_of(shape), shape


def test_the_answers_of_a_login_have_the_fields_of_the_document(inside: Inside) -> None:
    """Where to go, the codes, and the tokens: what another program logs in by."""
    inside.user("anna")
    device, tokens = let_in(inside)
    about = device.client.get("/.well-known/oauth-authorization-server").json()
    for found, shape in (
        (about, oauth.Discovery),
        (device.begun, oauth.DeviceGrant),
        (tokens, oauth.AccessToken),
        (device.refresh(tokens["refresh_token"]).json(), oauth.AccessToken),
    ):
        assert set(found) == fields_of(shape), shape


def test_the_main_routes_say_which_fields_they_answer_with() -> None:
    """Those of accounts, projects, runs and segments: no plain objects."""
    document = _app.openapi()
    for method, path in SHAPES:
        answers = document["paths"][path][method]["responses"]
        told = next(answers[status] for status in ("200", "201") if status in answers)
        schema = told["content"]["application/json"]["schema"]
        assert "$ref" in str(schema), (method, path)
