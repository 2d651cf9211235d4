"""Files folder by folder: what is in one, however many are below it."""

from __future__ import annotations

from typing import Any

import pytest

from .inside import Inside
from .recorded import fill

PATHS = ["a.txt", "models/m.pt", "frames/front/f_0.png", "frames/front/f_1.png", "frames/b.txt"]
PATHS += ["Frames/upper.txt", "frames_old/c.txt", "50%/x_y.txt"]


@pytest.fixture(scope="module")
def client(lasting: Inside) -> Any:
    return lasting.user("anna")


@pytest.fixture(scope="module")
def run(client: Any) -> str:
    rows = [
        {"timestamp": 1.0 + i, "id": str(i), "op": "save", "path": path, "data": path}
        | {"size": 10, "sha256": f"{i:064d}"}
        for i, path in enumerate(PATHS)
    ]
    rows.append({"timestamp": 90.0, "id": "90", "op": "delete", "path": "models/m.pt"})
    return fill(client, {"files/index/w.jsonl": rows})[0]


def ask(client: Any, run: str, **query: Any) -> Any:
    answer = client.get(f"/api/v1/runs/{run}/folders", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_the_top_has_folders_with_what_is_below_them(client: Any, run: str) -> None:
    """Counts and bytes of all below; what was deleted is not there."""
    found = ask(client, run)
    assert [(f["name"], f["files"], f["size"]) for f in found["folders"]] == [
        ("50%", 1, 10),
        ("Frames", 1, 10),
        ("frames", 3, 30),
        ("frames_old", 1, 10),
    ]
    assert [file["path"] for file in found["files"]] == ["a.txt"] and found["next"] is None


def test_a_folder_has_its_own_files_alone(client: Any, run: str) -> None:
    """Not those of folders below it, of another case, or whose name begins alike."""
    found = ask(client, run, path="frames")
    assert [f["name"] for f in found["folders"]] == ["front"]
    assert [file["path"] for file in found["files"]] == ["frames/b.txt"]
    assert ask(client, run, path="frames/")["files"] == found["files"]
    assert [file["path"] for file in ask(client, run, path="50%")["files"]] == ["50%/x_y.txt"]


def test_files_of_a_folder_come_in_pages(client: Any, run: str) -> None:
    """The cursor leads to the rest; folders come once."""
    first = ask(client, run, path="frames/front", limit=1)
    assert [file["path"] for file in first["files"]] == ["frames/front/f_0.png"]
    rest = ask(client, run, path="frames/front", limit=1, cursor=first["next"])
    assert [file["path"] for file in rest["files"]] == ["frames/front/f_1.png"]
    assert rest["next"] is None and rest["folders"] == []
