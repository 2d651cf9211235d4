"""`ml-dash list` and `ml-dash show`."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli_process import CommandLine, command, environ, experiment, killed_run

from ml_dash.cli.overview import seconds_of
from ml_dash.cli.text import width
from ml_dash.reading.status import Session

ESCAPES = re.compile(r"\x1b\[[0-9;]*[mK]")


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line below an empty root."""
    return CommandLine(tmp_path, capsys)


def record(root: Path, prefix: str = "robotics/arm", rows: int = 50, **options: Any) -> None:
    """A run with something of everything."""
    with experiment(prefix, root, **options).run as run:
        run.params.set(lr=1e-3, model={"layers": 4}, gain=float("inf"))
        run.log("started")
        for step in range(rows):
            run.track("robot/Position").append({"step": step, "x": 0.5}, timestamp=step / 10)
            run.metrics("train").log(step=step, loss=0.5)
        run.files("models").save_text("weights", to="best/a.txt")
        run.files("models").save_text("weights", to="best/b.txt")
        run.files().save_text("top", to="top.txt")


def forge(root: Path, prefix: str, *rows: dict[str, Any]) -> Path:
    """A run whose rows of the stream `run` are as given; its folder."""
    folder = root / prefix
    (folder / "run").mkdir(parents=True)
    lines = "".join(f"{json.dumps(row)}\n" for row in rows)
    (folder / "run" / "abcdefghijkl.jsonl").write_text(lines)
    return folder


def on_terminal(columns: int, *arguments: object, **variables: str) -> list[str]:
    """The lines that a command prints on a terminal of that width."""
    import fcntl
    import termios

    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    with subprocess.Popen(
        command(*arguments), env=environ(**variables), stdout=theirs, stderr=subprocess.DEVNULL
    ) as running:
        os.close(theirs)
        data = b""
        try:
            while piece := os.read(ours, 1 << 16):
                data += piece
        except OSError:
            pass  # how Linux tells that the other end is closed
        os.close(ours)
    assert running.returncode == 0
    return data.decode().replace("\r\n", "\n").splitlines()


def test_list_shows_each_run_on_a_line(cli: CommandLine) -> None:
    """Status, prefix and tags of each; the run that started last comes first."""
    record(cli.root, tags=["lab", "left arm"])
    with pytest.raises(RuntimeError), experiment("robotics/leg", cli.root).run:
        raise RuntimeError("boom")
    done = cli("list")
    assert (done.code, done.err) == (0, "")
    head, leg, arm = done.out.splitlines()
    assert head.split() == ["STATUS", "RUN", "STARTED", "DURATION", "SIZE", "TAGS"]
    assert leg.split()[:2] == ["FAILED", "robotics/leg"]
    assert arm.split()[:2] == ["COMPLETED", "robotics/arm"]
    assert arm.endswith("  lab, left arm")


def test_list_as_json(cli: CommandLine) -> None:
    """An array with an object a run, numbers as numbers."""
    record(cli.root, tags=["lab"])
    (run,) = json.loads(cli("list", "--json").out)
    assert run["prefix"] == "robotics/arm"
    assert run["status"] == "COMPLETED"
    assert run["tags"] == ["lab"]
    assert run["folder"] == str(cli.root / "robotics" / "arm")
    assert run["started"] > 1e9
    assert 0 < run["duration"] < 60
    assert run["size"] > 1000


def test_no_runs_is_told_on_stderr(cli: CommandLine) -> None:
    """An empty root has no runs: nothing on stdout but an empty array, and that is no error."""
    done = cli("list")
    assert (done.code, done.out) == (0, "")
    assert done.err == f"ml-dash: no runs below {cli.root}\n"
    assert json.loads(cli("list", "--json").out) == []


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("ARM", ["robotics/arm", "robotics/arm/left"]),
        ("robotics/arm", ["robotics/arm", "robotics/arm/left"]),
        ("robotics/*", ["robotics/arm", "robotics/arm/left"]),
        ("*/le?t", ["robotics/arm/left"]),
        ("nothing", []),
    ],
)
def test_a_pattern_picks_runs(cli: CommandLine, pattern: str, found: list[str]) -> None:
    """A part of the prefix in any case, or a pattern of all of it."""
    for prefix in ("robotics/arm", "robotics/arm/left", "vision/eye"):
        with experiment(prefix, cli.root).run:
            pass
    runs = json.loads(cli("list", pattern, "--json").out)
    assert sorted(run["prefix"] for run in runs) == found


def test_a_run_below_another_is_not_part_of_its_size(cli: CommandLine) -> None:
    """`a` and `a/b` are two runs, each with bytes of its own."""
    with experiment("a", cli.root).run:
        pass
    with experiment("a/b", cli.root).run as run:
        run.files().save_blob(b"x" * 100_000, to="large.bin")
    sizes = {run["prefix"]: run["size"] for run in json.loads(cli("list", "--json").out)}
    assert sizes["a/b"] > 100_000 > sizes["a"]


def test_a_killed_run_is_interrupted(cli: CommandLine) -> None:
    """Its process is gone without a word; what it left is finished, which stderr says once."""
    killed_run("p/killed", cli.root)
    first, second = cli("list"), cli("list")
    assert first.out.splitlines()[1].startswith("INTERRUPTED  p/killed")
    assert first.err.startswith("ml-dash: p/killed: finished what a process left: 2")
    assert second.err == ""


def test_one_damaged_run_hides_no_other(cli: CommandLine) -> None:
    """Whatever lies in a run's folder, the list goes on."""
    record(cli.root)
    for number, text in enumerate([b"\0" * 100, b"[]\n", b'{"timestamp":1}\n', b"\xff\n", b""]):
        folder = cli.root / f"damaged-{number}" / "run"
        folder.mkdir(parents=True)
        (folder / "abcdefghijkl.jsonl").write_bytes(text)
    done = cli("list")
    assert done.code == 0
    assert "COMPLETED" in done.out
    assert all(f"damaged-{number}" in done.out for number in range(5))


HOSTILE: list[Any] = [
    None,
    5,
    "\x1b[2J\x07",
    ["\x1b]0;x\x07", 3, None],
    {"a": "\x9b"},
    1e308,
    "世\n界",
]


@pytest.mark.parametrize("value", HOSTILE, ids=map(repr, range(len(HOSTILE))))
def test_hostile_rows_do_not_drive_the_terminal(cli: CommandLine, value: Any) -> None:
    """Every value of a run's own rows may be anything: it is shown escaped, and nothing breaks."""
    keys = ["id", "prefix", "host", "pid", "root", "description", "tags", "bindrs", "metadata"]
    start = {"timestamp": 1.75e9, "event": "start", "session": "abcdefghijkl", "environment": {}}
    environment = dict.fromkeys(["command", "git", "python", "packages", "gpus", "cwd"], value)
    end = {"timestamp": 1.75e9 + 5, "event": "end", "session": "abcdefghijkl"}
    folder = forge(
        cli.root,
        "evil",
        {**start, **dict.fromkeys(keys, value), "environment": environment},
        {**end, "status": value, "error": value, "lost": {"\x1b": 5, "logs": value}},
    )
    (folder / "tracks" / "a\x1b[31m").mkdir(parents=True)
    (folder / "tracks" / "a\x1b[31m" / "abcdefghijkl.jsonl").write_text('{"timestamp":1}\nxx\n')
    for arguments in (["list"], ["show", "evil"], ["check", "evil"], ["show", "evil", "--json"]):
        done = cli(*arguments)
        assert done.code in (0, 1)
        assert not any(char < " " and char != "\n" for char in done.out + done.err)
        assert not any("\x7f" <= char < "\xa0" for char in done.out + done.err)


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
@pytest.mark.parametrize("columns", [120, 60, 40])
def test_output_fits_the_terminal(cli: CommandLine, columns: int) -> None:
    """No line of a table is wider than the terminal; the names of runs are cut last."""
    prefix = "robotics/a-project-with-a-long-name/and-a-run-with-one/seed-17"
    with experiment(prefix, cli.root, tags=["one", "世界", "three"]).run as run:
        run.track("a/topic/that/is/rather/long/for/a/terminal").append({"x": 1})
    listed = on_terminal(columns, "list", "--root", cli.root)
    assert len(listed) == 2
    assert max(width(ESCAPES.sub("", line)) for line in listed) <= columns
    assert "seed-17" in listed[1]
    shown = on_terminal(columns, "show", prefix, "--root", cli.root)
    table = shown[[ESCAPES.sub("", line) for line in shown].index("streams") + 1 :]
    assert max(width(ESCAPES.sub("", line)) for line in table) <= columns


@pytest.mark.skipif(sys.platform == "win32", reason="no pseudo-terminals")
def test_colours_are_for_terminals(cli: CommandLine) -> None:
    """Colours show on a terminal unless NO_COLOR is set, and never in a pipe."""
    record(cli.root)
    arguments = ("list", "--root", cli.root)
    assert "\x1b[32mCOMPLETED" in "\n".join(on_terminal(80, *arguments))
    assert "\x1b" not in "\n".join(on_terminal(80, *arguments, NO_COLOR="1"))
    assert "\x1b" not in cli("list").out


def test_show_tells_what_a_run_holds(cli: CommandLine) -> None:
    """Parameters, streams with rows, rates and times, files by folder, sessions."""
    record(cli.root, tags=["lab"], description="an arm", metadata={"serial": 7})
    done = cli("show", "robotics/arm")
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[:2] == ["robotics/arm COMPLETED", "an arm"]
    assert {"tags lab", "lr 0.001", "model.layers 4", "gain Infinity", "serial 7"} <= set(lines)
    assert f"folder {cli.root / 'robotics' / 'arm'}" in lines
    streams = {line.split()[0]: line for line in lines if line}
    assert streams["tracks/robot/Position"].startswith("tracks/robot/Position 50 10.0 Hz 0 to 4.9")
    assert streams["metrics/train"].startswith("metrics/train 50 ")
    assert streams["logs"].startswith("logs 1 ")
    assert "files 3 files, 17 B" in lines
    assert {"models/best/ 2 14 B", "./ 1 3 B"} <= set(lines)
    assert "unreadable" not in done.out


def test_show_as_json(cli: CommandLine) -> None:
    """Everything as one object, and more of it than the page has."""
    record(cli.root, tags=["lab"], metadata={"serial": 7})
    found = json.loads(cli("show", "robotics/arm", "--json").out)
    assert (found["prefix"], found["status"], found["tags"]) == (
        "robotics/arm",
        "COMPLETED",
        ["lab"],
    )
    assert found["params"] == {"lr": 0.001, "model": {"layers": 4}, "gain": None}
    assert found["_nonfinite"] == {"/params/gain": "Infinity"}
    assert found["metadata"] == {"serial": 7}
    (track,) = [stream for stream in found["streams"] if stream.get("kind") == "tracks"]
    assert (track["topic"], track["rows"], track["writers"]) == ("robot/Position", 50, 1)
    assert (track["first"], track["last"]) == (0.0, 4.9)
    assert track["rate"] == pytest.approx(10.0)
    assert track["size"] == sum(
        path.stat().st_size for path in (cli.root / "robotics/arm/tracks").rglob("*.jsonl")
    )
    assert found["files"]["folders"]["models/best"] == {"count": 2, "size": 14}
    assert found["size"] == sum(found["sizes"].values())
    assert found["problems"] == []
    assert found["lost"] == {}


def test_show_tells_why_a_run_failed(cli: CommandLine) -> None:
    """The text of the exception is below the status, its lines indented."""
    with pytest.raises(RuntimeError), experiment("p/one", cli.root).run:
        raise RuntimeError("boom\nand \x1b more")
    out = cli("show", "p/one").out
    assert out.startswith("p/one  FAILED\n")
    assert re.search(r"^  .*RuntimeError: boom$", out, re.MULTILINE)
    assert re.search(r"^    and \\x1b more$", out, re.MULTILINE)


def test_show_tells_what_was_lost(cli: CommandLine) -> None:
    """What sessions could not write is told by stream."""
    session = {"session": "abcdefghijkl", "timestamp": 1.75e9}
    forge(
        cli.root,
        "p/one",
        {**session, "event": "start", "prefix": "p/one", "root": True},
        {**session, "event": "end", "status": "COMPLETED", "lost": {"logs": 1234, "tracks/a": 1}},
    )
    lines = [" ".join(line.split()) for line in cli("show", "p/one").out.splitlines()]
    assert "lost 1,234 in logs, 1 in tracks/a" in lines
    assert json.loads(cli("show", "p/one", "--json").out)["lost"] == {"logs": 1234, "tracks/a": 1}


def test_show_tells_what_is_unreadable(cli: CommandLine) -> None:
    """A damaged line is named with file and byte, and the others are counted."""
    record(cli.root)
    (segment,) = (cli.root / "robotics/arm/metrics/train").glob("*.jsonl")
    size = segment.stat().st_size
    with segment.open("ab") as file:
        file.write(b'{"timestamp":1,"lo\n')
    out = cli("show", "robotics/arm").out
    assert f"metrics/train/{segment.name}: byte {size:,}: a torn line" in out
    (problem,) = json.loads(cli("show", "robotics/arm", "--json").out)["problems"]
    assert (problem["path"], problem["offset"]) == (f"metrics/train/{segment.name}", size)


def test_show_takes_a_folder(cli: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path to the run's folder does as well as its prefix, from anywhere."""
    record(cli.root)
    assert "tracks/robot/Position" in cli("show", cli.root / "robotics" / "arm").out
    monkeypatch.chdir(cli.root / "robotics")
    assert "tracks/robot/Position" in cli("show", "./arm").out


def test_show_counts_the_sessions(cli: CommandLine) -> None:
    """A run that was continued has two, and its rows are those of both."""
    record(cli.root, rows=10)
    record(cli.root, rows=10)
    found = json.loads(cli("show", "robotics/arm", "--json").out)
    assert [session["status"] for session in found["sessions"]] == ["COMPLETED", "COMPLETED"]
    (metric,) = [stream for stream in found["streams"] if stream.get("kind") == "metrics"]
    assert (metric["rows"], metric["writers"]) == (20, 2)


def test_pauses_between_sessions_are_no_part_of_the_duration() -> None:
    """Time that two sessions share counts once, time that none had counts not at all."""
    sessions = [
        Session("a", start=0.0, end=10.0, status="COMPLETED"),
        Session("b", start=5.0, end=7.0, status="CLOSED"),
        Session("c", start=8.0, last_seen=12.0, status="INTERRUPTED"),
        Session("d", start=100.0, status="RUNNING"),
    ]
    assert seconds_of(sessions, now=103.0) == 15.0
    assert seconds_of([], now=1.0) == 0.0
