"""`ml-dash logs`, also of runs that go on."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cli_process import CommandLine, command, environ, experiment, killed_run

from ml_dash.log import LEVELS

WRITER = """
import sys
from ml_dash import Experiment

with Experiment("live/one", dash_root=sys.argv[1], echo=False, environment=False).run as run:
    print("ready", flush=True)
    for line in sys.stdin:
        run.log(line.strip())
        print("done", flush=True)
"""


class Writer:
    """A process that logs what it is told to, when it is told to."""

    def __init__(self, root: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(root)],
            env=environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._answer()

    def log(self, message: str) -> None:
        """Log a message; it is handed over when this returns."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{message}\n")
        self.process.stdin.flush()
        self._answer()

    def end(self) -> None:
        """End the run as it should."""
        assert self.process.stdin is not None
        self.process.stdin.close()
        assert self.process.wait() == 0

    def kill(self) -> None:
        """End the process without a word."""
        self.process.kill()
        self.process.wait()

    def _answer(self) -> None:
        assert self.process.stdout is not None
        assert self.process.stdout.readline()


@contextmanager
def writers(root: Path, count: int) -> Iterator[list[Writer]]:
    """Processes that write one run."""
    made: list[Writer] = []
    try:
        while len(made) < count:
            made.append(Writer(root))
        yield made
    finally:
        for writer in made:
            writer.kill()
            for pipe in (writer.process.stdin, writer.process.stdout):
                assert pipe is not None
                pipe.close()


@contextmanager
def following(root: Path, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    """`ml-dash logs --follow` of that run."""
    with subprocess.Popen(
        command("logs", "live/one", "--follow", "--root", root, *arguments),
        env=environ(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            yield running
        finally:
            running.kill()


def next_message(running: subprocess.Popen[str]) -> str:
    """The last word of the next line; waits for it."""
    assert running.stdout is not None
    return running.stdout.readline().rstrip("\n").rpartition(" ")[2]


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A root with a run whose log has one message of each level."""
    with experiment("p/one", tmp_path).run as run:
        for level in LEVELS:
            run.log(f"a message of {level}", level=level)
    return CommandLine(tmp_path, capsys)


def test_messages_are_printed_in_order(cli: CommandLine) -> None:
    """One line each: local time, level, message."""
    done = cli("logs", "p/one")
    lines = done.out.splitlines()
    assert done.code == 0
    assert [line.split(maxsplit=3)[2:] for line in lines] == [
        [level.upper(), f"a message of {level}"] for level in LEVELS
    ]
    assert time.strptime(lines[0][:19], "%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("level", "count"), [("debug", 5), ("info", 4), ("WARN", 3), ("warning", 3), ("fatal", 1)]
)
def test_a_level_leaves_out_what_is_below(cli: CommandLine, level: str, count: int) -> None:
    """`--level warning` shows warnings, errors and fatal errors; following does the same."""
    assert len(cli("logs", "p/one", "--level", level).out.splitlines()) == count
    assert len(cli("logs", "p/one", "-f", "-l", level).out.splitlines()) == count


def test_help_names_the_levels_there_are(cli: CommandLine) -> None:
    """The help of `--level` has every level; an unknown one is refused with their names."""
    assert cli("logs", "p/one", "--level", "loud").code == 2
    shown = " ".join(cli("logs", "--help").out.split())
    assert "debug, info, warning, error or fatal" in shown
    assert LEVELS == ("debug", "info", "warning", "error", "fatal")


@pytest.mark.parametrize(("number", "count"), [("0", 0), ("2", 2), ("100", 5)])
def test_n_shows_the_last_ones(cli: CommandLine, number: str, count: int) -> None:
    """`-n 2` prints the last two messages, of those that are wanted."""
    lines = cli("logs", "p/one", "-n", number).out.splitlines()
    assert len(lines) == count
    assert not lines or lines[-1].endswith("fatal")
    assert len(cli("logs", "p/one", "-f", "-n", number).out.splitlines()) == count


@pytest.mark.parametrize("number", ["-1", "x", "1.5"])
def test_n_is_a_number_of_messages(cli: CommandLine, number: str) -> None:
    """Anything else is a wrong argument."""
    assert cli("logs", "p/one", "-n", number).code == 2


def test_fields_and_step_follow_the_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Fields are `key=value`, quoted where they would be ambiguous, and cut where too long."""
    with experiment("p/one", tmp_path).run as run:
        run.log("hot", step=12, joint=3, name="left arm", plain="x", list=list(range(500)))
    line = CommandLine(tmp_path, capsys)("logs", "p/one").out
    start = 'hot  step=12 joint=3 name="left arm" plain=x list=[0, 1, 2'
    assert start in line
    assert len(line) < 400


def test_json_has_each_message_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line is an object as it was stored: everything in it, non-finite numbers named."""
    with experiment("p/one", tmp_path).run as run:
        run.log("a\nb\x1b[0m世", step=1, loss=math.nan, list=list(range(500)))
    out = CommandLine(tmp_path, capsys)("logs", "p/one", "--json").out
    assert out.isascii()
    assert out.count("\n") == 1
    row = json.loads(out)
    assert (row["level"], row["message"], row["step"]) == ("info", "a\nb\x1b[0m世", 1)
    assert row["fields"] == {"loss": None, "list": list(range(500))}
    assert row["_nonfinite"] == {"/fields/loss": "NaN"}


def test_a_message_cannot_drive_the_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Escapes are shown as such, and a line break never begins what looks like a message."""
    evil = "\x1b[2J\x9b1A\rgone\n2025-01-31 12:00:00.000 ERROR   forged"
    with experiment("p/one", tmp_path).run as run:
        run.log(evil, **{"a\x1bb": "c\x07d"})
    out = CommandLine(tmp_path, capsys)("logs", "p/one").out
    assert not any((char < " " and char != "\n") or char == "\x9b" for char in out)
    first, second = out.splitlines()
    assert r"\x1b[2J\x9b1A\rgone" in first
    assert r"a\x1bb=" in first
    assert second.startswith("   ")


def test_messages_of_a_killed_process_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it left in its ring is finished first, and stderr says so once."""
    killed_run("p/killed", tmp_path)
    cli = CommandLine(tmp_path, capsys)
    done = cli("logs", "p/killed")
    assert [line.rpartition(" ")[2] for line in done.out.splitlines()] == list(map(str, range(100)))
    assert "finished what a process left" in done.err
    assert cli("logs", "p/killed").err == ""


def test_following_an_ended_run_ends(cli: CommandLine) -> None:
    """There is nothing to wait for: it prints what there is."""
    done = cli("logs", "p/one", "--follow")
    assert done.code == 0
    assert len(done.out.splitlines()) == len(LEVELS)
    assert done.err == "ml-dash: p/one: the run is COMPLETED\n"


def test_following_shows_every_writer_once_until_all_have_ended(tmp_path: Path) -> None:
    """Each line of several processes is printed once, that of a killed one too, then it ends."""
    with writers(tmp_path, 2) as (one, two):
        one.log("a0")
        with following(tmp_path) as running:
            assert next_message(running) == "a0"
            two.log("b0")
            assert next_message(running) == "b0"
            one.log("a1")
            one.kill()
            assert next_message(running) == "a1"
            two.log("b1")
            two.log("b2")
            two.end()
            rest, error = running.communicate(timeout=60)
            assert [line.rpartition(" ")[2] for line in rest.splitlines()] == ["b1", "b2"]
            assert "the run is COMPLETED" in error
            assert running.returncode == 0


def test_following_prints_json_lines_as_they_come(tmp_path: Path) -> None:
    """Nothing waits in a buffer of the command, whatever it prints."""
    with writers(tmp_path, 1) as (writer,):
        writer.log("old")
        writer.log("last")
        with following(tmp_path, "--json", "-n", "1") as running:
            assert running.stdout is not None
            assert json.loads(running.stdout.readline())["message"] == "last"
            writer.log("new")
            assert json.loads(running.stdout.readline())["message"] == "new"


def test_following_waits_for_the_last_rows_of_an_ended_run(
    cli: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row that ends a run may be there before the last of its log: the writer's ring tells.
    What comes is printed whatever `-n` says.
    """
    folder = cli.root / "p" / "one"
    ring = folder / ".buffer" / "abcdefghijkl.ring"
    ring.write_bytes(b"as long as it is there, something is on its way")

    def write_the_rest(_: float) -> None:
        if ring.exists():
            row = b'{"timestamp":1.8e9,"level":"info","message":"of the last two"}\n'
            (folder / "logs" / "abcdefghijkl.jsonl").write_bytes(row * 2)
            ring.unlink()

    monkeypatch.setattr("ml_dash.cli.logs.time.sleep", write_the_rest)
    lines = cli("logs", "p/one", "--follow", "-n", "1").out.splitlines()
    assert [line.rpartition(" of ")[2] for line in lines] == [
        "fatal",
        "the last two",
        "the last two",
    ]


def test_control_c_ends_following_with_130(tmp_path: Path) -> None:
    """Without a traceback, and the run goes on."""
    with writers(tmp_path, 1) as (writer,):
        writer.log("first")
        with following(tmp_path) as running:
            assert next_message(running) == "first"
            running.send_signal(signal.SIGINT)
            rest, error = running.communicate(timeout=60)
            assert (running.returncode, rest, error) == (130, "", "")
        writer.log("second")
        writer.end()
