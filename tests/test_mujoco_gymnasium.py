"""The MuJoCo hook and Gymnasium: environments as simulations, and the wrapper at the same time."""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from mujoco_models import SIZE, needs_opengl

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook

gym = pytest.importorskip("gymnasium")
pytest.importorskip("imageio", reason="gymnasium[mujoco] needs it")

TRACK = "mujoco/state"
EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def experiment(tmp_path):
    """One whose run goes on."""
    with Experiment("robotics/pendulum", dash_root=tmp_path, environment=False).run as running:
        yield running


@pytest.fixture
def env():
    """An environment of five MuJoCo steps a step."""
    made = gym.make("InvertedDoublePendulum-v5", max_episode_steps=4)
    yield made
    made.close()


def read(experiment):
    """The run as it is on disk now."""
    experiment.flush()
    return ml_dash.open_run(experiment.folder)


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize("how", ["", "env", "env.unwrapped.data", "gym.wrappers.TimeAware(env)"])
def test_an_environment_is_recorded(experiment, env, how, wrapped):
    """By `hook()` or `hook(env)`; resets begin episodes."""
    hook = RenderHook(experiment, env if wrapped else env.unwrapped, [], every=1, state=["qpos"])
    positions = []
    for episode in range(2):
        env.reset(seed=episode)
        for _ in range(3):
            hook(*([eval(how, {"env": env, "gym": _Wrappers})] if how else []))
            positions.append(env.unwrapped.data.qpos.copy())
            env.step(env.action_space.sample())
    table = read(experiment).tracks[TRACK]
    assert np.array_equal(table["qpos"], positions)
    assert table["episode"].tolist() == [0, 0, 0, 1, 1, 1]
    assert table["time"].tolist() == pytest.approx([0.0, 0.05, 0.1] * 2)
    assert hook.failures == 0


class _Wrappers:
    class wrappers:  # noqa: N801 - as gymnasium calls it
        @staticmethod
        def TimeAware(env):
            """A wrapper that the hook has not seen."""
            return gym.Wrapper(env)


@needs_opengl
def test_an_environment_that_makes_itself_a_new_model_is_followed(experiment, env):
    """As those do that change their world at a reset; names and renderer are the new model's."""
    hook = RenderHook(experiment, env, size=SIZE, every=1, state=["qpos"])
    env.reset(seed=0)
    hook()
    base = env.unwrapped
    base.model = mujoco.MjModel.from_xml_string(
        "<mujoco><worldbody><body><joint name='j'/><geom size='1' rgba='1 0 0 1'/></body>"
        "</worldbody></mujoco>"
    )
    base.data = mujoco.MjData(base.model)
    hook()
    run = read(experiment)
    assert [len(row["qpos"]) for row in run.tracks[TRACK]] == [3, 1]
    facts = run.metadata["mujoco"][TRACK]
    assert facts["columns"]["qpos"] == {"j": [0, 1]}
    (earlier,) = facts["earlier"]
    assert earlier["before_step"] == 1
    assert earlier["columns"] == {"qpos": {"slider": [0, 1], "hinge": [1, 2], "hinge2": [2, 3]}}
    frames = run.frames("mujoco/free")
    assert len(frames) == 2 and hook.failures == 0
    assert frames[1][24, 32, 0] > 100, "the red ball is in the middle"


def test_a_new_model_that_lacks_what_is_selected_is_not_recorded_by_the_old_one(experiment, env):
    """Told once and counted; rows go on once there is a model that has it."""
    base = env.unwrapped
    env.reset(seed=0)
    hook = RenderHook(experiment, env, [], every=1, state=["qpos", "site:tip"])
    hook()
    own = base.model, base.data
    base.model = mujoco.MjModel.from_xml_string("<mujoco/>")
    base.data = mujoco.MjData(base.model)
    with pytest.warns(RuntimeWarning, match="'tip' is not in the model") as told:
        assert [hook() for _ in range(3)] == [None] * 3
    assert len(told) == 1 and hook.failures == 3
    base.model, base.data = own
    assert hook() is not None and hook.failures == 3
    assert [len(row["qpos"]) for row in read(experiment).tracks[TRACK]] == [3, 3]


class ArmEnv(gym.Env):
    """The arm of the examples, whose action is where its joints should go."""

    def __init__(self, arm):
        self.arm = arm
        self.model, self.data = arm.model, arm.data
        bound = np.full(arm.model.nu, np.pi)
        self.action_space = gym.spaces.Box(-bound, bound, dtype=np.float64)
        self.observation_space = gym.spaces.Box(-np.inf, np.inf, (3,), np.float64)

    def reset(self, *, seed=None, options=None):
        """Back to the keyframe `home`."""
        super().reset(seed=seed)
        mujoco.mj_resetDataKeyframe(self.model, self.data, self.model.key("home").id)
        mujoco.mj_forward(self.model, self.data)
        return self.arm.ee, {}

    def step(self, action):
        """Four steps of the simulation: 50 Hz."""
        self.data.ctrl[:] = action
        mujoco.mj_step(self.model, self.data, 4)
        mujoco.mj_forward(self.model, self.data)
        return self.arm.ee, 0.0, False, self.data.time > 0.599, {}


@needs_opengl
def test_an_arm_under_control_is_recorded_by_hook_and_wrapper_at_once(experiment, monkeypatch):
    """Observation, action, state and frame of a step fit together, and the arm has moved."""
    from ml_dash_gymnasium import RecordToDash

    monkeypatch.syspath_prepend(EXAMPLES)
    from arm import Arm, path

    try:
        arm = Arm(steps=60)
    except ValueError:
        pytest.skip("arm.xml needs a later mujoco than 3.2")
    env = RecordToDash(ArmEnv(arm), experiment, frames=None)
    hook = RenderHook(
        experiment, env, ["front"], SIZE, fps=25, rows_every=1, state=["ctrl", "site:ee"]
    )
    for episode in range(2):
        env.reset(seed=episode)
        hook()
        over = False
        while not over:
            arm.target = path(arm.data.time)
            arm._steer()  # the controller: it sets data.ctrl
            over = env.step(arm.data.ctrl.copy())[3]
            hook()
    env.close()
    run = read(experiment)
    steps, state = run.tracks["env/steps"], run.tracks[TRACK]
    assert len(steps) == len(state) == 2 * 31 and hook.failures == 0
    assert state.timestamps.tolist() == steps.timestamps.tolist()
    assert state["episode"].tolist() == steps["episode"].tolist()
    assert np.array_equal(state["site.ee"], steps["obs"])
    actions, controls = [row.get("action") for row in steps], state["ctrl"]
    for n in np.flatnonzero(state["time"] < 0.59):
        assert np.array_equal(actions[n], controls[n + 1]), "what it did next"
    frames = run.frames("mujoco/front")
    assert frames.steps.tolist() == [*range(0, 31, 2), *range(31, 62, 2)]
    assert np.ptp(steps["obs"], axis=0).max() > 0.1


def both(experiment, env, *, episodes=2, **options):
    """Record an environment with the wrapper and the hook; the run."""
    from ml_dash_gymnasium import RecordToDash

    recorded = RecordToDash(env, experiment, frames=None)
    hook = RenderHook(experiment, recorded, size=SIZE, **options)
    for episode in range(episodes):
        recorded.reset(seed=episode)
        hook()
        over = False
        while not over:
            _, _, terminated, truncated, _ = recorded.step(np.zeros(1, np.float32))
            hook()
            over = terminated or truncated
    recorded.close()
    assert hook.failures == 0
    return read(experiment)


@needs_opengl
def test_hook_and_wrapper_make_one_step(experiment, env):
    """Each observation, its state and its frame have one step and one timestamp."""
    run = both(experiment, env, every=1)
    state, steps = run.tracks[TRACK], run.tracks["env/steps"]
    assert state["step"].tolist() == steps["step"].tolist() == list(range(10))
    assert state.timestamps.tolist() == steps.timestamps.tolist()
    assert state["episode"].tolist() == steps["episode"].tolist() == [0] * 5 + [1] * 5
    assert run.frames("mujoco/free").steps.tolist() == list(range(10))
    assert "substep" not in state.columns
    rows = run.aligned("env/steps", TRACK, frames="mujoco/free", on="step")
    assert len(rows) == 10 and rows.has_frame().all()
    # and they are of the same state: the observation begins with the cart's position
    observed = np.array([row["obs"][0] for row in steps])
    assert np.allclose(state["qpos"][:, 0], observed)


@pytest.mark.parametrize("first", [0, 1])
def test_a_hook_that_leaves_out_episodes_has_the_wrappers_numbers(experiment, env, first):
    """Rows meet by episode and step; one that MuJoCo resets within an episode is of it still."""
    from ml_dash_gymnasium import RecordToDash

    recorded = RecordToDash(env, experiment)
    hook = RenderHook(experiment, recorded, [], every=1, state=["qvel"])
    for number in range(4):
        recorded.reset(seed=number)
        for t in range(3):
            recorded.step(np.zeros(1, np.float32))
            if number % 2 == first:
                if t == 1:
                    env.unwrapped.data.time = 0.0
                hook()
    assert hook.episode == 2 + first
    recorded.close()
    run = read(experiment)
    assert run.tracks[TRACK]["episode"].tolist() == [first] * 3 + [2 + first] * 3
    rows = run.aligned("env/steps", TRACK)
    met = ~np.isnan(rows["qvel"][:, 0])
    assert len(rows) == 16 and met.sum() == 6
    assert np.allclose(rows["obs"][met, 5:8], rows["qvel"][met], atol=1e-5)


def test_hook_and_wrapper_count_alike_in_a_continued_run(tmp_path, env):
    """Else the rows of the second session would belong to different episodes."""
    from ml_dash_gymnasium import RecordToDash

    for _ in range(2):
        with Experiment("a", dash_root=tmp_path, environment=False).run as experiment:
            recorded = RecordToDash(env, experiment)
            hook = RenderHook(experiment, recorded, [], every=1, state=["qvel"])
            for seed in range(2):
                recorded.reset(seed=seed)
                hook()
                over = False
                while not over:
                    _, _, terminated, truncated, _ = recorded.step(recorded.action_space.sample())
                    over = terminated or truncated
                    hook()
            recorded.close()
    run = ml_dash.open_run(experiment.folder)
    rows = run.aligned("env/steps", TRACK)
    assert len(rows) == len(run.tracks["env/steps"]) == len(run.tracks[TRACK])
    assert np.unique(rows.episode_index).tolist() == [0, 1, 2, 3]
    assert np.allclose(rows["obs"][:, 5:8], rows["qvel"], atol=1e-5)


def test_a_hook_inside_the_environment_joins_the_step_that_comes_out(experiment, env):
    """It is called for each step of the simulation, of which one of the environment has five."""
    from ml_dash_gymnasium import RecordToDash

    base = env.unwrapped
    recorded = RecordToDash(env, experiment, frames=None)
    hook = RenderHook(experiment, env, [], every=1)

    def simulate(ctrl, frames):
        base.data.ctrl[:] = ctrl
        for _ in range(frames):
            mujoco.mj_step(base.model, base.data)
            hook()

    base._step_mujoco_simulation = simulate
    recorded.reset(seed=0)
    for _ in range(2):
        recorded.step(np.zeros(1, np.float32))
        hook()  # the user calls it, too
    rows = list(read(experiment).tracks[TRACK])
    assert [row["step"] for row in rows] == [1] * 5 + [2] * 5
    assert [row.get("substep") for row in rows] == [None, 1, 2, 3, 4] * 2


@needs_opengl
def test_a_deferred_hook_beside_the_wrapper_draws_the_same(tmp_path):
    """Steps, names and pixels are those of drawing at once."""
    runs = []
    for name, deferred in (("now", False), ("later", True)):
        env = gym.make("InvertedDoublePendulum-v5", max_episode_steps=4)
        experiment = Experiment(name, dash_root=tmp_path, environment=False)
        with experiment.run:
            both(experiment, env, every=2, deferred=deferred)
            if deferred:
                from ml_dash_mujoco import render_deferred

                render_deferred(experiment, progress=False)
        runs.append(ml_dash.open_run(experiment.folder))
    now, later = (run.frames("mujoco/free") for run in runs)
    assert now.names == later.names and now.steps.tolist() == later.steps.tolist()
    assert all(now.read_bytes(i) == later.read_bytes(i) for i in range(len(now)))


def test_a_hook_joins_no_step_of_another_environment(experiment, env):
    """Of two that are wrapped, and of one that has nothing to do with the simulation."""
    from ml_dash_gymnasium import RecordToDash

    other = gym.make("CartPole-v1")
    train = RecordToDash(env, experiment, topic="train")
    evaluation = RecordToDash(other, experiment, topic="eval")
    hook = RenderHook(experiment, train, [], every=1, state=["qpos"])
    shown = []
    for episode in range(2):
        train.reset(seed=episode)
        for step in range(4):
            hook()
            shown.append(env.unwrapped.data.qpos.copy())
            train.step(train.action_space.sample())
            if step == 1:
                evaluation.reset(seed=1)
                evaluation.step(0)
        hook()
        shown.append(env.unwrapped.data.qpos.copy())
    train.close()
    evaluation.close()
    run = read(experiment)
    state, steps = run.tracks[TRACK], run.tracks["train/steps"]
    assert state.steps.tolist() == steps.steps.tolist()
    assert state["episode"].tolist() == steps["episode"].tolist()
    assert np.array_equal(state["qpos"], shown)


def test_a_simulation_beside_a_wrapped_environment_has_steps_of_its_own(experiment):
    """Though the wrapper's last step is still open."""
    from ml_dash_gymnasium import RecordToDash

    evaluation = RecordToDash(gym.make("CartPole-v1"), experiment, topic="eval")
    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
    data = mujoco.MjData(model)
    hook = RenderHook(experiment, model, [], every=1)
    evaluation.reset(seed=1)
    evaluation.step(0)
    for _ in range(20):
        hook(data)
        mujoco.mj_step(model, data)
    evaluation.close()
    table = read(experiment).tracks[TRACK]
    assert len(set(table.steps.tolist())) == 20 and "substep" not in table.columns


def test_an_environment_that_keeps_its_simulation_deep_inside_is_known(experiment):
    """As those of dm_control and robosuite: within a list, within a simulator."""
    from ml_dash_gymnasium import RecordToDash

    model = mujoco.MjModel.from_xml_string("<mujoco><worldbody/></mujoco>")
    data = mujoco.MjData(model)

    class Simulator:
        def __init__(self):
            self.parts = [{"physics": data}]

    class Deep(gym.Env):
        observation_space = action_space = gym.spaces.Discrete(2)

        def __init__(self):
            self.simulator = Simulator()

        def reset(self, *, seed=None, options=None):
            mujoco.mj_resetData(model, data)
            return 0, {}

        def step(self, action):
            mujoco.mj_step(model, data)
            return 1, 0.0, False, False, {}

    deep = RecordToDash(Deep(), experiment)
    hook = RenderHook(experiment, model, [], every=1)
    deep.reset()
    hook(data)
    for _ in range(5):
        deep.step(0)
        hook(data)
    deep.close()
    run = read(experiment)
    assert run.tracks[TRACK].steps.tolist() == run.tracks["env/steps"].steps.tolist()
