"""The benchmarks measure what they say, and notice when data is lost."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks import command, frames, peers, quotes, recording, suite, table, timing
from benchmarks.peers import known, pages, running
from benchmarks.recording import Bench, DataLost
from benchmarks.scale import TINY
from benchmarks.table import Result
from ml_dash.track import Track


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A bench of the smallest size."""
    with recording.without_settings():
        yield Bench(TINY, tmp_path)


def test_measurements_are_picked_and_left_out_by_parts_of_their_names() -> None:
    """What is left out is so even if it is picked; a name that nothing has is told."""
    assert list(suite.chosen(["jpeg"])) == ["jpeg"]
    assert set(suite.chosen([], ["server", "pages"])) == {
        name for name in suite.SUITE if "server" not in name and "pages" not in name
    }
    assert set(suite.chosen(["small"], ["files"])) == {"small-frames"}
    with pytest.raises(ValueError, match="no measurement is called 'jpg'"):
        suite.chosen([], ["jpg"])


def measure(bench: Bench, name: str) -> list[Result]:
    """The lines that one measurement makes."""
    return list(suite.run(bench, suite.chosen([name]), lambda _: None))


@pytest.mark.parametrize("name", suite.SUITE)
def test_each_measurement_gives_lines_with_figures(bench: Bench, name: str) -> None:
    """Every part of the suite runs, and reads its data back."""
    results = measure(bench, name)
    assert results
    for result in results:
        assert not result.failed, result.failed
        assert result.name and result.ours
        assert result.met is None or result.target


def test_a_logger_that_drops_a_row_has_no_figures(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row of three hundred is lost on the way: the line says so instead of a speed."""
    append = Track.append

    def forgetful(self: Track, data: Any = None, **more: Any) -> Track:
        return self if data["step"] == 123 else append(self, data, **more)

    monkeypatch.setattr(Track, "append", forgetful)
    for name in ("append", "rows"):
        (result,) = measure(bench, name)
        assert "data lost" in result.failed
        assert not result.ours


def record_rows(bench: Bench, count: int) -> Iterator[Path]:
    """A finished run with `count` rows."""
    with bench.run() as (experiment, run):
        for i in range(count):
            experiment.track("t").append({"i": i})
        experiment.run.complete()
        yield run


@pytest.mark.parametrize(
    "harm", ["last lost", "one lost", "one changed", "two swapped", "one more"]
)
def test_the_check_of_rows_finds_every_kind_of_harm(bench: Bench, harm: str) -> None:
    """A row that is missing, different, out of place or too many is found."""
    for run in record_rows(bench, 20):
        recording.check_rows(run, "tracks/t", 20, lambda i: {"i": i})
        (segment,) = (run / "tracks/t").glob("*.jsonl")
        lines = segment.read_bytes().splitlines(keepends=True)
        harmed = {
            "last lost": lines[:-1],
            "one lost": lines[:7] + lines[8:],
            "one changed": [*lines[:7], lines[7].replace(b'"i":7', b'"i":8'), *lines[8:]],
            "two swapped": [*lines[:7], lines[8], lines[7], *lines[9:]],
            "one more": [*lines, lines[-1]],
        }[harm]
        segment.write_bytes(b"".join(harmed))
        with pytest.raises(DataLost):
            recording.check_rows(run, "tracks/t", 20, lambda i: {"i": i})


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("harm", ["lost", "cut short", "exchanged", "another", "a pixel"])
def test_the_check_of_frames_finds_every_kind_of_harm(bench: Bench, suffix: str, harm: str) -> None:
    """A frame that is gone, damaged, or another one under its name is found."""
    base = frames.render()
    with bench.run() as (experiment, run):
        for i in range(4):
            # What a defect in the encoder or a mix-up of buffers would do
            number = {"exchanged": (0, 2, 1, 3)}.get(harm, (0, 1, 2, 3))[i]
            frame = frames.stamp(base.copy(), number)
            if harm == "another" and i == 2:
                frame = frames.stamp(255 - base, number)
            if harm == "a pixel" and i == 2:
                frame[300, 300] ^= 1
            experiment.files("f").save_image(frame, to=f"{i:06d}.{suffix}")
        experiment.run.complete()
        victim = run / "files/data/f" / f"{2:06d}.{suffix}"
        if harm == "lost":
            victim.unlink()
        if harm == "cut short":
            victim.write_bytes(victim.read_bytes()[:-1])
        if harm == "a pixel" and suffix == "jpg":  # a JPEG is not held to each pixel
            recording.check_frames(run, "f", 4, base, suffix)
            return
        with pytest.raises(DataLost):
            recording.check_frames(run, "f", 4, base, suffix)


@pytest.mark.parametrize("number", [0, 1, 4095, 54_321, 65_535])
def test_a_stamp_is_read_back_from_color_and_gray(number: int) -> None:
    """Frames carry their number in their pixels."""
    for frame in (frames.render(), frames.camera(), frames.gray()):
        assert frames.read_stamp(frames.stamp(frame, number)) == number


def test_a_timed_statement_runs_as_often_as_asked_with_its_setup() -> None:
    """The loop runs the text that it is given, once for each count."""
    seen: list[int] = []
    times = timing.each_call("seen.append(value)", 5, setup="value = i * 2", seen=seen)
    assert seen == [0, 2, 4, 6, 8]
    assert 0 < times.p50 <= times.worst
    timing.repeat("seen.clear()", 2, seen=seen)
    assert not seen


def test_interleaved_rounds_go_forth_and_back() -> None:
    """No workload always comes after the same other one."""
    order: list[str] = []
    found = timing.interleave(2, lambda i: order.append(f"a{i}"), lambda i: order.append(f"b{i}"))
    assert order == ["a0", "b0", "b1", "a1"]
    assert found == [[None, None], [None, None]]


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    """A round in which the whole machine was slow changes nothing."""
    assert timing.ratio([2.0, 200.0, 4.0], [1.0, 100.0, 1.0]) == 2.0


def test_the_report_replaces_what_is_between_the_markers(tmp_path: Path) -> None:
    """The table goes into a page without touching the rest of it."""
    page = tmp_path / "README.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    table.publish("new", page)
    assert page.read_text() == f"before\n{table.BEGIN}\nnew\n{table.END}\nafter\n"


def test_the_command_prints_the_table_and_writes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """One command measures, prints Markdown and writes it."""
    monkeypatch.setattr(command, "QUICK", TINY)
    page = tmp_path / "table.md"
    arguments = ["--quick", "--only", "log-lines", "--folder", str(tmp_path)]
    assert command.main([*arguments, "--markdown", str(page)]) == 0
    printed = capsys.readouterr().out
    assert "| what | target |" in printed and "lines/s" in printed
    assert printed.strip() in page.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["table.md"]


def test_a_failed_measurement_ends_the_command_with_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What is lost does not hide in a table: the exit code tells."""

    def broken(_: Bench) -> Iterator[Result]:
        yield Result("one", ours="1")
        raise DataLost("row 7")

    monkeypatch.setattr(command, "QUICK", TINY)
    monkeypatch.setitem(suite.SUITE, "rows", broken)
    arguments = ["--quick", "--only", "rows", "--folder", str(tmp_path)]
    assert command.main(arguments) == 1
    assert "data lost: row 7" in capsys.readouterr().out


def test_a_name_that_is_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """A misspelt measurement is an error that lists those there are."""
    assert command.main(["--only", "nonsense"]) == 2
    assert "memory-frames" in capsys.readouterr().err


def test_the_frames_are_what_real_ones_are_to_an_encoder() -> None:
    """The render has smooth parts and edges, the camera's picture noise."""
    render, camera = frames.render(), frames.camera()
    assert render.shape == camera.shape == (480, 640, 3)
    flat = np.mean(np.diff(render.astype(int), axis=1) == 0)
    assert 0.5 < flat < 0.99
    assert np.mean(np.diff(camera.astype(int), axis=1) == 0) < 0.2


def known_peers(monkeypatch: pytest.MonkeyPatch, *more: known.Peer) -> None:
    """Compare only what runs in this interpreter, and these, which cannot be installed."""

    def python_of(name: str, packages: tuple[str, ...], say: object) -> Path:
        if packages:
            raise subprocess.CalledProcessError(1, "pip", stderr="ERROR: no such package\n")
        return Path(sys.executable)

    monkeypatch.setattr(known, "PEERS", (known.FLOOR, known.OURS, *more))
    monkeypatch.setattr(peers, "python_of", python_of)


def test_peers_are_compared_and_one_that_does_not_install_is_reported(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The floor and ML-Dash do every task; a peer without an environment costs only its line."""
    known_peers(monkeypatch, known.Peer("absent", "absent", ("absent",)))
    measured = peers.compare(bench, lambda _: None)
    assert list(measured.found) == [known.FLOOR.name, known.OURS.name]
    assert measured.failures == {"absent": "did not install: ERROR: no such package"}
    for rounds in measured.found[known.OURS.name].values():
        for found in rounds:
            assert found["rows"] + found["frames"] > 0
            # SIGKILL takes the frames that are not encoded yet: that is said, and not promised.
            assert found["rows_lost"] == 0
    said = pages.regions(measured)
    lines = [line.split(" | ") for line in said["peers"].splitlines()]
    assert [line[0] for line in lines[2:]] == [f"| {name}" for name in measured.found]
    assert lines[3][-2] == "0 rows, 0 frames"
    assert lines[2][-1].startswith("**")  # what the floor had not flushed
    assert "* absent: did not install" in said["peers-failures"]
    measured.write(tmp_path / "measured.json")
    assert peers.Measured.read(tmp_path / "measured.json") == measured


def test_what_a_killed_logger_held_back_is_counted(bench: Bench) -> None:
    """The floor holds rows back in a buffered file: none of them is there after SIGKILL."""
    with bench.place() as place:
        found = running.run(known.FLOOR, Path(sys.executable), "calm-killed", place, 0.05)
    assert found["rows"] > 0
    assert found["rows_lost"] == found["rows"]
    assert found["frames_lost"] <= 1  # each is a file of its own, written in the loop


def test_a_logger_that_loses_a_row_in_the_middle_is_found_out(tmp_path: Path) -> None:
    """What is counted are steps, so that a row too many does not hide one that is missing."""
    script = Path(peers.__file__).parent / "scripts/work.py"
    spec = importlib.util.spec_from_file_location("work_of_peers", script)
    assert spec is not None and spec.loader is not None
    work = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(work)
    told = work.Told(tmp_path / "run")
    told.say(5, 3)

    class Forgetful:
        def rows(self, _: Path) -> list[int]:
            return [0, 1, 1, 3, 4, 5]

        def images(self, _: Path) -> list[int]:
            return [2, 1, 0]

    found = work._read(Forgetful(), tmp_path / "run")
    assert found == {"rows": 5, "rows_lost": 1, "frames": 3, "frames_lost": 0}


def test_ratios_are_those_of_rounds_that_both_finished() -> None:
    """A round that failed for one of them is left out of the ratio, not of the others."""
    row = {"rows_lost": 1, "frames_lost": 0, "rows": 9, "frames": 0, "rate": 1.0, "cpu": 1.0}
    fast, slow = {**row, "p50": 1e-6, "started": 1.0}, {**row, "p50": 4e-6, "started": 2.0}
    found = {task: [] for task in known.TASKS}
    measured = peers.Measured("", 1.0, 2)
    measured.found[known.FLOOR.name] = {**found, "rows": [fast, fast]}
    measured.found[known.OURS.name] = {**found, "rows": [{}, slow]}
    said = pages.regions(measured)
    assert f"| {known.OURS.name} | 4 | 1 | 1 | – | – | – | 2 |" in said["peers-ratios"]
    assert f"| {known.OURS.name} | **1** of 9 | – | – | – |" in said["peers-losses"]


def test_every_peer_has_its_script() -> None:
    """What the table of peers names is there."""
    folder = Path(peers.__file__).parent / "scripts"
    assert {f"with_{peer.script}.py" for peer in known.PEERS} == {
        path.name for path in folder.glob("with_*.py")
    }


@pytest.mark.parametrize("name", quotes.QUOTING)
def test_a_page_quotes_the_figures_that_were_measured(name: str) -> None:
    """The tables of the pages are those of the last measurement, letter for letter."""
    text = (quotes.ROOT / name).read_text("utf-8")
    assert "peers" in quotes.names(text)
    assert quotes.quoted(text, quotes.regions()) == text, "run: python -m benchmarks --quote"


_FIGURE = re.compile(r"[0-9][0-9,.]*\s?(?:[nµm]?s\b|[kM]?B\b|[kM] |×|%|rows|frames|times|of\b)")


@pytest.mark.parametrize("name", ["README.md", "docs/comparison.md"])
def test_no_figure_of_a_comparison_is_typed(name: str) -> None:
    """What has a number with a unit stands in a quoted part."""
    text = quotes.without((quotes.ROOT / name).read_text("utf-8"))
    if name == "README.md":
        text = text.partition("### What it costs")[2].partition("\n## ")[0]
    assert text.strip()
    assert _FIGURE.findall(text) == []


def test_what_is_quoted_replaces_what_stood_there() -> None:
    """A page keeps its own words; a part that nobody knows is an error."""
    page = "a\n<!-- quote x: begin -->\nold 1\n<!-- quote x: end -->\nb\n"
    new = quotes.quoted(page, {"x": "new 2"})
    assert new == page.replace("old 1", "new 2")
    assert quotes.quoted(new, {"x": "new 2"}) == new
    with pytest.raises(KeyError):
        quotes.quoted(page, {})


def test_a_line_that_the_readme_quotes_must_be_in_the_report() -> None:
    """When a measurement is renamed, the README does not lose its line in silence."""
    report = quotes.REPORT.read_text("utf-8")
    quotes.costs(report)
    with pytest.raises(ValueError, match="import ml_dash"):
        quotes.costs(report.replace("| `python -c 'import ml_dash'`", "| importing"))
