"""Projects: made on the way or by themselves, listed, and deleted with or without their runs."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from ml_dash.server.sweeping import sweep_garbage

from .inside import Inside, make_run, send

API = "/api/v1/namespaces/anna/projects"


@pytest.fixture
def inside(tmp_path: Path) -> Iterator[Inside]:
    made = Inside(tmp_path / "server")
    yield made
    made.close()


def test_projects_are_listed_with_their_runs(inside: Inside) -> None:
    """By name: when they were made, how many runs they have, and when one of them last changed."""
    client = inside.user("anna")
    made = inside.now
    make_run(client, "arm/one")
    inside.now += 5
    make_run(client, "arm/two")
    assert client.post(API, json={"name": "Zoo 1"}).status_code == 201
    assert client.get(API).json() == {
        "projects": [
            {"name": "Zoo 1", "created": inside.now, "runs": 0, "updated": None},
            {"name": "arm", "created": made, "runs": 2, "updated": inside.now},
        ]
    }


def test_a_project_that_is_there_is_found(inside: Inside) -> None:
    """Making it twice makes one, and says so."""
    client = inside.user("anna")
    first, second = (client.post(API, json={"name": "arm"}) for _ in range(2))
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (second.status_code, second.json()["created"]) == (200, False)
    assert first.json()["project"] == second.json()["project"]
    assert len(client.get(API).json()["projects"]) == 1


@pytest.mark.parametrize("name", ["", "a/b", "..", "a\0b", "x" * 256, "run", "\ud800"])
def test_what_cannot_be_a_project_is_told(inside: Inside, name: str) -> None:
    """With 422, and nothing is made; the rules are those for a segment of a prefix."""
    client = inside.user("anna")
    headers = {"Content-Type": "application/json"}
    answer = client.post(API, content=json.dumps({"name": name}), headers=headers)
    assert answer.status_code == 422, answer.text
    assert client.get(API).json() == {"projects": []}


@pytest.mark.parametrize("name", ["Zoo 1", "ä ö", "a\\b", "100%", "x.jsonl", "?#"])
def test_a_project_is_the_same_by_whatever_way_it_is_made(inside: Inside, name: str) -> None:
    """By itself, then by a run's prefix; and it is deleted by its quoted name."""
    client = inside.user("anna")
    assert client.post(API, json={"name": name}).status_code == 201
    run = make_run(client, f"{name}/one")
    assert client.delete(f"/api/v1/runs/{run}").status_code == 204
    assert [project["name"] for project in client.get(API).json()["projects"]] == [name]
    assert client.delete(f"{API}/{quote(name, safe='')}").status_code == 204


def test_a_project_with_runs_is_deleted_only_with_them(inside: Inside) -> None:
    """409 first; with them everything goes, and the objects are swept."""
    client = inside.user("anna")
    for name in ("arm/one", "arm/two", "leg/one"):
        run = make_run(client, name)
        send(client, run, ("logs/w.jsonl", 0, b"", b'{"timestamp": 1.0}\n'))
    assert client.delete(f"{API}/arm").status_code == 409
    assert client.delete(f"{API}/arm", params={"runs": True}).status_code == 204
    assert [project["name"] for project in client.get(API).json()["projects"]] == ["leg"]
    left = client.get("/api/v1/runs").json()["runs"]
    assert [run["prefix"] for run in left] == ["anna/leg/one"]
    assert sweep_garbage(inside.data, inside.objects, inside.now, threading.Event()) == 2
    assert [key.split("/")[1] for key, _, _ in inside.objects.list()] == [left[0]["id"]]
    assert client.delete(f"{API}/arm").status_code == 404


def test_a_project_without_runs_is_deleted(inside: Inside) -> None:
    """And a namespace of others has none to be seen."""
    client, bert = inside.user("anna"), inside.user("bert")
    client.post(API, json={"name": "arm"})
    for method in ("GET", "POST"):
        assert bert.request(method, API, json={"name": "x"}).status_code == 404
    assert bert.delete(f"{API}/arm").status_code == 404
    assert client.delete(f"{API}/arm").status_code == 204
    assert client.get(API).json() == {"projects": []}


def test_a_namespace_that_nobody_has_is_made_on_the_way(inside: Inside) -> None:
    """It is a team's, owned by who asked first; for others it is closed."""
    client, bert = inside.user("anna"), inside.user("bert")
    make_run(client, "robots/arm/one")
    mine = client.get("/api/v1/me").json()["namespaces"]
    assert {"name": "robots", "kind": "team", "role": "owner"} in mine
    assert bert.post("/api/v1/runs", json={"prefix": "robots/arm/one"}).status_code == 403
    assert bert.post("/api/v1/runs", json={"prefix": "robots/arm/two"}).status_code == 403


def test_a_namespace_is_not_made_by_looking_for_a_run(inside: Inside) -> None:
    """Nor by a name that cannot be one."""
    client = inside.user("anna")
    asked = {"prefix": "robots/arm/one", "create": False}
    assert client.post("/api/v1/runs", json=asked).status_code == 404
    assert client.post("/api/v1/runs", json={"prefix": "Not One/arm/one"}).status_code == 400
    assert [n["name"] for n in client.get("/api/v1/me").json()["namespaces"]] == ["anna"]
