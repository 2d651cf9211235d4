"""What users upload stays bytes: no page, no script, no picture that the server unfolds."""

from __future__ import annotations

import hashlib
import json
import logging
import struct
import subprocess
import sys
import zlib
from urllib.parse import quote

import pytest
from fastapi.testclient import TestClient

from ml_dash import wire
from ml_dash.server.blobs.answers import disposition
from ml_dash.server.headers import DEFAULTS
from ml_dash.server.serving import JsonLines

from .inside import Inside, make_run, send

SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
PAGE = b"<!doctype html><script>alert(document.cookie)</script>"
MARKUP = "<script>alert(1)</script>\u2028</script><img src=x onerror=alert(1)>\x1b[2J"


def put(client: TestClient, run: str, path: str, content: bytes, kind: str) -> str:
    """Upload a file as the client does: its content, then its row in the index."""
    sha256 = hashlib.sha256(content).hexdigest()
    body = wire.pack({"pieces": [{"sha256": sha256, "size": len(content)}]}, [content])
    stored = client.post(f"/api/v1/runs/{run}/blobs", content=body)
    assert stored.status_code == 200, stored.text
    row = {"timestamp": 1.0, "path": path, "data": path, "size": len(content), "sha256": sha256}
    line = json.dumps(row | {"content_type": kind, "op": "save"}).encode() + b"\n"
    name = hashlib.sha256(path.encode()).hexdigest()[:16]
    taken = send(client, run, (f"files/index/{name}.jsonl", 0, b"", line))
    assert taken[0]["state"] == "taken"
    return sha256


@pytest.mark.parametrize(
    ("path", "content", "kind"),
    [
        ("plot.svg", SVG, "image/svg+xml"),
        ("page.html", PAGE, "text/html; charset=utf-8"),
        ("page.xhtml", PAGE, "application/xhtml+xml"),
        ("code.js", b"alert(1)", "text/javascript"),
        ("doc.pdf", b"%PDF-1.7", "application/pdf"),
        ("odd", PAGE, 'text/html"\r\nX-Evil: 1'),
        ("lie.png", PAGE, "image/png"),
        ('na"me\u202e;.html', PAGE, "text/html"),
    ],
)
def test_no_file_is_ever_a_page(inside: Inside, path: str, content: bytes, kind: str) -> None:
    """Attachment, nosniff, a policy that allows nothing, and no type that a browser would run."""
    client = inside.user("anna")
    run = make_run(client)
    sha256 = put(client, run, path, content, kind)
    for url in (f"files/{quote(path)}", f"blobs/{sha256}", f"blobs/{sha256}?type={quote(kind)}"):
        answer = client.get(f"/api/v1/runs/{run}/{url}")
        assert answer.content == content, url
        headers = answer.headers
        assert headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "sandbox" in policy
        assert "x-evil" not in headers
        told = headers["content-type"].partition(";")[0]
        assert told in ("application/octet-stream", "image/png"), (url, told)
        inline = not headers.get("content-disposition", "").startswith("attachment")
        assert not inline or told == "image/png", url


def test_a_name_cannot_add_a_header() -> None:
    """Line ends and quotes of a file's name are gone from the header that tells it."""
    told = disposition('a/na"me\r\nX-Evil: 1;.html')
    assert told.startswith('attachment; filename="na_meX-Evil_ 1_.html"')
    assert not [char for char in told if not " " <= char <= "~"]


def test_markup_in_logs_is_text_to_whoever_reads_it(inside: Inside) -> None:
    """As JSON, with nosniff and a policy that allows nothing: no browser takes it for a page."""
    client = inside.user("anna")
    run = make_run(client)
    line = json.dumps({"timestamp": 1.0, "level": "info", "message": MARKUP}).encode() + b"\n"
    send(client, run, ("logs/w.jsonl", 0, b"", line))
    for path in ("logs", "logs?search=script", "streams/logs/rows", "segments/logs/w.jsonl"):
        answer = client.get(f"/api/v1/runs/{run}/{path}")
        assert answer.status_code == 200, path
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in ("application/json", "application/x-ndjson", "application/octet-stream")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["content-security-policy"] == DEFAULTS["Content-Security-Policy"]
    assert client.get(f"/api/v1/runs/{run}/logs").json()["rows"][0]["message"] == MARKUP


def test_markup_in_an_address_is_text_in_its_error(inside: Inside) -> None:
    """Errors repeat what was asked for, as problem+json alone, on pages too."""
    client = inside.user("anna")
    for path in ("/%3Cscript%3E", "/api/v1/runs/%3Cscript%3E", "/static/x/%3Cscript%3E.js"):
        answer = client.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_markup_in_the_log_of_the_server_cannot_make_a_line() -> None:
    """A record is one JSON object on one line whatever is in it."""
    text = MARKUP + '\n{"level": "error", "message": "forged"}'
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s", (text,), None)
    lines = JsonLines().format(record).splitlines()
    assert len(lines) == 1
    assert json.loads(lines[0])["message"] == text


def png(width: int, height: int) -> bytes:
    """A PNG whose header says that it is so large; there is hardly anything in it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    data = zlib.compress(bytes(1 << 20), 9)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")
    )


def test_a_picture_of_four_billion_pixels_is_bytes_like_any_other(inside: Inside) -> None:
    """It is taken, listed and given back; nothing looks into it."""
    client = inside.user("anna")
    run = make_run(client)
    content = png(65_535, 65_535)
    sha256 = put(client, run, "camera/0.png", content, "image/png")
    for path in (f"blobs/{sha256}?type=image/png", "files/camera/0.png"):
        assert client.get(f"/api/v1/runs/{run}/{path}").content == content
    assert client.get(f"/api/v1/runs/{run}/frames").status_code == 200
    assert client.get(f"/api/v1/runs/{run}/frames/camera").json()["count"] == 1


def test_the_server_has_no_decoder_of_pictures() -> None:
    """Pillow, OpenCV and the like are not even loaded by the application and all its routes."""
    code = (
        "import sys\n"
        "from ml_dash.server.app import create_app\n"
        "from ml_dash.server.settings import ServerSettings\n"
        "create_app(ServerSettings(database='sqlite://', store='memory://'))\n"
        "print([n for n in ('PIL', 'cv2', 'imageio', 'av') if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_answer_has_the_headers_that_keep_browsers_still(inside: Inside) -> None:
    """Answers, errors of all kinds, redirects and the style: none goes without."""
    client = inside.user("anna")
    asked = [client.get(path) for path in ("/api/v1/me", "/nowhere", "/style.css", "/login")]
    asked += [client.get("/api/v1/runs/1"), client.post("/api/v1/runs", content=b"{")]
    asked += [client.get("/account", follow_redirects=False), client.put("/login")]
    asked += [client.get("/api/v1/me", headers={"Authorization": "x"}), client.get("/%00")]
    assert {answer.status_code for answer in asked} == {200, 303, 400, 401, 404, 405, 422}
    for answer in asked:
        for name in DEFAULTS:
            assert name in answer.headers, (answer.url, name)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
