"""`ml-dash check`: what it says, what it exits with, and what it leaves alone."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from cli_process import CommandLine, experiment, killed_run, process

import ml_dash


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """A root with a whole run of 100 rows, ten frames at their steps, and a file."""
    pixels = np.zeros((8, 8, 3), np.uint8)
    with experiment("robotics/arm", tmp_path).run as run:
        for step in range(100):
            run.track("robot/position").append({"step": step, "x": 0.5})
            if step % 10 == 0:
                run.files("robot/frames").save_image(pixels, to=f"frame_{step:05d}.png", step=step)
        run.files("models").save_text("weights", to="a.txt")
    return CommandLine(tmp_path, capsys)


def digests(folder: Path) -> dict[str, str]:
    """The checksum of each segment."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*.jsonl")
    }


def segment(cli: CommandLine, stream: str) -> Path:
    """The one segment of a stream."""
    (path,) = (cli.root / "robotics/arm" / stream).glob("*.jsonl")
    return path


def test_a_whole_run_is_told_so(cli: CommandLine) -> None:
    """Exit code 0, and what was looked at: rows, files, the steps of frames."""
    done = cli("check", "robotics/arm")
    assert (done.code, done.err) == (0, "")
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert lines[0] == "robotics/arm COMPLETED whole"
    assert "frames 10 in robot/frames: 10 at the step of a row" in lines
    assert any(line.startswith("files 11, ") for line in lines)


def test_a_damaged_line_is_named_with_file_and_byte(cli: CommandLine) -> None:
    """Exit code 1; the place is that of the line."""
    path = segment(cli, "tracks/robot/position")
    data = path.read_bytes()
    start = data.index(b"\n", 1000) + 1
    path.write_bytes(data[: start + 5] + b"\0\0" + data[start + 7 :])
    done = cli("check", "robotics/arm")
    assert done.code == 1
    assert "robotics/arm  COMPLETED  NOT WHOLE" in done.out
    assert f"tracks/robot/position/{path.name}: byte {start:,}: " in done.out


def test_a_file_that_is_not_what_was_saved_is_named(cli: CommandLine) -> None:
    """One byte is enough; a file that is gone is named as well."""
    data = cli.root / "robotics/arm/files/data"
    (data / "models/a.txt").write_text("weighs!")
    (data / "robot/frames/frame_00030.png").unlink()
    done = cli("check", "robotics/arm")
    assert done.code == 1
    assert "files/data/models/a.txt: " in done.out
    assert "files/data/robot/frames/frame_00030.png: " in done.out
    assert "frame_00020" not in done.out


def test_check_as_json(cli: CommandLine) -> None:
    """The report is one object; findings have severity, path and byte."""
    assert json.loads(cli("check", "robotics/arm", "--json").out)["ok"] is True
    path = segment(cli, "tracks/robot/position")
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"timestamp":17,"x\n')
    done = cli("check", "robotics/arm", "--json")
    found = json.loads(done.out)
    assert done.code == 1
    assert found["ok"] is False
    assert found["lost"] == {}
    (finding,) = found["findings"]
    assert finding["severity"] == "error"
    assert (finding["path"], finding["offset"]) == (f"tracks/robot/position/{path.name}", size)


def test_checking_changes_no_segment(cli: CommandLine) -> None:
    """Whole or damaged, every segment has the bytes that it had."""
    with segment(cli, "tracks/robot/position").open("ab") as file:
        file.write(b'torn\n\0\0\0{"timestamp":')
    before = digests(cli.root)
    assert cli("check", "robotics/arm").code == 1
    assert digests(cli.root) == before


def test_what_a_killed_process_left_is_finished_and_whole(cli: CommandLine) -> None:
    """The check writes it into segments of its own, says so, and finds the run whole."""
    killed_run("p/killed", cli.root)
    before = digests(cli.root)
    done = cli("check", "p/killed")
    assert done.code == 0
    assert "INTERRUPTED  whole" in done.out
    lines = [" ".join(line.split()) for line in done.out.splitlines()]
    assert any(line.startswith("recovered ") and " in logs, " in line for line in lines)
    after = digests(cli.root)
    assert before.items() <= after.items()
    run = ml_dash.open_run("p/killed", root=cli.root)
    assert run.tracks["robot/position"]["step"].tolist() == list(range(100))
    assert "recovered" not in cli("check", "p/killed").out


def test_a_run_that_goes_on_is_whole(cli: CommandLine) -> None:
    """Lines and files that are still on their way are no damage."""
    with experiment("p/live", cli.root).run as run:
        run.track("a").append({"x": 1})
        run.flush()
        done = cli("check", "p/live")
    assert done.code == 0
    assert "RUNNING  whole" in done.out


def test_the_exit_code_is_that_of_the_process(cli: CommandLine) -> None:
    """Shells see 0 and 1."""
    assert process("check", "robotics/arm", "--root", cli.root).code == 0
    (cli.root / "robotics/arm/files/data/models/a.txt").unlink()
    assert process("check", "robotics/arm", "--root", cli.root).code == 1


def test_many_findings_are_cut_short_on_the_page(cli: CommandLine) -> None:
    """A hundred are printed; JSON has all."""
    with segment(cli, "tracks/robot/position").open("ab") as file:
        file.write(b"torn\n" * 250)
    assert "and 150 more" in cli("check", "robotics/arm").out
    assert len(json.loads(cli("check", "robotics/arm", "--json").out)["findings"]) == 250


def test_what_was_recovered_is_told_of_a_run_outside_the_root(
    cli: CommandLine, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Nothing looks into the run before the check does, however it is named."""
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    killed_run("p/killed", elsewhere)
    assert "recovered " in cli("check", elsewhere / "p" / "killed").out
