"""Hostile requests: names and paths, bodies that are too large, malformed or compressed bombs."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from ml_dash import wire
from ml_dash.server.limits import SMALL_BODY

from .inside import Inside, make_run

FRAMES = {"Content-Type": wire.FRAMES, "Content-Encoding": "gzip"}

NAMES = [
    *("..", "../..", "../../../../etc/passwd", "..\\..\\windows", "/etc/passwd", "a/../../b", "."),
    *("%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..", "%00", "a%00.jsonl", "%252e%252e", "a\\b", "C:\\x"),
    *("аdmin", "ａdmin", "team\u200b", "te\u0301am", "\u202egnp.exe", "‥/‥", "／etc", "\ufeffteam"),
    *("a" * 4000, "a/" * 2000, "'; DROP TABLE users; --", '" OR 1=1', "<script>", "$(id)", "{run}"),
    *(" ", "\t", "\r\nX-Evil: 1", "-", "%", "%zz", "\ud7ff", "🤖", "CON", "run.json", "*", "_"),
]


@pytest.fixture(scope="module")
def caller(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """An administrator, who owns the namespace `anna` and a run in it."""
    made = Inside(tmp_path_factory.mktemp("hostile") / "server")
    yield made.user("anna")
    made.close()


PLACES = [
    "/api/v1/runs/{}",
    "/api/v1/runs/{}/segments",
    "/api/v1/runs/RUN/segments/{}",
    "/api/v1/runs/RUN/streams/{}/rows",
    "/api/v1/runs/RUN/streams/{}/chart?columns=a",
    "/api/v1/runs/RUN/streams/{}/index",
    "/api/v1/runs/RUN/frames/{}",
    "/api/v1/runs/RUN/blobs/{}",
    "/api/v1/runs/RUN/files/{}",
    "/api/v1/runs/RUN/files/{}?data=true",
    "/api/v1/namespaces/{}",
    "/api/v1/namespaces/{}/projects",
    "/static/{}/page.css",
    "/static/x/{}",
]
HARMLESS = (200, 303, 307, 400, 404, 405, 422)


def held(answer: Any, name: str) -> None:
    """Nothing broke, and nothing of the machine came out."""
    assert answer.status_code in HARMLESS, (name, answer.status_code, answer.text[:300])
    assert "root:" not in answer.text, name
    assert "x-evil" not in answer.headers, name


@pytest.mark.parametrize("place", PLACES)
def test_no_name_in_an_address_leads_astray(inside: Inside, place: str) -> None:
    """Traversal, NUL, look-alikes and endless names in each parameter: an answer, never a 5xx."""
    client = inside.user("anna")
    run = make_run(client)
    for name in NAMES:
        for written in {quote(name, safe=""), quote(name, safe="/%")}:
            held(client.get(place.replace("RUN", run).format(written)), name)


def test_no_name_in_a_body_leads_astray(inside: Inside) -> None:
    """Prefixes, names of namespaces, projects, users and members, tokens: told as 4xx or taken."""
    client = inside.user("anna")
    make_run(client)
    for name in [*NAMES, "a\0b", "\x1b[31m"]:
        for path, body in (
            ("/api/v1/runs", {"prefix": name}),
            ("/api/v1/runs", {"prefix": f"anna/arm/{name}", "id": name[:100]}),
            ("/api/v1/namespaces", {"name": name}),
            ("/api/v1/namespaces/anna/projects", {"name": name}),
        ):
            answer = client.post(path, json=body)
            assert answer.status_code < 500, (name, path, answer.text[:300])
    kept = [each["name"] for each in client.get("/api/v1/namespaces").json()["namespaces"]]
    assert all(wire.check_namespace(each) for each in kept)
    stored = {each["prefix"] for each in client.get("/api/v1/runs").json()["runs"]}
    assert not [each for each in stored if {"..", ".", ""} & {*each.split("/")}]


def test_nothing_lands_outside_of_the_folder(tmp_path: Path) -> None:
    """Segments under hostile names are refused one by one, and no file appears for them."""
    inside = Inside(tmp_path / "server")
    client = inside.user("anna")
    run = make_run(client)
    paths = ["../x.jsonl", "metrics/../../x/a.jsonl", "/etc/a.jsonl", "metrics/a\0/b.jsonl"]
    paths += ["logs/../logs/a.jsonl", "metrics//a.jsonl", "logs\\a.jsonl", "files/data/a.jsonl"]
    paths += ["metrics/" + "a" * 5000 + "/b.jsonl", "logs/a.txt", ""]
    pieces = [{"segment": path, "offset": 0, "tail": 0, "size": 3} for path in paths]
    body = wire.pack({"pieces": pieces}, [b"{}\n"] * len(paths))
    answer = client.post(f"/api/v1/runs/{run}/append", content=body)
    assert [each["state"] for each in answer.json()["pieces"]] == ["refused"] * len(paths)
    assert [each.name for each in tmp_path.iterdir()] == ["server"]
    inside.close()


def bomb(size: int) -> bytes:
    """Zeros, compressed a thousandfold."""
    return gzip.compress(bytes(size), 9)


def test_a_bomb_is_given_up_before_it_unfolds(caller: TestClient) -> None:
    """256 MiB of zeros in 256 KiB: 413 for append, blobs and uploads, in memory of the limit."""
    run = make_run(caller)
    content = bomb(256 << 20)
    assert len(content) < 1 << 20
    begun = caller.post(
        f"/api/v1/runs/{run}/uploads", json={"sha256": "0" * 64, "size": 1 << 30}
    ).json()
    tracemalloc.start()
    try:
        for method, path in (
            ("POST", "append"),
            ("POST", "blobs"),
            ("PUT", f"uploads/{begun['upload']}?offset=0"),
        ):
            tracemalloc.reset_peak()
            answer = caller.request(
                method, f"/api/v1/runs/{run}/{path}", content=content, headers=FRAMES
            )
            assert (answer.status_code, answer.json()["code"]) == (413, "too_large"), path
            assert tracemalloc.get_traced_memory()[1] < wire.REQUEST_LIMIT + (24 << 20), path
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("path", ["append", "blobs"])
def test_what_is_no_gzip_is_told_so(caller: TestClient, path: str) -> None:
    """Cut short, damaged, twice compressed or of another kind: 400 or 415, never a 5xx."""
    run = make_run(caller)
    whole = gzip.compress(wire.pack({"pieces": []}, []))
    for content in (
        whole[:-4],
        whole[4:],
        b"",
        b"\x1f\x8b",
        zlib.compress(b"x"),
        gzip.compress(whole),
    ):
        answer = caller.post(f"/api/v1/runs/{run}/{path}", content=content, headers=FRAMES)
        assert answer.status_code == 400, content
    for encoding in ("br", "zstd", "deflate", "gzip, gzip", "x" * 500):
        other = {"Content-Encoding": encoding}
        answer = caller.post(f"/api/v1/runs/{run}/{path}", content=whole, headers=other)
        assert answer.status_code == 415


MALFORMED = [
    *(
        b"",
        b"\n",
        b"{}\n",
        b"[]\n",
        b"null\n",
        b'{"pieces":1}\n',
        b'{"pieces":[1]}\n',
        b"\xff\xfe\n",
    ),
    *(b'{"pieces":[{}]}\n', b'{"pieces":[{"segment":1,"offset":"x","tail":[],"size":{}}]}\n'),
    b'{"pieces":[{"segment":"logs/a.jsonl","offset":-1,"tail":0,"size":-5}]}\n',
    b'{"pieces":[{"segment":"logs/a.jsonl","offset":1e400,"tail":0,"size":3}]}\n{}\n',
    b'{"pieces":[{"segment":"logs/a.jsonl","offset":99999999999999999999,"tail":0,"size":3}]}\n{}\n',
    b'{"pieces":[{"segment":"logs/a.jsonl","offset":0,"tail":0,"size":99999999999999999999}]}\n',
    b'{"pieces":[{"sha256":"../x","size":3}]}\nabc',
    b'{"pieces":[{"sha256":1,"size":true}]}\n',
    b"[" * 100_000,
    b'{"a":' * 100_000,
]


@pytest.mark.parametrize("path", ["append", "blobs"])
def test_malformed_frames_break_nothing(caller: TestClient, path: str) -> None:
    """Headers that are none, wrong types, numbers beyond all bounds, endless nesting."""
    run = make_run(caller)
    for content in MALFORMED:
        answer = caller.post(f"/api/v1/runs/{run}/{path}", content=content)
        assert answer.status_code < 500, (content[:80], answer.text[:300])


JSON = [
    *(
        b"",
        b"{",
        b"nul",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b"9" * 10_000,
        b"NaN",
        b"\xff",
        b'"\\ud800"',
    ),
    *(
        b'{"prefix":"\\ud800"}',
        b'{"prefix":1e999}',
        b'{"prefix":"a","id":"\\u0000"}',
        b"[]",
        b"null",
    ),
    b'{"tags":["\\ud800"]}',
    b'{"metadata":{"a":NaN}}',
    b'{"metadata":{"a":"\\ud800"}}',
    b'{"metadata":{"a":"\\u0000"}}',
    b'{"metadata":{"a":' + b"9" * 400 + b"}}",
    b'{"description":"\\u0000"}',
    b'{"blobs":[{"sha256":"' + b"0" * 64 + b'","size":99999999999999999999}]}',
]


def test_malformed_json_breaks_nothing(inside: Inside) -> None:
    """Nesting, NaN, lone surrogates, NUL and huge numbers: an answer below 500 on every route."""
    client = inside.user("anna")
    run = make_run(client)
    kind = {"Content-Type": "application/json"}
    for method, path in (
        ("POST", "/api/v1/runs"),
        ("PATCH", f"/api/v1/runs/{run}"),
        ("POST", f"/api/v1/runs/{run}/blobs/missing"),
        ("POST", "/api/v1/tokens"),
        ("POST", "/api/v1/namespaces"),
    ):
        for content in JSON:
            answer = client.request(method, path, content=content, headers=kind)
            assert answer.status_code < 500, (path, content[:80], answer.text[:300])
            assert client.get(f"/api/v1/runs/{run}").status_code == 200


def test_a_body_that_is_too_large_is_not_read(caller: TestClient) -> None:
    """By what it says of its length at once, and where it says nothing, at the limit."""
    kind = {"Content-Type": "application/json", "Authorization": ""}
    told = caller.post("/api/v1/tokens", content=b" " * (SMALL_BODY + 1), headers=kind)
    assert (told.status_code, told.json()["code"]) == (413, "too_large")
    sent = 0

    def endless() -> Iterator[bytes]:
        nonlocal sent
        while sent < 64 * SMALL_BODY:
            sent += 1 << 20
            yield b" " * (1 << 20)

    assert caller.post("/api/v1/tokens", content=endless(), headers=kind).status_code == 413
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for path in ("/oauth/token", "/oauth/device_authorization", "/login"):
        assert caller.post(path, content=b"a=" + b"x" * 70_000, headers=form).status_code == 413
        many = "&".join(f"a{n}=1" for n in range(200)).encode()
        assert caller.post(path, content=many, headers=form).status_code == 400
