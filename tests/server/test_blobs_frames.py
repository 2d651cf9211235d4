"""The cameras of a run and their frames, as a player asks for them."""

from __future__ import annotations

from typing import Any

import pytest

from ml_dash.server.blobs import frames

from .inside import Inside, make_run
from .recorded import index_files, saved


def test_frames_of_a_camera_come_in_order_of_time(inside: Inside) -> None:
    """As the local reader orders them, page by page; nothing else among them."""
    anna = inside.user("anna")
    run = make_run(anna)
    rows = [
        saved(
            f"cam/left/f_{number:02}.jpg",
            b"%d" % number,
            at=50.0 - number,
            step=number if number % 3 else None,
            content_type="image/jpeg",
        )
        | {"at": 100.0 + number // 2, "id": str(1000 - number)}
        for number in range(20)
    ]
    rows += [
        saved("cam/right/f.PNG", b"r"),
        saved("top.jpeg", b"t"),
        saved("cam/left/notes.txt", b"n"),
    ]
    rows += [{"timestamp": 90.0, "op": "delete", "path": "cam/left/f_05.jpg"}]
    index_files(anna, run, *rows)
    url = f"/api/v1/runs/{run}/frames"
    told = {camera["name"]: camera for camera in anna.get(url).json()["cameras"]}
    assert set(told) == {"cam/left", "cam/right", ""}
    assert told["cam/left"]["count"] == 19 and told["cam/left"]["times"] == [100.0, 109.0]
    assert told["cam/left"]["steps"] == [1, 19] and told["cam/right"]["steps"] is None
    wanted = sorted(
        (row for row in rows[:20] if row["path"] != "cam/left/f_05.jpg"),
        key=lambda row: (row["at"], int(row["id"])),
    )
    got: dict[str, list[Any]] = {"names": [], "steps": [], "timestamps": [], "sha256": []}
    cursor: str | None = ""
    while cursor is not None:
        page = anna.get(f"{url}/cam/left", params={"cursor": cursor, "limit": 7}).json()
        for key, values in got.items():
            values += page[key]
        cursor = page["next"]
    assert [f"cam/left/{name}" for name in got["names"]] == [row["path"] for row in wanted]
    assert got["steps"] == [row["step"] for row in wanted]
    assert got["timestamps"] == [row["at"] for row in wanted]
    assert got["sha256"] == [row["sha256"] for row in wanted]
    assert anna.get(f"{url}/").json()["names"] == ["top.jpeg"]
    assert anna.get(f"{url}/none").status_code == 404
    assert anna.get(f"{url}/cam/left", params={"cursor": "x"}).status_code == 422


def test_new_frames_are_seen_at_once_and_known_ones_are_not_read_again(inside: Inside) -> None:
    """A second look reads nothing; a frame that comes is there, behind the cursor of the last."""
    anna = inside.user("anna")
    run = make_run(anna)
    index_files(anna, run, saved("cam/a.jpg", b"a", at=1.0), saved("cam/b.jpg", b"b", at=2.0))
    url = f"/api/v1/runs/{run}/frames/cam"
    first = anna.get(url).json()
    assert first["next"] is None and first["count"] == 2
    reads = frames.cameras.reads
    assert anna.get(url).json() == first and frames.cameras.reads == reads
    index_files(anna, run, saved("cam/c.jpg", b"c", at=3.0), writer="late")
    more = anna.get(url, params={"cursor": first["last"]}).json()
    assert more["names"] == ["c.jpg"] and more["count"] == 3
    nothing = anna.get(url, params={"cursor": more["last"]}).json()
    assert nothing["names"] == [] and nothing["last"] == more["last"]


@pytest.mark.parametrize("digits", [20, 30, 5000])
def test_an_id_of_too_many_digits_places_no_frame(inside: Inside, digits: int) -> None:
    """As if it were not there: the other frames of the run are shown all the same."""
    anna = inside.user("anna")
    run = make_run(anna)
    odd = saved("cam/odd.png", b"odd", at=2.0) | {"id": "9" * digits}
    index_files(anna, run, odd, saved("cam/one.png", b"one", at=1.0))
    assert anna.get(f"/api/v1/runs/{run}/frames").json()["cameras"][0]["count"] == 2
    page = anna.get(f"/api/v1/runs/{run}/frames/cam").json()
    assert page["names"] == ["one.png", "odd.png"]
    assert anna.get(f"/api/v1/runs/{run}/frames/cam?cursor={page['last']}").json()["names"] == []
