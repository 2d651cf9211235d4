"""Logs: searched, by level, a page at a time, without loading what nobody asked for."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_dash.reading.logs import LEVELS
from ml_dash.server.segments import chunks
from ml_dash.server.streams import logs

from .inside import Inside, send
from .recorded import count_reads, fill, line


@pytest.fixture(scope="module")
def client(lasting: Inside) -> Any:
    return lasting.user("anna")


def pages(client: Any, run: str, **query: Any) -> list[list[dict[str, Any]]]:
    """All pages of a question."""
    found: list[list[dict[str, Any]]] = []
    cursor: str | None = ""
    while cursor is not None:
        answer = client.get(f"/api/v1/runs/{run}/logs", params={**query, "cursor": cursor})
        assert answer.status_code == 200, answer.text
        assert answer.json()["next"] != cursor
        found.append(answer.json()["rows"])
        cursor = answer.json()["next"]
        assert len(found) < 1000
    return found


messages = st.fixed_dictionaries(
    {
        "timestamp": st.sampled_from([1.0, 2.0, 2.0, 3.5]),
        "level": st.sampled_from([*LEVELS, "odd"]),
        "message": st.sampled_from(["step 1", "Straße", "STEP 2", "<b>x</b>\n", 'a "quoted" one']),
    },
    optional={"fields": st.sampled_from([{"host": "lab-3"}, {"n": [1, 2]}, {}])},
)


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    parts=st.lists(st.lists(messages, min_size=1, max_size=12), min_size=1, max_size=3),
    search=st.sampled_from(["", "step", "STRASSE", "lab-3", '"quoted"', "<b>", "nothing"]),
    level=st.sampled_from(["", "info", "warn", "fatal"]),
    limit=st.integers(1, 7),
    size=st.sampled_from([80, 300, 1 << 20]),
    scanned=st.sampled_from([1, 500, 1 << 20]),
    end=st.sampled_from([None, 2.0, 3.0]),
)
def test_pages_together_are_all_messages_once_the_newest_first(
    client: Any,
    monkeypatch: pytest.MonkeyPatch,
    parts: Any,
    search: str,
    level: str,
    limit: int,
    size: int,
    scanned: int,
    end: float | None,
) -> None:
    """Several writers, equal times, small chunks, small budgets: held against a plain filter."""
    monkeypatch.setattr(chunks, "CHUNK", size)
    monkeypatch.setattr(logs.Page.__init__, "__defaults__", (scanned,))
    run, _ = fill(client, {f"logs/w{n}.jsonl": part for n, part in enumerate(parts)})
    query = {"limit": limit, "search": search, "level": level}
    got = pages(client, run, **query, **({} if end is None else {"end_time": end}))
    assert all(len(page) <= limit for page in got)
    least = ["debug", "info", "warn", "error", "fatal"].index(level) if level else 0
    ranked = [
        (row["timestamp"], rank, number, row)
        for rank, part in enumerate(parts)
        for number, row in enumerate(part)
    ]
    ranked.sort(key=lambda entry: entry[:3], reverse=True)
    wanted = [
        row
        for *_, row in ranked
        if (end is None or row["timestamp"] <= end)
        and ([*LEVELS, "odd"].index(row["level"]) >= least)
        and search.casefold() in f"{row['message']}{row.get('fields', '')}".casefold()
    ]
    assert [row for page in got for row in page] == wanted


def test_a_page_of_a_long_log_reads_only_its_end(
    client: Any, lasting: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a million messages, the newest hundred take one chunk, and the next page one at most."""
    count, part = 1_000_000, 100_000
    run, _ = fill(client, {})
    before, end = b"", 0
    for first in range(0, count, part):
        text = b"".join(
            b'{"timestamp":%d.0,"level":"info","message":"step %d","of":%b}\n'
            % (i, i, run.encode())  # chunks of the same bytes are read once in a process
            for i in range(first, first + part)
        )
        assert send(client, run, ("logs/w.jsonl", end, before, text))[0]["state"] == "taken"
        before, end = text[-4096:], end + len(text)
    read = count_reads(monkeypatch, lasting.objects)
    path = f"/api/v1/runs/{run}/logs"
    newest = client.get(path, params={"limit": 100}).json()
    assert [row["message"] for row in newest["rows"][:2]] == ["step 999999", "step 999998"]
    assert len(read) == 1
    following = client.get(path, params={"limit": 100, "cursor": newest["next"]}).json()
    assert following["rows"][0]["message"] == "step 999899" and len(read) == 1
    found = client.get(path, params={"search": "STEP 500000", "end_time": 500_010}).json()
    assert [row["timestamp"] for row in found["rows"]] == [500_000.0]


def test_a_search_that_finds_nothing_gives_short_pages_and_ends(
    client: Any, lasting: Inside, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each request goes through a bounded part of the log, and the cursor gets to the beginning."""
    monkeypatch.setattr(chunks, "CHUNK", 1000)
    monkeypatch.setattr(logs.Page.__init__, "__defaults__", (5000,))
    rows = [{"timestamp": 1.0 * i, "level": "info", "message": f"m{i}"} for i in range(1000)]
    run, _ = fill(client, {"logs/w.jsonl": rows})
    got = pages(client, run, search="nowhere")
    assert 5 < len(got) < 40 and not any(got)
    assert sum(map(len, pages(client, run, search="m7"))) == 111


def test_following_begins_behind_the_newest(client: Any) -> None:
    """With `start_time` of the newest message come that one and those that were added since."""
    rows = [{"timestamp": 1.0 * i, "level": "info", "message": f"m{i}"} for i in range(10)]
    run, _ = fill(client, {"logs/w.jsonl": rows})
    text = b"".join(map(line, rows))
    late = line({"timestamp": 10.0, "level": "error", "message": "boom"})
    send(client, run, ("logs/w.jsonl", len(text), text, late))
    answer = client.get(f"/api/v1/runs/{run}/logs", params={"start_time": 9.0}).json()
    assert [row["message"] for row in answer["rows"]] == ["boom", "m9"] and answer["next"] is None


@pytest.mark.parametrize(
    "query",
    [
        {"level": "loud"},
        {"cursor": "x"},
        {"cursor": "WyJhIiwxLDJd"},
        {"limit": 0},
        {"limit": 10**6},
        {"start_time": "nan"},
        {"search": "a" * 2000},
    ],
)
def test_wrong_questions_are_422(client: Any, query: dict[str, Any]) -> None:
    """An unknown level, a cursor that is none, bounds that are none."""
    run, _ = fill(client, {"logs/w.jsonl": [{"timestamp": 1.0, "message": "a", "level": "info"}]})
    assert client.get(f"/api/v1/runs/{run}/logs", params=query).status_code == 422


def test_a_run_without_a_log_has_an_empty_one(client: Any) -> None:
    """No messages, no next page, and no error."""
    run, _ = fill(client, {})
    assert client.get(f"/api/v1/runs/{run}/logs").json() == {"rows": [], "next": None}


def test_a_search_reads_what_a_terminal_shows(client: Any) -> None:
    """Codes for colours neither part the words that are searched for, nor are found themselves."""
    rows = [
        {"timestamp": 1.0, "message": "\x1b[1mbold 256\x1b[0m true \x1b[38;5;208mcolour\x1b[0m"},
        {"timestamp": 2.0, "message": "plain", "fields": {"said": "a \x1b[31mred\x1b[0m word"}},
        {
            "timestamp": 3.0,
            "message": "\x1b]0;title\x07see \x1b]8;;http://a\x1b\\here\x1b]8;;\x1b\\",
        },
    ]
    run, _ = fill(client, {"logs/w.jsonl": rows})
    for search, found in {
        "bold 256 true colour": [1.0],
        "a red word": [2.0],
        "see here": [3.0],
        "[1m": [],
        "title": [],
        "\\u001b": [],
    }.items():
        assert [
            row["timestamp"] for page in pages(client, run, search=search) for row in page
        ] == found
