"""`ml-dash export`, `plot`, `frames` and `video`."""

from __future__ import annotations

import io
import json
import re
import sys

import numpy as np
import pytest
from cli_process import CommandLine, process
from export_runs import record
from PIL import Image

from ml_dash import Experiment, open_run
from ml_dash.cli.export import FORMATS
from ml_dash.cli.progress import Bar
from ml_dash.cli.screen import Screen
from ml_dash.export import FORMATS as REAL
from ml_dash.export.plot import broken, plot_table, thinned
from ml_dash.export.sheet import chosen, contact_sheet


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with a run."""
    root = tmp_path_factory.mktemp("runs")
    run = record(root, count=20)
    record(root, "robotics/two", count=3, cameras=("left", "right"))
    assert run.prefix == "robotics/arm"
    return root


@pytest.fixture
def cli(root, capsys, tmp_path, monkeypatch):
    """The command line, in a folder of the test's own."""
    monkeypatch.chdir(tmp_path)
    return CommandLine(root, capsys)


def test_the_formats_are_those_that_there_are() -> None:
    """The help names them without loading them; the options of each are among the arguments."""
    assert list(FORMATS) == list(REAL)


def test_export_prints_what_it_made(cli, tmp_path) -> None:
    """The path and the counts; remarks go to stderr."""
    done = cli("export", "robotics/arm", "--format", "npy", "--topics", "robot/state")
    assert (done.code, done.err) == (0, "")
    assert done.out == f"{tmp_path}/robotics_arm_npy  20 samples, 20 frames, 5 files\n"


def test_export_takes_every_argument_through(cli, tmp_path) -> None:
    """Rate, size, topics, place; as JSON for scripts."""
    words = "--hz 5 --size 12x16 --topics robot/state robot/command -o x/y --json"
    done = cli("export", "robotics/arm", "--format", "npy", *words.split())
    facts = json.loads(done.out)
    assert facts["path"] == str(tmp_path / "x/y") and facts["samples"] == 10
    assert np.load(tmp_path / "x/y/robotics_arm_frames.npy").shape == (10, 12, 16, 3)


@pytest.mark.parametrize("format", FORMATS)
def test_every_format_is_exported_from_the_command_line(format: str, cli, tmp_path) -> None:
    """Without more than its name, and what episodes need."""
    words = ["--topics", "robot/state"] if format != "video" else []
    if format in ("minari", "hdf5", "lerobot"):
        words += ["--observation", "x", "pose.q", "--action", "count"]
    done = cli("export", "robotics/arm", "--format", format, *words)
    assert done.code == 0, done.err
    assert "Traceback" not in done.err
    assert (tmp_path / f"robotics_arm_{format}{REAL[format].suffix}").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--format zip", "format is 'zip'; it must be one of npy"),
        ("--format npy --topics robot/stat", "did you mean 'robot/state'"),
        ("--format npy --size 128", "'128' is no size: give HEIGHTxWIDTH"),
        ("--format npy --fps 3", "the format 'npy' has no option 'fps'"),
        ("--format video --fps 0", "fps=0.0"),
        ("--format npy --on clock", "clock"),
        ("--format minari", "--"),
        ("", "--format"),
    ],
)
def test_a_wrong_argument_is_told_in_a_line(words: str, message: str, cli, tmp_path) -> None:
    """Exit code 2, nothing made."""
    done = cli("export", "robotics/arm", *words.split())
    assert done.code == 2
    assert message in done.err or words == "--format minari"
    assert not list(tmp_path.iterdir())


def test_a_number_that_is_0_counts_as_given(cli, tmp_path) -> None:
    """The best that a video can be is `--crf 0`."""
    pytest.importorskip("av")
    sizes = []
    for words in ("--crf 0", "--crf 51", ""):
        done = cli("export", "robotics/arm", "--format", "video", "--overwrite", *words.split())
        assert done.code == 0, done.err
        (movie,) = (tmp_path / "robotics_arm_video").rglob("*.mp4")
        sizes.append(movie.stat().st_size)
    best, smallest, usual = sizes
    assert best > usual > smallest


def test_a_second_export_needs_overwrite(cli, tmp_path) -> None:
    """The message names it."""
    words = ("export", "robotics/arm", "--format", "parquet")
    assert cli(*words).code == 0
    done = cli(*words)
    assert done.code == 2 and "--overwrite" in done.err and done.err.count("\n") == 1
    assert cli(*words, "--overwrite").code == 0


def test_a_missing_package_is_a_pip_line(cli, monkeypatch) -> None:
    """No traceback."""
    monkeypatch.setitem(sys.modules, "av", None)
    done = cli("video", "robotics/arm", "-o", "a.mp4")
    assert done.code == 2 and done.err.endswith('pip install "ml-dash[video]"\n')


class Terminal(io.StringIO):
    """A terminal that somebody watches."""

    def isatty(self) -> bool:
        return True


def test_progress_is_shown_on_a_terminal_alone(monkeypatch) -> None:
    """A bar with counts, in place; nothing at all where it would fill a file."""
    screen, terminal = Screen(io.StringIO(), watched := Terminal()), Screen()
    assert not terminal.watched
    Bar(screen, "npy")(250, 1000)
    assert "npy [######..................]  25%  250 of 1,000" in watched.getvalue()
    silent = io.StringIO()
    Bar(Screen(io.StringIO(), silent), "npy")(1, 2)
    assert silent.getvalue() == ""


def test_plot_draws_curves_and_a_path(cli, tmp_path, root) -> None:
    """A picture that is not empty; PDF and SVG by their suffix."""
    words = ("plot", "robotics/arm", "--track", "robot/state")
    assert cli(*words, "-o", "a.png").out == "a.png\n"
    with Image.open(tmp_path / "a.png") as curves:
        assert curves.width > 600 and len(np.unique(np.asarray(curves.convert("L")))) > 20
        narrow = curves.width
    assert cli(*words, "--path", "x", "count", "episode", "-o", "b.png").code == 0
    with Image.open(tmp_path / "b.png") as both:
        assert both.width > narrow
    assert cli(*words, "--columns", "x", "--against", "time", "-o", "c.svg").code == 0
    assert "<svg" in (tmp_path / "c.svg").read_text()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("-o a.png", "say which: --track robot/command, --track robot/state"),
        ("--track robot/state --metric m -o a.png", "give either --track or --metric"),
        ("--track robot/stat -o a.png", "did you mean 'robot/state'"),
        ("--track robot/state --columns y -o a.png", "no column 'y'"),
        ("--track robot/state --path x -o a.png", "give two columns, or three"),
        ("--track robot/state --path x mode -o a.png", "'mode'"),
        ("--track robot/state --columns mode -o a.png", "has no numbers to draw"),
        ("--track robot/state --against day -o a.png", "against='day'"),
        ("--track robot/state -o a.gif", "saved as .png, .pdf, .svg"),
    ],
)
def test_what_cannot_be_plotted_is_told_in_a_line(words: str, message: str, cli, tmp_path) -> None:
    """Exit code 2, nothing made."""
    done = cli("plot", "robotics/arm", *words.split())
    assert done.code == 2 and message in done.err and done.err.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_curve_of_many_rows_keeps_its_spikes_and_gaps() -> None:
    """Drawn by the extremes of intervals."""
    values = np.zeros(1_000_000)
    values[123_456], values[654_321] = 7, -7
    values[300_000:400_000] = np.nan
    along, thin = thinned(np.arange(1_000_000.0), values)
    assert len(thin) == len(along) <= 4000
    assert np.nanmax(thin) == 7 and np.nanmin(thin) == -7 and np.isnan(thin).any()


def test_a_curve_has_a_gap_where_steps_begin_anew() -> None:
    """No line runs back over the picture from the end of an episode to the next one's begin."""
    along, values = broken(np.array([0.0, 1, 2, 0, 1, 1]), np.arange(6.0))
    np.testing.assert_array_equal(along, [0, 1, 2, np.nan, 0, 1, 1])
    np.testing.assert_array_equal(values, [0, 1, 2, np.nan, 3, 4, 5])


def test_episodes_of_simulated_time_are_drawn_one_after_the_other(tmp_path) -> None:
    """Time and step begin again with each: curves, paths and frames are not mixed."""
    with Experiment("sim", dash_root=tmp_path, echo=False, environment=False).run as run:
        recorder = run.recorder(format="png")
        for number in range(6):
            row = {"x": number, "y": -number}
            shot = {"cam": np.full((8, 8), 40 * number, np.uint8)}
            recorder.record(number % 3, number % 3 / 10, tracks={"arm": row}, frames=shot)
    opened = open_run("sim", root=tmp_path)
    plot_table(opened.tracks["arm"], tmp_path / "a.svg", against="time")
    lines = re.findall(r'<path d="([^"]*)" clip-path', (tmp_path / "a.svg").read_text())
    heights = [[float(y) for y in re.findall(r"[ML] \S+ (\S+)", line)] for line in lines]
    drawn = [line for line in heights if len(line) == 6]
    assert len(drawn) == 3  # x, y and the path
    assert all(line in (sorted(line), sorted(line, reverse=True)) for line in drawn)
    contact_sheet(opened, tmp_path / "s.png", count=6, columns=6, width=8)
    with Image.open(tmp_path / "s.png") as sheet:
        middle = np.asarray(sheet.convert("L"))[38, 12::16]
    assert middle.tolist() == [0, 40, 80, 120, 160, 200]


def test_what_does_not_fit_is_said_once(tmp_path) -> None:
    """As a note, and not by the log, too."""
    root = tmp_path / "runs"
    with Experiment("odd", dash_root=root, echo=False, environment=False).run as run:
        run.track("a").append({"step": 0})
        run.track("b").append({"x": 0})
        run.files("cam").save_image(np.zeros((2, 2), np.uint8), to="cam_0.png")
    words = ("--format", "npy", "--root", root, "-o", tmp_path / "odd")
    done = process("export", "odd", *words)
    assert done.code == 0 and done.err.count("1 of b without a step") == 1


def test_frames_draws_a_contact_sheet(cli, tmp_path) -> None:
    """Of each camera as many frames as asked, the first and the last among them."""
    assert chosen(20, 4) == [0, 6, 13, 19] and chosen(2, 12) == [0, 1] and chosen(1, 3) == [0]
    assert cli("frames", "robotics/two", "-n", "2", "--columns", "2", "-o", "s.png").code == 0
    with Image.open(tmp_path / "s.png") as sheet:
        pixels = np.asarray(sheet)
    assert pixels.shape[1] == 2 * (240 + 8) + 8
    strong = (pixels.astype(int).max(2) - pixels.astype(int).min(2)) > 60
    assert strong[: len(strong) // 2].mean() > 0.3 and strong[len(strong) // 2 :].mean() > 0.3
    assert cli("frames", "robotics/arm", "--width", "64", "-o", "s.jpg").code == 0


def test_what_cannot_be_a_sheet_is_told(cli) -> None:
    """In a line each."""
    for words in ("-n 0 -o s.png", "-o s.gif", "--frames lef -o s.png"):
        done = cli("frames", "robotics/two", *words.split())
        assert done.code == 2 and done.err.count("\n") == 1


def test_video_makes_one_file(cli, tmp_path) -> None:
    """Of one camera, which must be named where there are several."""
    av = pytest.importorskip("av")
    assert cli("video", "robotics/arm", "-o", "run.mp4", "--fps", "25").out.startswith("run.mp4")
    with av.open(str(tmp_path / "run.mp4")) as file:
        assert file.streams.video[0].average_rate == 25
        assert sum(1 for _ in file.decode(video=0)) == 20
    done = cli("video", "robotics/two", "-o", "two.mp4")
    assert done.code == 2 and "'left', 'right'" in done.err
    assert cli("video", "robotics/two", "--frames", "right", "-o", "two.mp4").code == 0


def test_a_process_of_its_own_exports(root, tmp_path) -> None:
    """Nothing on stderr, and no temporary thing left beside the result."""
    done = process(
        *("export", "robotics/arm", "--format", "png", "--root", root, "-o", tmp_path / "out")
    )
    assert (done.code, done.err) == (0, "")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
