"""Contents of files: sent, asked about, and given to nobody else."""

from __future__ import annotations

import threading
from typing import Any

import orjson
import pytest

from ml_dash import wire
from ml_dash.server.blobs import content
from ml_dash.server.tables import Blob

from .inside import Inside, make_run
from .recorded import index_files, saved, sha, store

BIG = bytes(range(256)) * 20_000  # 5 MB: more than is held of it at a time


def test_small_contents_come_back_as_they_were(inside: Inside) -> None:
    """Many in one request, an empty one and one twice among them; sent again, none is new."""
    anna = inside.user("anna")
    run = make_run(anna)
    contents = [b"", b"a", b"b" * 5000, b"a", bytes(range(256))]
    assert store(anna, run, *contents).json() == {"stored": 4}
    assert store(anna, run, *contents).json() == {"stored": 0}
    for one in contents:
        answer = anna.get(f"/api/v1/runs/{run}/blobs/{sha(one)}")
        assert answer.status_code == 200 and answer.content == one
    assert len(list(inside.objects.list(f"runs/{run}/blobs"))) == 1


def test_one_wrong_content_and_none_is_stored(inside: Inside) -> None:
    """A hash that is not that of the bytes is 422 with the code `differs`."""
    anna = inside.user("anna")
    run = make_run(anna)
    pieces = [{"sha256": sha(b"a"), "size": 1}, {"sha256": sha(b"x"), "size": 1}]
    body = wire.pack({"pieces": pieces}, [b"a", b"b"])
    answer = anna.post(f"/api/v1/runs/{run}/blobs", content=body)
    assert answer.status_code == 422 and answer.json()["code"] == "differs"
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(b'a')}").status_code == 404
    assert list(inside.objects.list(f"runs/{run}")) == []


@pytest.mark.parametrize("piece", [{"size": 1}, {"sha256": 5, "size": 1}, 7, None, [], "x"])
def test_malformed_pieces_are_the_clients_fault(inside: Inside, piece: Any) -> None:
    """Whatever stands in place of a piece, the answer is 400 or 422."""
    anna = inside.user("anna")
    run = make_run(anna)
    body = orjson.dumps({"pieces": [piece]}) + b"\na"
    assert anna.post(f"/api/v1/runs/{run}/blobs", content=body).status_code in (400, 422)


def test_a_hash_alone_gives_nobody_a_content(inside: Inside) -> None:
    """Bert knows the hash of Anna's secret: it is missing for him, and naming it opens nothing."""
    anna, bert = inside.user("anna"), inside.user("bert")
    hers, his = make_run(anna), make_run(bert)
    secret = b"the secret weights" * 100
    store(anna, hers, secret)
    index_files(anna, hers, saved("model.pt", secret))
    asked = {"blobs": [{"sha256": sha(secret), "size": len(secret)}]}
    told = bert.post(f"/api/v1/runs/{his}/blobs/missing", json=asked).json()
    assert (
        told
        == bert.post(
            f"/api/v1/runs/{his}/blobs/missing",
            json={"blobs": [{"sha256": sha(secret), "size": 1}]},
        ).json()
    )
    assert told == {"missing": [sha(secret)]}
    index_files(bert, his, saved("stolen.pt", secret))
    for path in (
        f"runs/{his}/files/stolen.pt",
        f"runs/{his}/blobs/{sha(secret)}",
        f"runs/{hers}/blobs/{sha(secret)}",
        f"runs/{hers}/files/model.pt",
    ):
        assert bert.get(f"/api/v1/{path}").status_code == 404
    (file,) = bert.get(f"/api/v1/runs/{his}/files").json()["files"]
    assert file["stored"] is False
    batch = bert.get(f"/api/v1/runs/{his}/blobs/batch", params={"sha256": sha(secret)})
    assert wire.unpack(batch.content)[0] == {"pieces": []}
    begun = bert.post(f"/api/v1/runs/{his}/uploads", json=asked["blobs"][0]).json()
    assert begun["offset"] == 0
    done = bert.post(f"/api/v1/runs/{his}/uploads/{begun['upload']}/complete")
    assert done.status_code == 409
    other = make_run(anna, "demo/other")
    assert anna.get(f"/api/v1/runs/{other}/blobs/{sha(secret)}").status_code == 404


def test_a_content_of_two_runs_outlives_one_of_them(inside: Inside) -> None:
    """Deleting a run takes its own copy alone."""
    anna = inside.user("anna")
    one, two = make_run(anna, "demo/one"), make_run(anna, "demo/two")
    store(anna, one, b"shared")
    store(anna, two, b"shared")
    assert anna.delete(f"/api/v1/runs/{one}").status_code == 204
    assert anna.get(f"/api/v1/runs/{one}/blobs/{sha(b'shared')}").status_code == 404
    assert anna.get(f"/api/v1/runs/{two}/blobs/{sha(b'shared')}").content == b"shared"


def test_two_who_send_one_content_at_once_store_it_once(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are answered well, one object is left, and it is the content."""
    anna = inside.user("anna")
    run = make_run(anna)
    pieces = [{"sha256": sha(BIG), "size": len(BIG)}]
    both = threading.Barrier(2)
    real = inside.objects.put
    monkeypatch.setattr(
        inside.objects, "put", lambda key, data: (both.wait(20), real(key, data))[1]
    )
    stored: list[int] = []

    def send() -> None:
        stored.append(
            content.store_small(
                inside.data, inside.objects, run, pieces, [memoryview(BIG)], inside.now
            )
        )

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(stored) == [0, 1]
    assert len(list(inside.objects.list(f"runs/{run}"))) == 1
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(BIG)}").content == BIG


def test_several_contents_come_in_one_answer(inside: Inside) -> None:
    """In the order asked for; complete, it is kept for ever; what is not there is left out."""
    anna = inside.user("anna")
    run = make_run(anna)
    store(anna, run, b"one", b"two", b"")
    url = f"/api/v1/runs/{run}/blobs/batch"
    hashes = [sha(b"two"), sha(b""), sha(b"one")]
    answer = anna.get(url, params={"sha256": ",".join(hashes)})
    header, parts = wire.unpack(answer.content)
    assert [piece["sha256"] for piece in header["pieces"]] == hashes
    assert [bytes(part) for part in parts] == [b"two", b"", b"one"]
    assert "immutable" in answer.headers["cache-control"]
    less = anna.get(url, params={"sha256": f"{sha(b'none')},{hashes[0]}"})
    assert [bytes(part) for part in wire.unpack(less.content)[1]] == [b"two"]
    assert less.headers["cache-control"] == "no-store"
    for wrong in ("", "x", ",".join([hashes[0]] * 65)):
        assert anna.get(url, params={"sha256": wrong}).status_code == 422


def test_a_batch_is_bounded_by_bytes(inside: Inside) -> None:
    """More than 16 MiB are refused before any is read."""
    anna = inside.user("anna")
    run = make_run(anna)
    made = [bytes([number]) * (5 << 20) for number in range(4)]
    for one in made:
        store(anna, run, one)
    hashes = ",".join(map(sha, made))
    answer = anna.get(f"/api/v1/runs/{run}/blobs/batch", params={"sha256": hashes})
    assert answer.status_code == 413


def test_a_content_that_the_store_lost_is_no_defect_of_ours(inside: Inside) -> None:
    """Deleted between the look and the read, it is 404."""
    anna = inside.user("anna")
    run = make_run(anna)
    store(anna, run, b"gone")
    with inside.data.reading() as session:
        blob = session.get_one(Blob, (run, sha(b"gone")))
    inside.objects.delete(blob.parts)
    assert anna.get(f"/api/v1/runs/{run}/blobs/{sha(b'gone')}").status_code == 404
    batch = anna.get(f"/api/v1/runs/{run}/blobs/batch", params={"sha256": sha(b"gone")})
    assert wire.unpack(batch.content)[0] == {"pieces": []}
