"""Large files on their way: in parts, resumed, checked, abandoned."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from ml_dash.server.blobs import content, uploads

from .inside import Inside, make_run
from .recorded import sha, store

PART = 1000


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 1,000 bytes, so that a few KB are a large file."""
    monkeypatch.setattr(uploads, "PART_SIZE", PART)


def begin(client: Any, run: str, body: bytes, size: int | None = None) -> Any:
    about = {"sha256": sha(body), "size": len(body) if size is None else size}
    answer = client.post(f"/api/v1/runs/{run}/uploads", json=about)
    assert answer.status_code == 200, answer.text
    return answer.json()


def put(client: Any, run: str, upload: str, at: int, part: bytes) -> Any:
    url = f"/api/v1/runs/{run}/uploads/{upload}"
    return client.put(url, params={"offset": at}, content=part)


def finish(client: Any, run: str, upload: str) -> Any:
    return client.post(f"/api/v1/runs/{run}/uploads/{upload}/complete")


def send(client: Any, run: str, upload: str, body: bytes, at: int = 0) -> None:
    for place in range(at, len(body), PART):
        assert put(client, run, upload, place, body[place : place + PART]).status_code == 200


def test_a_file_in_parts_comes_back_whole_and_by_range(inside: Inside) -> None:
    """Also across the borders of parts; completing it again does nothing more."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = bytes(range(250)) * 13 + b"end"
    upload = begin(anna, run, body)
    assert upload["offset"] == 0 and upload["part_size"] == PART
    send(anna, run, upload["upload"], body)
    for _ in range(2):
        assert finish(anna, run, upload["upload"]).json() == {"sha256": sha(body)}
    url = f"/api/v1/runs/{run}/blobs/{sha(body)}"
    assert anna.get(url).content == body
    assert anna.get(url, headers={"Range": "bytes=990-2010"}).content == body[990:2011]
    assert begin(anna, run, body)["offset"] == len(body)


def test_an_upload_goes_on_where_it_stood(inside: Inside) -> None:
    """Begun again it says where; a part that comes twice, or too early, is not taken twice."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = b"ab" * 1500
    upload = begin(anna, run, body)["upload"]
    assert put(anna, run, upload, 0, body[:PART]).json() == {"offset": PART}
    assert put(anna, run, upload, 0, body[:PART]).json() == {"offset": PART}
    assert put(anna, run, upload, 2000, body[2000:]).json() == {"offset": PART}
    again = begin(anna, run, body)
    assert again["upload"] == upload and again["offset"] == PART
    answer = finish(anna, run, upload)
    assert answer.status_code == 409 and answer.json()["offset"] == PART
    send(anna, run, upload, body, at=PART)
    assert finish(anna, run, upload).status_code == 200
    assert len(list(inside.objects.list(f"runs/{run}/parts"))) == 3


@pytest.mark.parametrize("size", [0, 1, PART - 1, PART + 1])
def test_a_part_of_another_length_is_refused(inside: Inside, size: int) -> None:
    """Every part but the last is of one size, and the last ends where the file does."""
    anna = inside.user("anna")
    run = make_run(anna)
    upload = begin(anna, run, b"x" * 2500)["upload"]
    assert put(anna, run, upload, 0, b"x" * size).status_code == 422
    send(anna, run, upload, b"x" * 2000)
    assert put(anna, run, upload, 2000, b"x" * (size + 501)).status_code == 422
    assert put(anna, run, upload, 2500, b"more").json() == {"offset": 2000}


def test_a_file_with_another_hash_is_dropped(inside: Inside) -> None:
    """It is 422 with the code `differs`, nothing is left of it, and it can be sent anew."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = b"right" * 300
    upload = begin(anna, run, body)["upload"]
    send(anna, run, upload, b"wrong" * 300)
    answer = finish(anna, run, upload)
    assert answer.status_code == 422 and answer.json()["code"] == "differs"
    assert finish(anna, run, upload).status_code == 404
    assert list(inside.objects.list(f"runs/{run}")) == []
    fresh = begin(anna, run, body)
    assert fresh["upload"] != upload and fresh["offset"] == 0
    send(anna, run, fresh["upload"], body)
    assert finish(anna, run, fresh["upload"]).status_code == 200


@pytest.mark.parametrize("left", [None, 300])
def test_an_upload_that_the_store_has_lost_of_is_begun_anew(
    inside: Inside, left: int | None
) -> None:
    """A part is gone, or cut: whoever completes it is sent back to the beginning."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = bytes(range(250)) * 10
    upload = begin(anna, run, body)["upload"]
    send(anna, run, upload, body)
    part = min(key for key, _, _ in inside.objects.list(f"runs/{run}/parts"))
    inside.objects.delete([part])
    if left is not None:
        inside.objects.put(part, body[:left])
    assert finish(anna, run, upload).status_code == 404
    fresh = begin(anna, run, body)
    assert fresh["upload"] != upload and fresh["offset"] == 0
    send(anna, run, fresh["upload"], body)
    assert finish(anna, run, fresh["upload"]).status_code == 200
    assert len(list(inside.objects.list(f"runs/{run}/parts"))) == 3


def test_a_part_larger_than_any_is_not_read(inside: Inside) -> None:
    """More than 8 MiB in one request are 413."""
    anna = inside.user("anna")
    run = make_run(anna)
    upload = begin(anna, run, b"x" * 2500)["upload"]
    assert put(anna, run, upload, 0, bytes(9 << 20)).status_code == 413


def test_two_who_complete_at_once_make_one_content(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are answered well, and the content is whole."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = b"z" * 1234
    upload = begin(anna, run, body)["upload"]
    send(anna, run, upload, body)
    both = threading.Barrier(2)
    monkeypatch.setattr(
        uploads, "iterate_parts", lambda *given: (both.wait(20), content.iterate_parts(*given))[1]
    )
    found: list[str] = []

    def complete() -> None:
        found.append(uploads.complete(inside.data, inside.objects, run, upload, inside.now))

    threads = [threading.Thread(target=complete) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [sha(body)] * 2
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(body)}").content == body


def test_an_upload_meets_the_same_content_sent_another_way(inside: Inside) -> None:
    """Completed, it lets go of its own parts, and the content stays."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = b"w" * 1500
    upload = begin(anna, run, body)["upload"]
    send(anna, run, upload, body)
    store(anna, run, body)
    assert finish(anna, run, upload).status_code == 200
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(body)}").content == body


def test_what_nobody_goes_on_with_is_swept_away(inside: Inside) -> None:
    """Two days without a part, and the next upload of anybody takes its objects away."""
    anna = inside.user("anna")
    run = make_run(anna)
    old = begin(anna, run, b"o" * 2500)["upload"]
    send(anna, run, old, b"o" * 2000)
    done = begin(anna, run, b"d" * 1500)["upload"]
    send(anna, run, done, b"d" * 1500)
    finish(anna, run, done)
    inside.now += uploads.STALE - 1
    live = begin(anna, run, b"l" * 2500)["upload"]
    assert put(anna, run, old, 2000, b"").status_code == 422
    inside.now += 2
    begin(anna, run, b"another")
    assert put(anna, run, old, 2000, b"o" * 500).status_code == 404
    assert put(anna, run, live, 0, b"l" * PART).status_code == 200
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(b'd' * 1500)}").content == b"d" * 1500
    assert len(list(inside.objects.list(f"runs/{run}/parts"))) == 3


def test_an_upload_belongs_to_its_run(inside: Inside) -> None:
    """Neither another's nor one's own other run can add to it, complete it, or learn of it."""
    anna, bert = inside.user("anna"), inside.user("bert")
    hers, other, his = make_run(anna), make_run(anna, "demo/other"), make_run(bert)
    upload = begin(anna, hers, b"h" * 1500)["upload"]
    for client, run in ((anna, other), (bert, his), (bert, hers)):
        assert put(client, run, upload, 0, b"x" * PART).status_code == 404
        assert finish(client, run, upload).status_code == 404
    assert begin(bert, his, b"h" * 1500)["upload"] != upload


@pytest.mark.parametrize("upload", ["0", "x", "99999999999999999999999", "१", "-1"])
def test_an_upload_that_is_none_is_404(inside: Inside, upload: str) -> None:
    """Whatever stands in its place."""
    anna = inside.user("anna")
    run = make_run(anna)
    assert put(anna, run, upload, 0, b"x").status_code == 404
    assert finish(anna, run, upload).status_code == 404


@pytest.mark.parametrize(
    "about",
    [
        {"sha256": "x", "size": 1},
        {"sha256": "A" * 64, "size": 1},
        {"sha256": "a" * 64, "size": -1},
        {"sha256": "a" * 64, "size": 2**63},
        {"sha256": "a" * 64, "size": (1 << 40) + 1},
        {"sha256": "a" * 64},
    ],
)
def test_a_wrong_announcement_is_refused(inside: Inside, about: dict[str, Any]) -> None:
    """A hash that is none, a size below nothing or beyond a TiB."""
    anna = inside.user("anna")
    run = make_run(anna)
    answer = anna.post(f"/api/v1/runs/{run}/uploads", json=about)
    assert answer.status_code in (413, 422)


def test_an_upload_is_begun_anew_in_smaller_parts(inside: Inside) -> None:
    """For a proxy that takes less; what had come is dropped, and the content is whole."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = bytes(range(250)) * 9
    first = begin(anna, run, body)
    send(anna, run, first["upload"], body[:PART])
    about = {"sha256": sha(body), "size": len(body), "part_size": 300}
    smaller = anna.post(f"/api/v1/runs/{run}/uploads", json=about).json()
    assert smaller == {"upload": first["upload"], "offset": 0, "part_size": 300}
    for at in range(0, len(body), 300):
        assert put(anna, run, smaller["upload"], at, body[at : at + 300]).status_code == 200
    assert finish(anna, run, smaller["upload"]).status_code == 200
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(body)}").content == body
    keys = [key for key, _, _ in inside.app.state.store.list(f"runs/{run}")]
    assert len(keys) == -(-len(body) // 300), "the dropped part is gone from the store"
    assert anna.get(f"/api/v1/runs/{run}/lost").json()["count"] == 0


def test_a_large_part_that_is_on_its_way_is_none_of_smaller_ones(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two clients of one file: the first part of one comes when the other has begun anew."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = bytes(range(250)) * 9
    first = begin(anna, run, body)
    store = inside.app.state.store
    real, about = store.put, {"sha256": sha(body), "size": len(body), "part_size": 300}

    def late(key: str, data: bytes) -> None:
        real(key, data)
        assert anna.post(f"/api/v1/runs/{run}/uploads", json=about).json()["part_size"] == 300

    with monkeypatch.context() as patched:
        patched.setattr(store, "put", late)
        assert put(anna, run, first["upload"], 0, body[:PART]).json()["offset"] == 0
    for at in range(0, len(body), 300):
        assert put(anna, run, first["upload"], at, body[at : at + 300]).status_code == 200
    assert finish(anna, run, first["upload"]).status_code == 200
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(body)}").content == body


def test_an_upload_has_ten_thousand_small_parts_at_most(inside: Inside) -> None:
    """Of parts of the usual size it may have more."""
    anna = inside.user("anna")
    run = make_run(anna)
    about = {"sha256": "a" * 64, "size": 10_000 * 300 + 1, "part_size": 300}
    refused = anna.post(f"/api/v1/runs/{run}/uploads", json=about)
    assert (refused.status_code, refused.json()["code"]) == (422, "parts")
    about["part_size"] = PART
    assert anna.post(f"/api/v1/runs/{run}/uploads", json=about).status_code == 200
