"""Videos: H.264 in MP4, read back by PyAV."""

from __future__ import annotations

import os
import sys

import numpy as np
import pytest
from export_runs import START, gradient_error, picture, record

from ml_dash import Experiment, open_run
from ml_dash.export.video import movie

av = pytest.importorskip("av")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of 10 Hz with two cameras."""
    root = tmp_path_factory.mktemp("runs")
    return record(root, count=20, cameras=("cameras/front", "cameras/wrist"))


def decoded(path):
    """The frames of a video as arrays, with the times that they are shown at, and its stream."""
    with av.open(os.fspath(path)) as file:
        stream = file.streams.video[0]
        facts = (stream.codec.name, stream.codec_context.pix_fmt, stream.average_rate)
        frames = [(frame.time, frame.to_ndarray(format="rgb24")) for frame in file.decode(video=0)]
    return facts, frames


def test_each_camera_is_a_file_of_h264_at_the_rate_of_the_data(run, tmp_path) -> None:
    """What any player opens, every frame at its time and within the codec's loss."""
    made = run.export("video", tmp_path / "v")
    assert made.files == ["cameras_front.mp4", "cameras_wrist.mp4"] and made.frames == 40
    for offset, name in enumerate(made.files):
        facts, frames = decoded(made.path / name)
        assert facts == ("h264", "yuv420p", 10)
        assert [time for time, _ in frames] == pytest.approx([i / 10 for i in range(20)])
        for number, (_, frame) in enumerate(frames):
            assert gradient_error(frame, number + offset) < 3


def test_a_browser_can_begin_before_all_has_come(run, tmp_path) -> None:
    """The index stands in front of the frames."""
    data = (run.export("video", tmp_path / "v").path / "cameras_front.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_a_rate_and_a_size_can_be_chosen(run, tmp_path) -> None:
    """`fps` says how fast it is shown, `hz` which frames are taken."""
    options = {"frames": "cameras/front", "size": (30, 40)}
    facts, frames = decoded(movie(run, tmp_path / "a.mp4", fps=29.97, **options))
    assert float(facts[2]) == pytest.approx(29.97) and len(frames) == 20
    assert frames[0][1].shape == (30, 40, 3)
    facts, frames = decoded(movie(run, tmp_path / "b.mp4", hz=5, **options))
    assert facts[2] == 5 and len(frames) == 10


def test_odd_sides_are_made_even_by_repeating_the_last(tmp_path) -> None:
    """H.264 knows no others; it is noted."""
    run = record(tmp_path, count=3, size=(33, 47))
    made = movie(run, tmp_path / "a.mp4")
    assert made.notes == ["cameras/front: 33x47 was made even"]
    frame = decoded(made)[1][0][1]
    assert frame.shape == (34, 48, 3)
    wanted = picture(0, 33, 47).astype(int)
    assert np.abs(frame[:33, :47].astype(int) - wanted).mean() < 3


def test_faster_than_players_show_is_slowed_down_and_noted(tmp_path) -> None:
    """Frames of a simulation come by the thousand a second."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        for step in range(4):
            run.files("c").save_image(picture(0), to=f"f_{step}.png", timestamp=START + step / 1e3)
    made = movie(open_run("a", root=tmp_path), tmp_path / "a.mp4")
    assert decoded(made)[0][2] == 240
    assert "recorded at 1000 frames a second, shown at 240" in made.notes[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"fps": 0}, "fps=0"),
        ({"fps": True}, "fps=True"),
        ({"crf": 52}, "crf=52"),
        ({"frames": None}, "passframes=or--frames,oneof"),
        ({"to": "a.avi"}, "a.avi'"),
    ],
)
def test_a_wrong_argument_is_named(arguments, message, run, tmp_path) -> None:
    """With its value and the remedy."""
    options = {"to": tmp_path / "a.mp4", "frames": "cameras/front", **arguments}
    with pytest.raises(ValueError) as caught:
        movie(run, **options)
    assert message in str(caught.value).replace(" ", "")
    assert not list(tmp_path.iterdir())


def test_without_pyav_the_message_is_the_pip_line(run, tmp_path, monkeypatch) -> None:
    """Before anything is written."""
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match=r'pip install "ml-dash\[video\]"'):
        run.export("video", tmp_path / "v")
    assert not list(tmp_path.iterdir())


def test_episodes_of_simulated_time_are_played_one_after_the_other(tmp_path) -> None:
    """Time and step begin again with each; frames that were saved out of order are in theirs."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        recorder = run.recorder(format="png")
        for number in range(8):
            step = number % 4
            recorder.record(step, step / 10, frames={"sim": np.full((16, 16), 30 * number)})
        for number in (0, 1, 10, 2, 3):
            shade = np.full((16, 16), 20 * number)
            run.files("late").save_image(shade, to=f"f_{number}.png", timestamp=float(number))
        for number, at in enumerate((0, 1, 2, 2, 1, 2)):  # reset after the first frame
            facts = {"step": number % 3, "timestamp": at / 10}
            shade = np.full((16, 16), 40 * number)
            run.files("reset").save_image(shade, to=f"at {at} s {number}.png", **facts)
        for number, (step, at) in enumerate(((0, 0), (5, 10), (0, 5))):  # cut short: one frame
            shade = np.full((16, 16), 40 * number)
            run.files("short").save_image(shade, to=f"{number}.png", step=step, timestamp=at)
    open_run("a", root=tmp_path).export("video", tmp_path / "v", crf=5)
    expected = {"sim": range(0, 240, 30), "late": (0, 20, 40, 60, 200), "reset": range(0, 240, 40)}
    expected["short"] = (0, 40, 80)
    for camera, shades in expected.items():
        _, frames = decoded(tmp_path / "v" / f"{camera}.mp4")
        assert [frame.mean() for _, frame in frames] == pytest.approx(list(shades), abs=3)


@pytest.fixture
def files(tmp_path):
    """The files of a run that is recorded; and where it is."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        yield run.files("videos")


def test_frames_are_saved_as_a_video(tmp_path) -> None:
    """From a generator, with what there is to know in the index; and played back."""
    with Experiment("a", dash_root=tmp_path, echo=False, environment=False).run as run:
        given = (picture(number) for number in range(25))
        run.files("videos").save_video(given, to="rollout.mp4", fps=12.5, step=7)
    run = open_run("a", root=tmp_path)
    entry = run.files["videos/rollout.mp4"]
    assert entry["content_type"] == "video/mp4" and entry["step"] == 7
    assert (entry["frames"], entry["fps"], entry["duration"]) == (25, 12.5, 2.0)
    assert (entry["width"], entry["height"]) == (64, 48)
    (tmp_path / "copy.mp4").write_bytes(run.files.read_bytes("videos/rollout.mp4"))
    facts, frames = decoded(tmp_path / "copy.mp4")
    assert facts[2] == 12.5
    assert all(gradient_error(frame, number) < 3 for number, (_, frame) in enumerate(frames))


def test_arrays_are_videos_in_every_form_that_images_have(tmp_path, files) -> None:
    """A stack, gray, floats, channels first."""
    stack = np.stack([picture(number) for number in range(3)])
    for name, frames, options in (
        ("stack", stack, {}),
        ("gray", stack[..., 0], {}),
        ("floats", stack / 255, {}),
        ("chw", np.moveaxis(stack, -1, 1), {"layout": "CHW"}),
        ("small", stack, {"size": (24, 32)}),
    ):
        assert files.save_video(frames, to=f"{name}.mp4", **options)["status"] == "queued"


@pytest.mark.parametrize(
    ("frames", "options", "error", "message"),
    [
        ([], {}, ValueError, "there are no frames"),
        (3, {}, TypeError, "must be several images, not int"),
        ("frames.mp4", {}, TypeError, "must be several images, not str"),
        ([np.zeros((4, 4)), np.zeros((5, 5))], {}, ValueError, "frame 1 is 5x5"),
        ([np.zeros((3, 40, 40))], {}, ValueError, "frame 0.*channels come first"),
        (np.zeros((48, 64, 3)), {}, ValueError, r"one image, of shape \(48, 64, 3\)"),
        (np.zeros((3, 48, 64)), {"layout": "CHW"}, ValueError, "one image"),
        ([np.zeros((4, 4))], {"to": "a.gif"}, ValueError, r"saved as \.mp4"),
        ([np.zeros((4, 4))], {"fps": -1}, ValueError, "fps=-1"),
        ([np.zeros((4, 4))], {"crf": "18"}, ValueError, "crf='18'"),
    ],
)
def test_what_is_no_video_is_refused_at_the_call(frames, options, error, message, files) -> None:
    """And nothing is saved."""
    with pytest.raises(error, match=message):
        files.save_video(frames, **{"to": "a.mp4", **options})
    assert files.list() == []
