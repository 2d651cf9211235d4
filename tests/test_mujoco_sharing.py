"""Several hooks of one run, and several threads at one hook."""

import threading

import mujoco
import pytest
from mujoco_models import forwarded, make, make_model, restart

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


# -- threads --------------------------------------------------------------------------------------


def test_threads_at_one_hook_record_one_after_the_other(experiment):
    """A row is of one simulation: what one thread copies is not read by another."""
    model, data = make()
    others = mujoco.MjData(model)
    others.qpos[7], others.time = 1.0, 1.0
    hook = RenderHook(experiment, model, [], every=1, state=["qpos", "site:ee"])
    taken, read_columns = threading.Event(), hook._columns.read

    def slowly(sources):
        if not taken.is_set():
            taken.set()
            second.join(0.3)
        return read_columns(sources)

    def call_second():
        taken.wait(10)
        hook(others)

    hook._columns.read = slowly
    second = threading.Thread(target=call_second)
    second.start()
    hook(data)
    second.join()
    rows = list(read(experiment).tracks[TRACK])
    assert [row["time"] for row in rows] == [0.0, 1.0] and hook.failures == 0
    for row, source in zip(rows, (data, others), strict=True):
        expected = forwarded(model, source)
        assert row["qpos"] == expected.qpos.tolist()
        assert row["site.ee"] == expected.site("ee").xpos.tolist()


# -- hooks of one prefix --------------------------------------------------------------------------


def test_the_rows_of_a_prefix_are_of_the_hook_that_was_made_last(experiment):
    """Both would record each moment; the call of the earlier one says so."""
    model, data = make()
    first = RenderHook(experiment, model, [], every=1)
    assert first(data) == 0
    later = RenderHook(experiment, model, [], every=1)
    other = RenderHook(experiment, model, [], every=1, prefix="left")
    for _ in range(2):
        mujoco.mj_step(model, data)
        with pytest.raises(ValueError, match=r"later hook .* prefix '', .* of its own"):
            first(data)
        later(data)
        other(data)
    run = read(experiment)
    assert run.tracks[TRACK].steps.tolist() == [0, 1, 2]
    assert run.tracks[f"left/{TRACK}"].steps.tolist() == [0, 1]


def test_a_hook_for_each_episode_need_not_be_closed(experiment):
    """The name goes on to the next one, which counts on."""
    model, data = make()
    for _ in range(3):
        restart(model, data)
        hook = RenderHook(experiment, model, [], every=1)
        hook(data)
    assert read(experiment).tracks[TRACK]["episode"].tolist() == [0, 1, 2]


def test_a_hook_that_is_refused_takes_nothing(experiment):
    """The one that is there goes on."""
    model, data = make()
    hook = RenderHook(experiment, model, [], every=1)
    with pytest.raises(ValueError, match="frnt"):
        RenderHook(experiment, make_model(), ["frnt"])
    assert hook(data) == 0


@pytest.mark.parametrize("sessions", [1, 2])
def test_the_name_map_is_of_all_hooks_of_a_prefix(tmp_path, sessions):
    """Also in a run that is continued; the rows of the earlier ones are read by it still."""
    options = [{"state": ["qpos"], "depth": True}, {"state": ["qvel"]}]
    for part in ([options], [options[:1], options[1:]])[sessions - 1]:
        experiment = Experiment("a", dash_root=tmp_path, environment=False)
        with experiment.run:
            for one in part:
                model, data = make()
                with RenderHook(experiment, model, [], every=1, **one) as hook:
                    hook(data)
    facts = ml_dash.open_run(experiment.folder).metadata["mujoco"][TRACK]
    assert list(facts["columns"]) == ["qpos", "qvel"]
    assert facts["columns"]["qpos"]["elbow"] == [7, 8]
    assert facts["depth"]["metres_per_count"] == 0.001 and "earlier" not in facts


def told(facts, step, kind):
    """What the metadata say of a step."""
    for one in facts.get("earlier", []):
        if step < one["before_step"] and kind in one:
            return one[kind]
    return facts[kind]


def test_what_a_later_hook_changes_is_kept_with_its_steps(experiment):
    """Such as the unit of depth: frames of before are read by the one they have."""
    model, data = make()
    units = (0.001, 0.001, 0.0001, 0.001, 0.0001, 0.0001)
    for unit in units:
        mujoco.mj_step(model, data)
        with RenderHook(experiment, model, [], every=1, depth=unit, state=["qpos"]) as hook:
            hook(data)
    facts = read(experiment).metadata["mujoco"][TRACK]
    assert [told(facts, step, "depth")["metres_per_count"] for step in range(6)] == list(units)
    assert [one["before_step"] for one in facts["earlier"]] == [2, 3, 4], "where it has changed"


SECOND = """
<mujoco><option timestep="0.02"/><worldbody>
  <body><joint name="wrist" axis="1 0 0"/><joint name="elbow"/><geom size="1"/></body>
</worldbody></mujoco>
"""


def test_each_step_is_told_by_the_model_and_the_pace_that_it_has(experiment):
    """Also where they take turns, and beside hooks that record nothing."""
    expected = []
    for turn in range(5):
        model = mujoco.MjModel.from_xml_string(SECOND) if turn % 2 else make_model()
        pace = {"fps": 10} if turn % 2 else {"every": 1}
        with RenderHook(experiment, model, [], state=["qpos"], **pace) as hook:
            hook(mujoco.MjData(model))
        with RenderHook(experiment, make_model(), [], rows_every=turn + 2, state=["qpos"]):
            pass
        elbow = [1, 2] if turn % 2 else [7, 8]
        expected.append((elbow, model.opt.timestep, pace.get("fps"), pace.get("every"), None))
    facts = read(experiment).metadata["mujoco"][TRACK]
    kinds = ("timestep", "fps", "every", "rows_every")
    assert [
        (
            told(facts, step, "columns")["qpos"]["elbow"],
            *(told(facts, step, kind) for kind in kinds),
        )
        for step in range(5)
    ] == expected
    assert [one["before_step"] for one in facts["earlier"]] == [1, 2, 3, 4, 5]


def test_the_size_of_frames_is_told_with_its_steps(experiment):
    """A hook that makes none says nothing of it."""
    model, data = make()
    for options in ({"size": (48, 64)}, {"cameras": []}, {"size": (24, 32)}):
        with RenderHook(experiment, model, every=1, deferred=True, **options) as hook:
            hook(data)
    facts = read(experiment).metadata["mujoco"][TRACK]
    assert facts["size"] == [24, 32]
    assert facts["earlier"] == [{"before_step": 2, "size": [48, 64]}]


def test_a_run_that_goes_on_with_another_prefix_keeps_what_was_told_of_the_first(tmp_path):
    """Another process may record the other arm."""
    model, data = make()
    for prefix in ("left", "right"):
        experiment = Experiment("robotics/two", dash_root=tmp_path, environment=False)
        with experiment.run:
            RenderHook(experiment, model, [], every=1, state=["qpos"], prefix=prefix)(data)
    facts = ml_dash.open_run(experiment.folder).metadata["mujoco"]
    assert set(facts) == {f"left/{TRACK}", f"right/{TRACK}"}
