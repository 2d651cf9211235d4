"""Contents as they are sent: ranges, versions, and nothing that a browser would run."""

from __future__ import annotations

from typing import Any

import pytest

from ml_dash.server.blobs.answers import disposition
from ml_dash.wire import unpack

from .inside import Inside, make_run
from .recorded import index_files, saved, sha, store

BIG = bytes(range(256)) * 20_000  # 5 MB: more than is held of it at a time
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'


@pytest.mark.parametrize(
    ("header", "status", "begin", "end"),
    [
        ("bytes=0-0", 206, 0, 1),
        ("bytes=10-19", 206, 10, 20),
        ("Bytes=10-", 206, 10, None),
        ("bytes=-7", 206, -7, None),
        ("bytes=-99999999", 206, 0, None),
        ("bytes=5-99999999", 206, 5, None),
        ("bytes=9-5", 200, 0, None),
        ("bytes=0-1,5-6", 200, 0, None),
        ("lines=0-1", 200, 0, None),
        ("bytes=-", 200, 0, None),
        ("bytes=a-b", 200, 0, None),
    ],
)
def test_ranges_are_those_of_the_standard(
    inside: Inside, header: str, status: int, begin: int, end: int | None
) -> None:
    """One range of bytes is given; what cannot be understood is ignored, as RFC 9110 has it."""
    anna = inside.user("anna")
    run = make_run(anna)
    store(anna, run, BIG)
    url = f"/api/v1/runs/{run}/blobs/{sha(BIG)}"
    answer = anna.get(url, headers={"Range": header})
    assert answer.status_code == status and answer.content == BIG[begin:end]
    assert answer.headers["content-length"] == str(len(answer.content))
    if status == 206:
        first = begin if begin >= 0 else len(BIG) + begin
        last = first + len(answer.content) - 1
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{len(BIG)}"


def test_a_range_behind_the_end_is_416_and_tells_the_end(inside: Inside) -> None:
    """Also the last no bytes, and any range of an empty content."""
    anna = inside.user("anna")
    run = make_run(anna)
    store(anna, run, b"12345", b"")
    for body, header in ((b"12345", "bytes=5-"), (b"12345", "bytes=-0"), (b"", "bytes=0-")):
        url = f"/api/v1/runs/{run}/blobs/{sha(body)}"
        answer = anna.get(url, headers={"Range": header})
        assert answer.status_code == 416 and answer.json()["code"] == "no_such_range"
        assert answer.headers["content-range"] == f"bytes */{len(body)}"


def test_whoever_has_a_content_is_not_sent_it_again(inside: Inside) -> None:
    """If-None-Match gives 304; If-Range gives the range of this version, else all of it."""
    anna = inside.user("anna")
    run = make_run(anna)
    store(anna, run, b"0123456789")
    url = f"/api/v1/runs/{run}/blobs/{sha(b'0123456789')}"
    tag = anna.get(url).headers["etag"]
    for given in (tag, f'"other", W/{tag}', "*"):
        answer = anna.get(url, headers={"If-None-Match": given, "Range": "bytes=0-1"})
        assert answer.status_code == 304 and answer.headers["etag"] == tag
    assert anna.get(url, headers={"If-None-Match": '"other"'}).status_code == 200
    part = anna.get(url, headers={"If-Range": tag, "Range": "bytes=2-3"})
    assert part.status_code == 206 and part.content == b"23"
    for other in ('"other"', f"W/{tag}", "Wed, 21 Oct 2026 07:28:00 GMT"):
        answer = anna.get(url, headers={"If-Range": other, "Range": "bytes=2-3"})
        assert answer.status_code == 200 and answer.content == b"0123456789"


def test_the_head_of_a_content_says_how_long_it_is(
    inside: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """HEAD answers as GET does without a body, and reads nothing; of files, too."""
    anna = inside.user("anna")
    run = make_run(anna)
    store(anna, run, BIG)
    index_files(anna, run, saved("a.bin", BIG))
    monkeypatch.setattr(inside.objects, "get", lambda *given: pytest.fail("it was read"))
    for path in (f"blobs/{sha(BIG)}", "files/a.bin"):
        answer = anna.head(f"/api/v1/runs/{run}/{path}")
        assert answer.status_code == 200 and answer.content == b""
        assert answer.headers["content-length"] == str(len(BIG))
        assert answer.headers["etag"] == f'"{sha(BIG)}"'
    assert anna.head(f"/api/v1/runs/{run}/blobs/{sha(b'none')}").status_code == 404


@pytest.mark.parametrize(
    ("kind", "shown"),
    [
        ("image/png", True),
        ("IMAGE/JPEG; q=1", True),
        ("image/svg+xml", False),
        ("text/html", False),
        ("text/html,image/png", False),
        ("application/xhtml+xml", False),
        ("image/png\r\nX-Evil: 1", False),
        ("application/pdf", False),
        ("text/plain", False),
        (["image/png"], False),
        (None, False),
    ],
)
def test_only_images_of_pixels_are_shown(inside: Inside, kind: Any, shown: bool) -> None:
    """All else is saved; in any case no type is guessed, and no script would run."""
    anna = inside.user("anna")
    run = make_run(anna)
    store(anna, run, SVG)
    index_files(anna, run, saved("a.svg", SVG, content_type=kind))
    answers = [anna.get(f"/api/v1/runs/{run}/files/a.svg")]
    if isinstance(kind, str):
        answers.append(anna.get(f"/api/v1/runs/{run}/blobs/{sha(SVG)}", params={"type": kind}))
    for answer in answers:
        assert answer.status_code == 200 and answer.content == SVG
        way, given = answer.headers["content-disposition"], answer.headers["content-type"]
        assert way.startswith("inline;" if shown else "attachment;")
        assert given.startswith("image/") == shown and "svg" not in given and "html" not in given
        assert answer.headers["x-content-type-options"] == "nosniff"
        policy = answer.headers["content-security-policy"]
        assert "sandbox" in policy and "default-src 'none'" in policy
        assert "x-evil" not in answer.headers
    assert "immutable" not in answers[0].headers["cache-control"]
    if len(answers) > 1:
        assert "immutable" in answers[1].headers["cache-control"]
        assert "private" in answers[1].headers["cache-control"]


@pytest.mark.parametrize(
    "name",
    [
        "<script>alert(1)</script>.png",
        'a"; filename="b.exe',
        "line\r\nSet-Cookie: a=b",
        "tab\tbell\a.txt",
        "größe 图.bin",
        "\ud800half.bin",
        "a;b,c=d%41.txt",
        "." * 200,
        "x" * 240,
    ],
)
def test_any_name_of_a_file_is_a_harmless_header(name: str) -> None:
    """Neither a quote nor a line's end nor a half character gets out of it."""
    header = disposition(f"deep/{name}")
    header.encode("ascii")
    plain = header.split("filename=")[1].split(";")[0]
    assert plain.startswith('"') and plain.endswith('"') and '"' not in plain[1:-1]
    assert not any(ord(char) < 32 for char in header) and header.count(";") == 2
    assert header.startswith("attachment; ") and len(header) < 2500


@pytest.mark.parametrize("path", ["blobs/{sha256}", "files/a.bin"])
def test_a_content_that_the_store_has_cut_off_is_lost(inside: Inside, path: str) -> None:
    """It will not be there later either, so nobody is asked to come back for it."""
    client, content = inside.user("anna"), b"0123456789" * 10
    run = make_run(client)
    assert store(client, run, content).status_code == 200
    index_files(client, run, saved("a.bin", content))
    (key,) = [key for key, _, _ in inside.objects.list(f"runs/{run}/blobs/")]
    inside.objects.put(key, content[:30])
    answer = client.get(f"/api/v1/runs/{run}/{path.format(sha256=sha(content))}")
    assert (answer.status_code, answer.json()["code"]) == (500, "lost"), answer.text
    batch = client.get(f"/api/v1/runs/{run}/blobs/batch?sha256={sha(content)}")
    assert batch.status_code == 200 and unpack(batch.content)[0] == {"pieces": []}
