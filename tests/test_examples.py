"""The examples, run as a user runs them, and what they recorded, read back."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import ml_dash

EXAMPLES = Path(__file__).parents[1] / "examples"
NAMES = (
    *("quickstart", "tracks", "images", "cartpole", "robot"),
    *("gymnasium_cartpole", "gymnasium_pixels", "sb3_ppo", "mujoco_arm"),
    *("behaviour_cloning", "export_session"),
    *("resume", "sweep", "cameras", "remote"),
)
WITHOUT_EXPERIMENT = ("lightning_fit",)  # its logger makes one

STEPS, EVERY, HEIGHT, WIDTH = 400, 20, 240, 320


def run_example(name, folder, *options, **variables):
    """Run one example in a folder of its own; what it printed."""
    # Another package's tests may have set these for themselves.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ML_DASH_")}
    environment |= variables
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / f"{name}.py"), *map(str, options)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def only_run(root):
    """The one run below `root`."""
    (run,) = ml_dash.list_runs(root)
    return run


@pytest.fixture(scope="module")
def robot(tmp_path_factory):
    """A smaller recording of the arm: what was printed, and its run."""
    folder = tmp_path_factory.mktemp("robot")
    size = ("--height", HEIGHT, "--width", WIDTH)
    printed = run_example(
        "robot", folder, "--root", "runs", "--steps", STEPS, "--every", EVERY, *size
    )
    return printed, only_run(folder / "runs")


@pytest.mark.parametrize("name", [*NAMES, *WITHOUT_EXPERIMENT, "contact_sheet"])
def test_every_example_says_what_it_does_when_asked(name, tmp_path):
    """`--help` prints the usage and records nothing."""
    printed = run_example(name, tmp_path, "--help")
    assert printed.startswith("usage:")
    assert list(tmp_path.iterdir()) == []


def test_every_example_is_tested():
    """A file that records is among those that the tests here run."""
    recording = {path.stem for path in EXAMPLES.glob("*.py") if "Experiment(" in path.read_text()}
    assert recording == set(NAMES)


def test_every_example_is_listed():
    """In the README, in the index of the folder, and among those that `make examples` runs."""
    home = EXAMPLES.parent
    wanted = {*NAMES, *WITHOUT_EXPERIMENT}
    readme = re.findall(r"\]\(examples/(\w+)\.py\)", (home / "README.md").read_text())
    assert {*readme} == wanted and len(readme) == len(wanted)
    index = re.findall(r"^\| \[\w+\.py\]\((\w+)\.py\)", (EXAMPLES / "README.md").read_text(), re.M)
    assert {*index} == wanted and len(index) == len(wanted)
    made = re.search(
        r"^examples:.*\n\t@for name in ([\w\s\\]+); do", (home / "Makefile").read_text(), re.M
    )
    assert made and {*made[1].replace("\\", " ").split()} == wanted


def test_the_quickstart_records_a_training_run(tmp_path):
    """Params, logs, metrics, a track and a file come back, and the loss fell."""
    printed = run_example("quickstart", tmp_path, "--root", "runs", "--steps", 50)
    run = only_run(tmp_path / "runs")
    assert run.status == "COMPLETED"
    assert run.params["data"] == {"points": 64, "noise": 0.1}
    assert [row["message"] for row in run.logs] == ["training starts", "training ends"]
    loss = run.metrics["train"]["loss"]
    assert len(loss) == 50 and loss[-1] < loss[0] / 10
    assert np.array_equal(run.tracks["model/line"]["step"], np.arange(50))
    line = run.files.read_json("models/line.json")
    assert line["slope"] == run.tracks["model/line"]["slope"][-1]
    assert f"ml-dash show {run.prefix}" in printed


def test_tracks_of_several_rates_come_back_as_arrays(tmp_path):
    """By the robot's clock; the rows of the slow sensors go to those of the one that asks."""
    printed = run_example("tracks", tmp_path, "--root", "runs", "--seconds", 4)
    assert "gps      z = 0.40 at 2.0 s" in printed and "imu      201 rows" in printed
    run = only_run(tmp_path / "runs")
    assert {name: len(track) for name, track in run.tracks.items()} == {
        "flight/imu": 800,
        "flight/gps": 20,
        "flight/battery": 4,
    }
    imu = run.tracks["flight/imu"]
    assert imu["accel"].shape == (800, 3)
    assert np.allclose(imu["timestamp"], np.arange(800) / 200)
    rows = run.aligned("flight/gps", "flight/battery", on="timestamp")
    assert np.allclose(rows["flight/battery.volts"], 12.6 - 0.01 * (np.arange(20) // 5))


def test_a_recorded_environment_gives_its_transitions_back(tmp_path):
    """Each episode whole: as many transitions as its metric says, the last one ending it."""
    from ml_dash_gymnasium import transitions

    sizes = ("--generations", 2, "--population", 4)
    printed = run_example("gymnasium_cartpole", tmp_path, "--root", "runs", *sizes)
    run = only_run(tmp_path / "runs")
    found = list(transitions(run))
    lengths = run.metrics["env/episodes"]["length"]
    assert len(lengths) == 8 and lengths.sum() == len(found)
    ends = np.flatnonzero([one.terminated or one.truncated for one in found])
    assert np.array_equal(ends, np.cumsum(lengths) - 1)
    assert f"of the first of {len(found)}:" in printed


def test_recorded_pixels_are_frames_beside_their_rows(tmp_path):
    """Every row has the picture that the agent saw; the best episode is drawn."""
    printed = run_example("gymnasium_pixels", tmp_path, "--root", "runs", "--episodes", 2)
    run = only_run(tmp_path / "runs")
    rows = run.aligned("env/steps", frames="env/obs")
    assert rows.has_frame().all() and rows.frame(0).shape == (64, 64, 3)
    (path,) = re.findall(r"^look +(\S+):", printed, re.MULTILINE)
    with Image.open(tmp_path / path) as sheet:
        assert sheet.width > 1000


def test_stable_baselines_trains_on_recorded_environments(tmp_path):
    """PPO on CartPole and on pixels, each under a topic of its own."""
    pytest.importorskip("stable_baselines3")
    run_example("sb3_ppo", tmp_path, "--root", "runs", "--steps", 256, "--pixels", 32)
    run = only_run(tmp_path / "runs")
    assert run.status == "COMPLETED"
    assert len(run.tracks["cartpole/steps"]) >= 256
    assert len(run.frames("catch/obs")) >= 32


@pytest.mark.parametrize("deferred", [(), ("--deferred",)])
def test_the_hook_records_the_arm(tmp_path, deferred):
    """Rows of state and frames at the rate asked for, drawn at once or afterwards."""
    sizes = ("--steps", 200, "--height", 60, "--width", 80)
    run_example("mujoco_arm", tmp_path, "--root", "runs", *sizes, *deferred)
    run = only_run(tmp_path / "runs")
    assert len(run.tracks["mujoco/state"]) == 20
    rows = run.aligned("mujoco/state", frames="mujoco/front")
    assert rows.has_frame().all() and rows.frame(0).shape == (60, 80, 3)


def test_a_lightning_fit_goes_on_from_its_checkpoint(tmp_path):
    """Two fits, one run: steps go on, the loss falls, checkpoints and pictures are kept."""
    printed = run_example("lightning_fit", tmp_path, "--root", "runs", "--epochs", 2)
    run = only_run(tmp_path / "runs")
    losses = [row["val/loss"] for row in run.metrics["lightning"].rows() if "val/loss" in row]
    steps = [row["step"] for row in run.metrics["lightning"].rows() if "train/loss" in row]
    assert steps == list(range(4 * 12)) and len(losses) == 4 and losses[-1] < losses[0]
    assert len(run.frames("images/curve")) == 4
    (entry,) = run.files.read_json("checkpoints/checkpoints.json")
    assert run.files.exists(f"checkpoints/{entry['best']}")
    assert run.prefix in printed


def test_an_exported_session_is_what_was_recorded(tmp_path):
    """The example compares by itself, and says so."""
    printed = run_example("export_session", tmp_path, "--root", "runs")
    assert printed.strip()


def test_a_killed_training_goes_on_in_its_run(tmp_path):
    """Two sessions, one killed; every step is there once, and what was printed is what is there."""
    sizes = ("--steps", 60, "--kill-at", 25)
    printed = run_example("resume", tmp_path, "--root", "runs", *sizes)
    run = only_run(tmp_path / "runs")
    assert run.status == "COMPLETED"
    assert [session.status for session in run.sessions] == ["INTERRUPTED", "COMPLETED"]
    table = run.tracks["train"]
    assert np.array_equal(table["step"], np.arange(60))
    begins = [row["step"] for row in run.logs if row["message"] == "training starts"]
    assert begins[0] == 0 and begins[1] >= 26 and table["loss"][-1] < table["loss"][0] / 2
    assert "acknowledged ones that are lost: 0\n" in printed
    assert f"goes on  at step {begins[1]}, to step 59\n" in printed


def test_a_lost_row_would_be_noticed(tmp_path, monkeypatch):
    """The count of the example fails when a row that was acknowledged is not in the run."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import resume

    monkeypatch.setattr(resume.sys, "argv", ["resume.py", "--root", str(tmp_path), "--steps", "9"])
    real = resume.run_until
    monkeypatch.setattr(resume, "run_until", lambda at, command: [*real(None, command), 99])
    with pytest.raises(SystemExit, match="every step is in the run, once"):
        resume.main()


def test_a_sweep_is_a_table_of_its_runs(tmp_path):
    """A run for each rate, the best first; the one that diverges has failed, and says so."""
    rates = ("--rates", 0.01, 0.3, 2.5)
    printed = run_example("sweep", tmp_path, "--root", "runs", "--steps", 40, *rates)
    runs = {run.params["lr"]: run for run in ml_dash.list_runs(tmp_path / "runs")}
    assert {rate: run.status for rate, run in runs.items()} == {
        0.01: "COMPLETED",
        0.3: "COMPLETED",
        2.5: "FAILED",
    }
    assert runs[2.5].error == "diverged"
    table = [line.split() for line in printed.splitlines() if "/lr-" in line]
    assert [float(row[1]) for row in table] == [0.3, 0.01, 2.5]
    assert [row[2] for row in table] == ["40", "40", "6"]
    (path,) = re.findall(r"^chart +(\S+\.png)$", printed, re.MULTILINE)
    with Image.open(tmp_path / path) as chart:
        assert chart.width > 500


def test_cameras_of_several_rates_meet_at_their_steps(tmp_path):
    """Each has its own number of frames; the sheet has a row for each and a column a moment."""
    sizes = ("--steps", 80, "--height", 60, "--width", 80)
    printed = run_example("cameras", tmp_path, "--root", "runs", *sizes)
    run = only_run(tmp_path / "runs")
    every = {"cameras/front": 8, "cameras/top": 20, "cameras/wrist": 4}
    assert run.cameras == [*every]
    for camera, steps in every.items():
        assert np.array_equal(run.frames(camera).steps, np.arange(0, 80, steps))
    rows = run.aligned("robot/joints", frames=[*every])
    front, top, wrist = (rows.frame(40, camera).astype(int) for camera in every)
    assert min(np.abs(front - top).mean(), np.abs(top - wrist).mean()) > 5, "all see it otherwise"
    (path,) = re.findall(r"^look +(\S+)$", printed, re.MULTILINE)
    with Image.open(tmp_path / path) as sheet:
        assert sheet.size == (2 * 80, 3 * 60), "steps 0 and 40, three cameras"


def test_a_camera_that_misses_a_frame_is_noticed(tmp_path, monkeypatch):
    """The check of the example fails; it does not print success unseen."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import cameras

    with ml_dash.Experiment("a", dash_root=tmp_path, echo=False).run as experiment:
        recorder = experiment.recorder()
        for step in range(40):
            due = [camera for camera, every in cameras.EVERY.items() if step % every == 0]
            pixels = np.zeros((8, 8), np.uint8)
            frames = dict.fromkeys(due[: 1 if step == 20 else 3], pixels)
            recorder.record(step, tracks={cameras.JOINTS: {"q": 1.0}}, frames=frames)
    rows = ml_dash.open_run("a", tmp_path).aligned(cameras.JOINTS, frames=[*cameras.EVERY])
    with pytest.raises(SystemExit, match="cameras/top has a frame every 20 steps"):
        cameras.verify(rows)


def test_a_run_is_read_back_from_a_server_of_its_own(tmp_path):
    """Rows and frames are there as they are here, and the server and its folder are gone."""
    home = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "home")}
    printed = run_example("remote", tmp_path, "--root", "runs", TMPDIR=str(tmp_path), **home)
    run = only_run(tmp_path / "runs")
    assert f"/admin/{run.prefix}: COMPLETED\n" in printed
    assert "rows     200 on the server, the same as here: True\n" in printed
    assert "frames   20, at steps [ 0 10 20 30], …\n" in printed
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


def test_the_images_come_back_as_the_arrays_they_were(tmp_path):
    """PNG keeps masks and 16-bit depth to the last bit, and the step is that of the name."""
    run_example("images", tmp_path, "--root", "runs", "--steps", 3, "--height", 60, "--width", 80)
    run = only_run(tmp_path / "runs")
    assert run.cameras == [f"camera/{k}" for k in ("depth", "heat", "mask", "planes", "rgb")]
    for camera in run.cameras:
        assert np.array_equal(run.frames(camera).steps, np.arange(3))
    depth, mask = run.frames("camera/depth").to_numpy(), run.frames("camera/mask").to_numpy()
    assert depth.dtype == np.uint16 and depth.shape == (3, 60, 80)
    assert np.array_equal(mask, np.where(depth < 2000, 255, 0))
    planes, rgb = run.frames("camera/planes").to_numpy(), run.frames("camera/rgb").to_numpy()
    assert planes.shape == rgb.shape == (3, 60, 80, 3)
    assert np.abs(planes.astype(int) - rgb).mean() < 4, "JPEG and PNG show the same scene"


def test_cartpole_records_every_transition(tmp_path):
    """One row a step; the rewards of an episode's rows are what its metric says."""
    run_example("cartpole", tmp_path, "--root", "runs", "--generations", 2, "--population", 4)
    run = only_run(tmp_path / "runs")
    table, rewards = run.tracks["cartpole/transitions"], run.metrics["episodes"]["reward"]
    episode = table["episode"]
    assert np.array_equal(table["step"], np.arange(len(table)))
    assert table["observation"].shape == (len(table), 4)
    assert np.array_equal(np.unique(episode), np.arange(8))
    assert np.array_equal(np.bincount(episode, table["reward"]), rewards)
    last = np.append(np.flatnonzero(np.diff(episode)), len(table) - 1)
    over = table["terminated"] | table["truncated"]
    assert np.array_equal(np.flatnonzero(over), last), "each episode ends once, at its last row"


def test_the_robot_has_a_row_a_step_and_a_frame_every_so_many(robot):
    """All tracks have every step, the frames those that divide by `--every`."""
    printed, run = robot
    assert len(run.tracks) == 4
    for table in run.tracks.values():
        assert np.array_equal(table["step"], np.arange(STEPS))
    frames = run.frames("robot/frames")
    assert np.array_equal(frames.steps, np.arange(0, STEPS, EVERY))
    assert frames.to_numpy().shape == (STEPS // EVERY, HEIGHT, WIDTH, 3)
    assert f"run      {run.folder}\n" in printed
    assert f"rows     {4 * STEPS:,} in 4 tracks, {STEPS} steps\n" in printed
    assert "checked  read back: every step has a row; " in printed
    assert f"frames   {STEPS // EVERY}, one at every step that divides by {EVERY}\n" in printed


def test_the_arm_follows_its_path_and_touches_what_it_should(robot):
    """The end-effector is near its target, reaches all balls and presses the pad."""
    _, run = robot
    end = run.tracks["robot/end-effector"]
    position = np.stack([end[axis] for axis in "xyz"], axis=1)
    error = np.linalg.norm(position - end["target"], axis=1)
    assert np.median(error) < 0.03
    reached = [row["fields"]["ball"] for row in run.logs if row["message"] == "ball reached"]
    assert sorted(reached) == ["green", "red", "violet", "yellow"]
    assert run.tracks["robot/sensors"]["touch"].max() > 1
    assert run.tracks["robot/joints"]["position"].shape == (STEPS, 6)


def test_a_frame_shows_the_moment_of_its_row(robot):
    """The arm's coloured tip is seen where the row of the frame's step puts it, and no other."""
    _, run = robot
    rows = run.aligned("robot/end-effector", frames="robot/frames", on="step")
    position = np.stack([rows["robot/end-effector"][axis] for axis in "xyz"], axis=1)
    pixels, radii = project_to_image(position)
    nearest = []
    for i in np.flatnonzero(rows.has_frame()):
        red, green, blue = np.moveaxis(rows.frame(i).astype(int), -1, 0)
        magenta = (red - green > 70) & (blue - green > 30)
        shift = np.arange(-EVERY, EVERY + 1, 4)  # 4 steps move the tip by about its own size
        shift = shift[(i + shift >= 0) & (i + shift < STEPS)]
        seen = np.array([share_within(magenta, pixels[i + k], radii[i + k]) for k in shift])
        if seen.max() > 0.8:  # else the arm or a ball hides the tip
            nearest.append(shift[seen.argmax()])
    assert len(nearest) > STEPS // EVERY // 2
    assert np.count_nonzero(nearest) == 0, nearest


def project_to_image(points):
    """Where points of the world are in the frames, (N, 2) right and down, and the tip's radius."""
    import mujoco

    model = mujoco.MjModel.from_xml_path(str(EXAMPLES / "arm.xml"))
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    camera, tip = model.camera("front").id, model.geom("tip").size[0]
    focal = HEIGHT / 2 / np.tan(np.radians(model.cam_fovy[camera]) / 2)
    x, y, z = ((points - data.cam_xpos[camera]) @ data.cam_xmat[camera].reshape(3, 3)).T
    right, down = WIDTH / 2 + focal * x / -z, HEIGHT / 2 - focal * y / -z
    return np.stack([right, down], axis=1), focal * tip / -z


def share_within(mask, centre, radius):
    """How much of a disc is set in a mask, 0 to 1."""
    down, right = np.indices(mask.shape) + 0.5
    disc = np.hypot(right - centre[0], down - centre[1]) <= radius
    return mask[disc].mean() if disc.any() else 0.0


def test_the_contact_sheet_shows_the_frames(robot):
    """Its first picture is the first frame, made smaller; its path is drawn in colour."""
    printed, run = robot
    (path,) = re.findall(r"^look +(.*)$", printed, re.MULTILINE)
    sheet = np.asarray(Image.open(path)).astype(int)
    frame = Image.fromarray(run.frames("robot/frames")[0]).resize((288, 216), 1)
    shown = sheet[66 + 5 : 66 + 211, 14 + 5 : 14 + 283]
    assert np.abs(shown - np.asarray(frame)[5:211, 5:283]).mean() < 8
    plot = sheet[:, 14 + 3 * (288 + 14) :]
    coloured = plot.max(axis=-1) - plot.min(axis=-1) > 90
    assert coloured.mean() > 0.005


def test_the_backend_that_the_user_set_is_kept(monkeypatch):
    """`MUJOCO_GL` is the user's when it is set."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import offscreen

    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    assert offscreen.choose_gl() == "osmesa"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have one backend each")
def test_without_opengl_the_remedy_is_told(monkeypatch):
    """When nothing can draw, the program ends with the command that helps."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import offscreen

    monkeypatch.delenv("MUJOCO_GL", raising=False)
    monkeypatch.setattr(offscreen, "ATTEMPT", "raise SystemExit(1)")
    with pytest.raises(SystemExit, match="apt-get install"):
        offscreen.choose_gl()
    assert "MUJOCO_GL" not in os.environ


def test_the_robot_example_notices_a_missing_frame(robot, monkeypatch, tmp_path):
    """Its check fails when a frame or a row is not there: it does not print success unseen."""
    monkeypatch.syspath_prepend(EXAMPLES)
    import robot as example

    _, run = robot
    folder = tmp_path / "run"
    shutil.copytree(run.folder, folder)
    with pytest.raises(SystemExit, match="every step has a row"):
        example.verify(ml_dash.open_run(folder), STEPS + 1, EVERY)
    (index,) = (folder / "files" / "index").glob("*.jsonl")
    lines = index.read_bytes().splitlines(keepends=True)
    index.write_bytes(b"".join(lines[:-1]))
    with pytest.raises(SystemExit, match="frames belong to the rows"):
        example.verify(ml_dash.open_run(folder), STEPS, EVERY)
