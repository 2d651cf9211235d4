"""Namespaces: one of one's own, those of teams, and the roles in them."""

from __future__ import annotations

from fastapi.testclient import TestClient

from .inside import Inside, make_run

NAMESPACES = "/api/v1/namespaces"


def found(client: TestClient) -> dict[str, tuple[str, str]]:
    """Kind and role of each namespace that somebody sees."""
    told = client.get(NAMESPACES).json()["namespaces"]
    return {each["name"]: (each["kind"], each["role"]) for each in told}


def give(owner: TestClient, user: str, role: str) -> int:
    """Give a role in `team`."""
    answer = owner.put(f"{NAMESPACES}/team/members/{user}", json={"role": role})
    return answer.status_code


def test_everybody_owns_a_namespace_of_their_own(inside: Inside) -> None:
    """Under their name, seen by nobody else, which can neither be renamed, left nor deleted."""
    anna, berta = inside.user("anna"), inside.user("berta")
    assert found(anna) == {"anna": ("personal", "owner")}
    assert berta.get(f"{NAMESPACES}/anna").status_code == 404
    own = f"{NAMESPACES}/anna"
    assert anna.patch(own, json={"name": "else"}).status_code == 409
    assert anna.delete(own).status_code == 409
    assert anna.delete(f"{own}/members/anna").status_code == 409
    assert anna.put(f"{own}/members/anna", json={"role": "reader"}).status_code == 409


def test_a_team_lets_people_in_by_role(inside: Inside) -> None:
    """Readers read, writers record, owners manage; who is taken out sees nothing any more."""
    anna, berta = inside.user("anna"), inside.user("berta")
    assert anna.post(NAMESPACES, json={"name": "team"}).status_code == 201
    run = make_run(anna, "team/arm/one")
    one = f"/api/v1/runs/{run}"
    expected = {"reader": (200, 403, 403), "writer": (200, 200, 403), "owner": (200, 200, 200)}
    for role, statuses in expected.items():
        assert give(anna, "berta", role) == 200
        asked = (
            berta.get(one).status_code,
            berta.patch(one, json={"tags": ["x"]}).status_code,
            give(berta, "anna", "owner"),
        )
        assert asked == statuses, role
        assert found(berta)["team"] == ("team", role)
    assert anna.delete(f"{NAMESPACES}/team/members/berta").status_code == 204
    assert berta.get(one).status_code == 404
    assert "team" not in found(berta)


def test_a_team_keeps_an_owner(inside: Inside) -> None:
    """The last one can neither leave nor become less; once there is another, they can."""
    anna, _ = inside.user("anna"), inside.user("berta")
    anna.post(NAMESPACES, json={"name": "team"})
    assert give(anna, "anna", "writer") == 409
    assert anna.delete(f"{NAMESPACES}/team/members/anna").status_code == 409
    assert give(anna, "berta", "owner") == 200
    assert anna.delete(f"{NAMESPACES}/team/members/anna").status_code == 204


def test_a_name_belongs_to_one(inside: Inside) -> None:
    """A team cannot have the name of a user, nor a user that of a team, nor two teams one."""
    anna = inside.user("anna")
    inside.user("berta")
    assert anna.post(NAMESPACES, json={"name": "berta"}).status_code == 422
    assert anna.post(NAMESPACES, json={"name": "team"}).status_code == 201
    assert anna.post(NAMESPACES, json={"name": "team"}).status_code == 422
    anna.post(NAMESPACES, json={"name": "other"})
    assert anna.patch(f"{NAMESPACES}/other", json={"name": "team"}).status_code == 422
    assert anna.patch(f"{NAMESPACES}/other", json={"name": "third"}).status_code == 200
    assert set(found(anna)) == {"anna", "team", "third"}


def test_what_others_own_is_refused_when_a_run_is_made(inside: Inside) -> None:
    """Neither a stranger nor a reader begins a run in a namespace; nothing is left of the try."""
    anna, berta = inside.user("anna"), inside.user("berta")
    anna.post(NAMESPACES, json={"name": "team"})
    for namespace in ("anna", "team"):
        asked = berta.post("/api/v1/runs", json={"prefix": f"{namespace}/arm/one", "id": "1"})
        assert asked.status_code in (403, 404)
    give(anna, "berta", "reader")
    asked = berta.post("/api/v1/runs", json={"prefix": "team/arm/one", "id": "1"})
    assert asked.status_code == 403
    assert anna.get(f"{NAMESPACES}/team/projects").json() == {"projects": []}


def test_a_team_with_projects_is_not_deleted(inside: Inside) -> None:
    """Runs do not go along unseen; an empty one is deleted."""
    anna = inside.user("anna")
    anna.post(NAMESPACES, json={"name": "team"})
    make_run(anna, "team/arm/one")
    assert anna.delete(f"{NAMESPACES}/team").status_code == 409
    gone = anna.delete(f"{NAMESPACES}/team/projects/arm", params={"runs": True})
    assert gone.status_code == 204
    assert anna.delete(f"{NAMESPACES}/team").status_code == 204
    assert anna.get(f"{NAMESPACES}/team").status_code == 404
