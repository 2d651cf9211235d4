"""The MuJoCo hook: which rows and frames it records, when, and that it changes nothing."""

import copy
import sys

import mujoco
import numpy as np
import pytest
from mujoco_models import SIZE, forwarded, make, make_model, make_renderer, needs_opengl, restart

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook

TRACK = "mujoco/state"


@pytest.fixture
def experiment(tmp_path):
    """One whose run goes on."""
    with Experiment("robotics/bench", dash_root=tmp_path, environment=False).run as running:
        yield running


def read(experiment):
    """The run as it is on disk now."""
    experiment.flush()
    return ml_dash.open_run(experiment.folder)


def rows_of(experiment):
    """The recorded rows as dicts."""
    return list(read(experiment).tracks[TRACK])


def simulate(hook, model, data, steps):
    """Step and record; the states that were handed to the hook."""
    states = []
    for _ in range(steps):
        mujoco.mj_step(model, data)
        hook(data)
        states.append((data.time, data.qpos.copy()))
    return states


# -- frames and rows ------------------------------------------------------------------------------


@needs_opengl
def test_frame_and_row_share_step_timestamp_and_name(experiment):
    """What one call records can be joined exactly."""
    model, data = make()
    with RenderHook(experiment, model, cameras=["front"], size=SIZE, every=2) as hook:
        simulate(hook, model, data, 6)
    run = read(experiment)
    table, frames = run.tracks[TRACK], run.frames("mujoco/front")
    assert table["step"].tolist() == frames.steps.tolist() == [0, 1, 2]
    assert table.timestamps.tolist() == frames.timestamps.tolist()
    assert table["frame"].tolist() == frames.names
    assert frames.to_numpy().shape == (3, *SIZE, 3)
    assert table["time"].tolist() == pytest.approx([0.01, 0.03, 0.05])
    assert set(table["episode"]) == {0}


@needs_opengl
def test_a_frame_shows_the_very_state_of_its_row(experiment):
    """After mj_step MuJoCo would draw the poses of the step before; the hook does not."""
    model, data = make()
    shots, stale = [], []
    renderer = make_renderer(model)
    hook = RenderHook(
        experiment, model, ["front"], SIZE, every=1, state=["qpos", "site:ee"], image_format="png"
    )
    for _ in range(5):
        mujoco.mj_step(model, data)
        hook(data)
        for source, target in ((forwarded(model, data), shots), (data, stale)):
            renderer.update_scene(source, camera="front")
            target.append(renderer.render())
    renderer.close()
    run = read(experiment)
    frames, table = run.frames("mujoco/front").to_numpy(), run.tracks[TRACK]
    assert np.array_equal(frames, shots)
    assert not any(np.array_equal(*pair) for pair in zip(frames, stale, strict=True))
    # and the row says where the tip is that the frame shows
    for frame, position in zip(frames.astype(int), table["site.ee"], strict=True):
        magenta = (frame[..., 0] > 90) & (frame[..., 1] < 60) & (frame[..., 2] > 90)
        seen = np.argwhere(magenta).mean(axis=0) + 0.5
        focal = SIZE[0] / 2 / np.tan(np.radians(25))
        depth = position[1] + 2.2
        down = SIZE[0] / 2 - focal * (position[2] - 0.6) / depth
        right = SIZE[1] / 2 + focal * position[0] / depth
        assert np.hypot(*(seen - (down, right))) < 0.7


def test_derived_columns_are_of_the_moment_of_the_state(experiment):
    """Sites, bodies and sensors are those that mj_forward gives for the recorded state."""
    model, data = make()
    hook = RenderHook(
        experiment, model, [], every=1, state=["site:ee", "body:hand", "sensor:*", "qacc"]
    )
    expected = []
    for _ in range(4):
        mujoco.mj_step(model, data)
        hook(data)
        expected.append(forwarded(model, data))
    table = read(experiment).tracks[TRACK]
    assert np.array_equal(table["site.ee"], [d.site("ee").xpos for d in expected])
    assert np.array_equal(table["body.hand"], [d.body("hand").xpos for d in expected])
    assert np.array_equal(table["sensor.angle"], [d.sensor("angle").data[0] for d in expected])
    assert np.array_equal(table["sensor.tip"], table["site.ee"])
    assert np.allclose(table["sensor.sensor_2"], [d.sensordata[4:7] for d in expected])
    assert np.allclose(table["qacc"], [d.qacc for d in expected])


# -- columns --------------------------------------------------------------------------------------


def test_the_name_map_tells_which_part_of_an_array_is_whose(experiment):
    """Free and ball joints take several places, elements without a name are numbered."""
    model, data = make()
    RenderHook(experiment, model, [], every=1, state=["qpos", "qvel", "ctrl", "site:ee"])(data)
    run = read(experiment)
    names = run.metadata["mujoco"][TRACK]["columns"]
    joints = {"cube": [0, 7], "elbow": [7, 8], "joint_2": [8, 9], "socket": [9, 13]}
    dofs = {"cube": [0, 6], "elbow": [6, 7], "joint_2": [7, 8], "socket": [8, 11]}
    assert names == {"qpos": joints, "qvel": dofs, "ctrl": {"drive": [0, 1]}}
    table = run.tracks[TRACK]
    start, stop = names["qvel"]["joint_2"]
    assert table["qvel"][:, start:stop].tolist() == [[8.0]]
    assert table["qpos"][0, slice(*names["qpos"]["cube"])].tolist() == data.qpos[:7].tolist()


def test_columns_are_named_from_the_model(experiment):
    """A pattern selects single elements: a number, or a list where one has several values."""
    model, data = make()
    state = ["qpos:*", "joint:elbow", "actuator:drive", "sensor:*", "qvel:cu*", "geom:tip"]
    RenderHook(experiment, model, [], every=1, state=state)(data)
    (row,) = rows_of(experiment)
    for own in ("timestamp", "step", "time", "episode"):
        row.pop(own)
    assert list(row) == [
        *("qpos.cube", "qpos.elbow", "qpos.joint_2", "qpos.socket", "joint.elbow"),
        *("actuator.drive", "sensor.angle", "sensor.tip", "sensor.sensor_2", "qvel.cube"),
        "geom.tip",
    ]
    assert row["qpos.cube"] == data.qpos[:7].tolist() and row["qpos.elbow"] == 0.0
    assert len(row["qvel.cube"]) == 6 and len(row["sensor.tip"]) == 3


def test_the_name_map_keeps_what_else_the_metadata_says(tmp_path):
    """Two hooks and the user's own metadata are side by side."""
    model = make_model()
    with Experiment("a", dash_root=tmp_path, metadata={"lab": 3}).run as experiment:
        RenderHook(experiment, model, [])
        RenderHook(experiment, model, [], prefix="left")
    metadata = ml_dash.open_run(experiment.folder).metadata
    assert metadata["lab"] == 3
    assert set(metadata["mujoco"]) == {TRACK, "left/mujoco/state"}


@pytest.mark.parametrize("state", [["qpos"], [], ["userdata"], ["sensordata", "mocap_pos"]])
def test_a_model_that_has_nothing_to_select_is_recorded(experiment, state):
    """Empty arrays are empty lists, and of all sensors there may be none."""
    model = mujoco.MjModel.from_xml_string("<mujoco/>")
    hook = RenderHook(experiment, model, [], every=1, state=[*state, "sensor:*"])
    hook(mujoco.MjData(model))
    assert len(rows_of(experiment)) == 1 and hook.failures == 0


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"cameras": ["frnt"]}, r"'frnt' .* mean 'front'\? There are 'front', 'camera_1'"),
        ({"cameras": [2]}, r"2 is not in the model\. There are 'front'"),
        ({"state": ["qpso"]}, r"'qpso' .* mean 'qpos'\? There are 'qpos', 'qvel'"),
        ({"state": ["site:eee"]}, r"'eee' .* mean 'ee'\? There are 'ee'"),
        ({"state": ["sensor:x*"]}, r"'x\*' .* There are 'angle', 'tip', 'sensor_2'"),
        ({"state": ["tendon:a"]}, r"'a' is not in the model, which has none"),
        ({"state": ["motor:a"]}, r"'motor:a' is not in the model"),
        ({"fps": 30, "every": 4}, r"fps and every .* one of them"),
        ({"fps": 0}, r"fps is 0; .* positive"),
        ({"fps": "a"}, r"fps is 'a'; .* positive"),
        ({"quality": 101}, r"quality=101: give an integer from 1"),
        ({"every": 0}, r"every is 0; .* from 1 on"),
        ({"rows_every": 1.5}, r"rows_every is 1.5"),
        ({"size": (0, 64)}, r"size is \(0, 64\); .* from 1 to"),
        ({"size": (48, 1_000_000)}, r"from 1 to 16,384"),
        ({"depth": -1.0}, r"depth is -1.0; give True for millimetres"),
        ({"image_format": "bmp"}, r"format is 'bmp'"),
        ({"cameras": {"a": 0, "a_depth": 1}, "depth": True}, r"'a_depth' would hold two kinds"),
        ({"cameras": {"../a": 0}}, r"\.\."),
    ],
)
def test_a_wrong_argument_is_refused_with_what_there_is(experiment, arguments, message):
    """In the constructor, before anything was simulated."""
    with pytest.raises(ValueError, match=message):
        RenderHook(experiment, make_model(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": object()}, r"give a mujoco.MjModel, or a Gymnasium environment"),
        ({"cameras": "front"}, r"give a list, such as \['front'\]"),
        ({"cameras": [1.5]}, r"1.5 is neither a name nor an id"),
        ({"state": "qpos"}, r"give a list, such as"),
        ({"state": [3]}, r"3 is no text"),
        ({"cameras": b"front"}, r"cameras is b'front'; give a list"),
        ({"cameras": [True]}, r"True is neither a name nor an id"),
        ({"size": 480}, r"size is 480; give height and width"),
        ({"size": (48.0, 64.0)}, r"size is \(48.0, 64.0\); give .* whole numbers"),
        ({"size": (True, True)}, r"size is \(True, True\); give .* whole numbers"),
        ({"size": {48: 1, 64: 2}}, r"size is {48: 1, 64: 2}; give .* whole numbers"),
        ({"quality": 95.5}, r"quality=95.5: give an integer"),
        ({"prefix": 3}, r"prefix is 3; give a text"),
        ({"shadows": "no"}, r"shadows is 'no'; give True or False"),
        ({"renderer": object()}, r"give a mujoco.Renderer"),
        ({"experiment": "robotics/arm"}, r"give an Experiment"),
    ],
)
def test_an_argument_of_a_wrong_kind_is_refused(experiment, arguments, message):
    """Likewise."""
    given = {"experiment": experiment, "model": make_model(), **arguments}
    with pytest.raises(TypeError, match=message):
        RenderHook(**given)


def test_a_call_without_a_simulation_is_refused(experiment):
    """A wrong value fails where it is written."""
    hook = RenderHook(experiment, make_model(), [])
    for wrong in (None, 3, object()):
        with pytest.raises(TypeError, match="MjData"):
            hook(wrong)
    other = mujoco.MjModel.from_xml_string("<mujoco/>")
    with pytest.raises(ValueError, match="another model"):
        hook(mujoco.MjData(other))


UNNAMED = """
<mujoco>
  <worldbody>
    <body><joint name="j"/><geom size="0.1"/></body>
    <body pos="1 0 0"><freejoint/><geom size="0.1"/></body>
  </worldbody>
  <actuator>{}</actuator>
</mujoco>"""


def test_the_data_of_a_model_with_other_sizes_or_places_is_refused(experiment):
    """It has the same names, yet MuJoCo would read beyond its arrays, or put things elsewhere."""
    less = mujoco.MjModel.from_xml_string(UNNAMED.format('<motor joint="j"/>'))
    more = UNNAMED.format('<general joint="j" dyntype="integrator"/>')
    hook = RenderHook(experiment, mujoco.MjModel.from_xml_string(more), [], state=["site:*"])
    with pytest.raises(ValueError, match="another model"):
        hook(mujoco.MjData(less))

    spec = mujoco.MjSpec.from_string(more)
    model = spec.compile()
    data = mujoco.MjData(model)
    hook = RenderHook(experiment, model, [], state=["qpos", "body:*"], every=1, prefix="again")
    assert hook(data) == 0
    spec.bodies[1].pos = [0.5, 0, 1]
    _, data = spec.recompile(model, data)
    with pytest.raises(ValueError, match=r"another model .* is compiled again"):
        hook(data)


def test_the_data_of_an_equal_model_is_as_good(experiment):
    """Of a copy, and of one that was loaded again, in which no room was made for frames."""
    model, data = make()
    hook = RenderHook(experiment, model, ["front"], (100, 100), state=["qpos"], deferred=True)
    assert hook(copy.deepcopy(data)) == 0
    data = mujoco.MjData(make_model())
    data.time = 1.0
    assert hook(data) == 1 and hook.failures == 0


# -- when -----------------------------------------------------------------------------------------


def times_of(hook, experiment, times):
    """The simulation times that are recorded when the hook is called at each of these."""
    data = mujoco.MjData(make_model())
    for time in times:
        data.time = time
        hook(data)
    return [row["time"] for row in rows_of(experiment)]


def test_simulation_time_paces_the_rows(experiment):
    """Ten seconds of 500 Hz at 30 fps are 300 rows, a 30th apart but for the timestep."""
    hook = RenderHook(experiment, make_model(), [], fps=30)
    time, times = 0.0, []
    for _ in range(5000):
        time += 0.002  # with the error that a simulator has
        times.append(time)
    found = np.array(times_of(hook, experiment, times))
    assert len(found) == 300
    assert np.abs(found - (0.002 + np.arange(300) / 30)).max() < 0.002


def test_a_grid_that_the_timestep_divides_is_met_exactly(experiment):
    """Rounding of the time, which simulators add up, shifts no frame."""
    hook = RenderHook(experiment, make_model(), [], fps=50)
    times = np.cumsum(np.full(5000, 0.002))
    found = times_of(hook, experiment, times.tolist())
    assert found == times[::10].tolist()


def test_after_a_jump_one_frame_is_taken(experiment):
    """What was missed is not made up for, and the grid stays where it was."""
    hook = RenderHook(experiment, make_model(), [], fps=10)
    found = times_of(hook, experiment, [0.0, 0.05, 0.1, 5.03, 5.04, 5.06, 5.1, 5.15, 5.2])
    assert found == [0.0, 0.1, 5.03, 5.1, 5.2]


def test_by_default_there_are_30_frames_a_second(experiment):
    """Nobody wants a frame at each of 500 steps a second."""
    hook = RenderHook(experiment, make_model(), [])
    assert len(times_of(hook, experiment, np.arange(0, 1.001, 0.002).tolist())) == 31


def test_every_counts_calls(experiment):
    """A row and a frame at each n-th call, the first among them."""
    hook = RenderHook(experiment, make_model(), [], every=3)
    found = times_of(hook, experiment, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0])
    assert found == [1.0, 4.0, 7.0]


@needs_opengl
@pytest.mark.parametrize("pace", [{"every": 4}, {"fps": 25}])
def test_rows_may_come_oftener_than_frames(experiment, pace):
    """`rows_every=1` records a row at each call, frames at their own pace."""
    model, data = make()
    hook = RenderHook(experiment, model, ["front"], SIZE, state=["qpos"], rows_every=1, **pace)
    states = simulate(hook, model, data, 9)
    rows = rows_of(experiment)
    assert [(row["time"], row["qpos"]) for row in rows] == [(t, q.tolist()) for t, q in states]
    assert [i for i, row in enumerate(rows) if "frame" in row] == [0, 4, 8]
    assert read(experiment).frames("mujoco/front").steps.tolist() == [0, 4, 8]


def test_a_call_says_which_step_it_recorded(experiment):
    """Nothing when nothing was due."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=2)
    assert [hook(data)] + [mujoco.mj_step(model, data) or hook(data) for _ in range(4)] == [
        *(0, None, 1, None, 2),
    ]


def test_a_call_that_is_not_due_costs_next_to_nothing(experiment):
    """It calls nothing else, of Python or of C: that is about half a microsecond."""
    model, data = make()
    hook = RenderHook(experiment, model, [], fps=1e-3)
    hook(data)
    data.time = 0.1
    seen = []

    def note(frame, event, _):
        if frame.f_code.co_filename != __file__:
            seen.append((event, frame.f_code.co_name))

    sys.setprofile(note)
    try:
        hook(data)
    finally:
        sys.setprofile(None)
    assert seen == [("call", "__call__"), ("return", "__call__")]
    assert len(rows_of(experiment)) == 1


# -- episodes -------------------------------------------------------------------------------------


def test_a_reset_begins_an_episode_and_the_step_goes_on(experiment):
    """The first state of an episode is due, whatever was before."""
    model, data = make()
    hook = RenderHook(experiment, model, [], fps=10)
    for steps in (25, 3, 12):
        restart(model, data)
        simulate(hook, model, data, steps)
    rows = rows_of(experiment)
    assert [row["episode"] for row in rows] == [0, 0, 0, 1, 2, 2]
    assert [row["step"] for row in rows] == list(range(6))
    assert [row["time"] for row in rows] == pytest.approx([0.01, 0.11, 0.21, 0.01, 0.01, 0.11])
    assert hook.episode == 2


def test_a_hook_counts_on_where_the_one_before_it_ended(experiment):
    """A program may make one for each episode; those of another prefix begin anew."""
    model, data = make()
    for prefix in ("", "", "left", ""):
        restart(model, data)
        with RenderHook(experiment, model, [], every=1, prefix=prefix) as hook:
            simulate(hook, model, data, 2)
    rows = rows_of(experiment)
    assert [row["step"] for row in rows] == list(range(6))
    assert [row["episode"] for row in rows] == [0, 0, 1, 1, 2, 2] and hook.episode == 2
    assert read(experiment).tracks[f"left/{TRACK}"].steps.tolist() == [0, 1]


def test_a_continued_run_is_counted_on(tmp_path):
    """By a process that knows nothing of the one that recorded before."""
    for _ in range(2):
        model, data = make()
        with Experiment("a", dash_root=tmp_path, environment=False).run as experiment:
            hook = RenderHook(experiment, model, [], every=1)
            for _ in range(2):
                restart(model, data)
                simulate(hook, model, data, 2)
    table = read(experiment).tracks[TRACK]
    assert table.steps.tolist() == list(range(8))
    assert table["episode"].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_row_of_somebody_else_is_no_number_to_count_on(experiment):
    """Such as a note of the user's in the same track."""
    experiment.track(TRACK).append({"episode": None, "note": "begun"})
    model, data = make()
    with RenderHook(experiment, model, [], every=1) as hook:
        simulate(hook, model, data, 2)
    rows = [row for row in rows_of(experiment) if "note" not in row]
    assert [(row["step"], row["episode"]) for row in rows] == [(0, 0), (1, 0)]


def test_a_reset_between_two_rows_is_seen(experiment):
    """Also where time has passed the last row's again... but not that of the last call."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1000)
    simulate(hook, model, data, 5)
    restart(model, data)
    simulate(hook, model, data, 4)
    rows = rows_of(experiment)
    assert [(row["episode"], round(row["time"], 9)) for row in rows] == [(0, 0.01), (1, 0.01)]


@pytest.mark.parametrize("before", [1, 5])
def test_mujocos_own_reset_on_a_bad_state_begins_an_episode(experiment, before):
    """MuJoCo goes on from the start when a state has gone bad; the row says why."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1, state=["qpos"])
    simulate(hook, model, data, before)
    data.qpos[7] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(experiment.folder)  # MuJoCo writes a log where it is
        simulate(hook, model, data, 3)
    rows = rows_of(experiment)
    assert [row["episode"] for row in rows] == [0] * before + [1] * 3
    assert [row["step"] for row in rows] == list(range(before + 3))
    assert [row.get("reset") for row in rows] == [None] * before + ["BADQPOS", None, None]
    assert rows[before]["time"] == pytest.approx(0.01)


@pytest.mark.parametrize("field", ["qpos", "qfrc_applied"])
def test_each_of_mujocos_own_resets_begins_an_episode(experiment, tmp_path, monkeypatch, field):
    """Also right after one another, when time and MuJoCo's count of them are the same."""
    monkeypatch.chdir(tmp_path)  # MuJoCo writes a log where it is
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1, state=["qpos"])
    simulate(hook, model, data, 2)
    for _ in range(3):
        getattr(data, field)[7 if field == "qpos" else 6] = np.nan
        simulate(hook, model, data, 1)
    simulate(hook, model, data, 2)
    rows = rows_of(experiment)
    assert [row["episode"] for row in rows] == [0, 0, 1, 2, 3, 3, 3]
    assert [row["step"] for row in rows] == list(range(7))
    kind = "BADQPOS" if field == "qpos" else "BADQACC"
    assert [row.get("reset") for row in rows] == [None] * 2 + [kind] * 3 + [None] * 2


def test_an_episode_can_be_begun_by_hand(experiment):
    """Where simulation time does not go back, nobody else can know."""
    model, data = make()
    hook = RenderHook(experiment, model, [], fps=10)
    hook.reset()  # before the first call there is nothing to end
    simulate(hook, model, data, 3)
    hook.reset()
    simulate(hook, model, data, 3)
    rows = rows_of(experiment)
    assert [(row["episode"], round(row["time"], 9)) for row in rows] == [(0, 0.01), (1, 0.04)]


# -- harmless -------------------------------------------------------------------------------------


def controlled(model, data, hook):
    """A loop whose controller reads poses and sensors after the hook; its trajectory."""
    trajectory = []
    for _ in range(200):
        mujoco.mj_step(model, data)
        hook(data)
        tip = data.site("ee").xpos
        data.ctrl[0] = 0.3 * (0.9 - tip[2]) - 0.1 * data.sensordata[4:7].sum() * 1e-3
        trajectory.append(np.concatenate([data.qpos, data.qvel, data.sensordata, tip]))
    return np.array(trajectory)


@pytest.mark.parametrize("cameras", [[], pytest.param(["front"], marks=needs_opengl)])
def test_the_trajectory_is_the_same_to_the_last_bit(experiment, cameras):
    """Bringing poses up to date for the frame must not change what a controller reads next."""
    model, data = make()
    hook = RenderHook(experiment, model, cameras, SIZE, every=20, rows_every=1)
    recorded = controlled(model, data, hook)
    assert hook.failures == 0 and len(rows_of(experiment)) == 200
    assert np.array_equal(recorded, controlled(*make(), lambda data: None))


def test_the_users_callbacks_are_not_called_for_recording(experiment):
    """A controller or sensor of the user's may count its calls."""
    model, data = make()
    calls = []
    mujoco.set_mjcb_control(lambda model, data: calls.append("control"))
    mujoco.set_mjcb_passive(lambda model, data: calls.append("passive"))
    try:
        hook = RenderHook(experiment, model, [], every=1, state=["sensor:*", "site:ee"])
        mujoco.mj_step(model, data)
        before = list(calls)
        hook(data)
        assert calls == before and hook.failures == 0
    finally:
        mujoco.set_mjcb_control(None)
        mujoco.set_mjcb_passive(None)
    (row,) = rows_of(experiment)
    assert row["sensor.angle"] == data.sensor("angle").data[0], "as it stands, then"


def test_an_error_while_recording_does_not_reach_the_simulation(experiment, monkeypatch):
    """It is told once and counted, and the rows go on."""
    model, data = make()
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1)

    def fail(*_):
        raise ValueError("no picture today")

    monkeypatch.setattr(hook._painter, "draw", fail)
    with pytest.warns(RuntimeWarning, match="no picture today") as told:
        simulate(hook, model, data, 3)
    assert len(told) == 1 and hook.failures == 3
    assert told[0].filename == __file__, "the line that called the hook, not one of it"
    assert len(rows_of(experiment)) == 3


def test_a_call_after_the_end_of_the_run_is_told_once(tmp_path):
    """The simulation may go on longer than its recording."""
    model, data = make()
    with Experiment("a", dash_root=tmp_path).run as experiment:
        hook = RenderHook(experiment, model, [], every=1)
        simulate(hook, model, data, 2)
    with pytest.warns(RuntimeWarning, match="closed") as told:
        simulate(hook, model, data, 3)
    assert len(told) == 1 and told[0].filename == __file__
    assert len(ml_dash.open_run(experiment.folder).tracks[TRACK]) == 2


def test_a_hook_can_be_closed_twice(experiment):
    """With a with-block and the end of the run, that is the rule."""
    with RenderHook(experiment, make_model(), []) as hook:
        hook.close()
    hook.close()


@pytest.mark.parametrize("pace", [{"every": 1}, {"fps": 50}])
@pytest.mark.parametrize("time", [np.nan, np.inf, -np.inf])
def test_a_time_that_is_no_number_is_told(experiment, pace, time):
    """Once, by its name; what follows is recorded, and no episode begins for it."""
    model, data = make()
    hook = RenderHook(experiment, model, [], state=["qpos"], **pace)
    simulate(hook, model, data, 1)
    before, data.time = data.time, time
    with pytest.warns(RuntimeWarning, match=rf"data.time is {time}, .* mj_resetData") as told:
        assert [hook(data), hook(data)] == [None, None]
    assert len(told) == 1 and hook.failures == 2
    data.time = before + 0.1
    hook(data)
    assert [(row["step"], row["episode"]) for row in rows_of(experiment)] == [(0, 0), (1, 0)]


def test_a_nan_state_is_recorded_as_it_is(experiment):
    """What goes wrong is what one wants to see."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1, state=["qpos", "site:ee"])
    data.qpos[7] = np.inf
    hook(data)
    (row,) = rows_of(experiment)
    assert row["qpos"][7] == np.inf and hook.failures == 0
