"""What the frames of the MuJoCo hook show: colour, depth, segmentation, from which cameras."""

import threading

import mujoco
import numpy as np
import pytest
from mujoco_models import SIZE, forwarded, make, make_model, make_renderer, needs_opengl

import ml_dash
from ml_dash import Experiment
from ml_dash_mujoco import RenderHook, decode_segmentation

pytestmark = needs_opengl


@pytest.fixture
def experiment(tmp_path):
    """One whose run goes on."""
    with Experiment("robotics/bench", dash_root=tmp_path, environment=False).run as running:
        yield running


def recorded(experiment, model, data, **options):
    """The run after one moment was recorded."""
    options = {"size": SIZE, "every": 1, "image_format": "png", **options}
    with RenderHook(experiment, model, **options) as hook:
        hook(data)
    assert hook.failures == 0
    experiment.flush()
    return ml_dash.open_run(experiment.folder)


def drawn(model, data, camera, mode=None, size=SIZE):
    """What MuJoCo's own renderer gives, once everything is computed."""
    renderer = make_renderer(model, size)
    renderer.update_scene(forwarded(model, data), camera=camera)
    if mode:
        getattr(renderer, f"enable_{mode}_rendering")()
    picture = renderer.render()
    renderer.close()
    return picture


def test_depth_is_millimetres(experiment):
    """In 16 bits, rounded to the nearest; 0 where the camera sees nothing."""
    model, data = make()
    run = recorded(experiment, model, data, cameras=["front"], depth=True)
    depth = run.frames("mujoco/front_depth")[0]
    metres = drawn(model, data, "front", "depth")
    far = model.vis.map.zfar * model.stat.extent
    sky = metres > 0.99 * far
    assert depth.dtype == np.uint16 and sky.any() and not sky.all()
    assert np.array_equal(depth == 0, sky)
    assert np.abs(depth[~sky] / 1000 - metres[~sky]).max() <= 0.0005001
    facts = run.metadata["mujoco"]["mujoco/state"]["depth"]
    assert facts == {"metres_per_count": 0.001, "nothing": 0}


def test_depth_may_have_another_unit(experiment):
    """Finer, for what is near: what is too far for 16 bits is 0 then."""
    model, data = make()
    run = recorded(experiment, model, data, cameras=["front"], depth=0.00004)
    depth = run.frames("mujoco/front_depth")[0]
    metres = drawn(model, data, "front", "depth")
    near = metres < 0.00004 * 65535
    assert near.any() and not near.all()
    assert np.array_equal(depth == 0, ~near)
    assert np.abs(depth[near] * 0.00004 - metres[near]).max() <= 0.0000201


def test_segmentation_loses_nothing(experiment):
    """The recorded labels decode to the very ids and types that MuJoCo gives."""
    model, data = make()
    run = recorded(experiment, model, data, cameras=["front"], segmentation=True)
    labels = run.frames("mujoco/front_segmentation")[0]
    expected = drawn(model, data, "front", "segmentation")
    ranges = run.metadata["mujoco"]["mujoco/state"]["segmentation"]
    assert labels.dtype == np.uint16
    assert np.array_equal(decode_segmentation(labels, ranges), expected)
    cube, geom = model.geom("cube").id, int(mujoco.mjtObj.mjOBJ_GEOM)
    assert np.array_equal(labels == cube + 1, (expected == (cube, geom)).all(axis=-1))
    kinds = set(np.unique(expected[..., 1]))
    assert {-1, geom, int(mujoco.mjtObj.mjOBJ_SITE)} <= kinds


def test_all_kinds_of_frames_belong_to_one_row(experiment):
    """Colour as JPEG and the exact ones as PNG have one stem, one step, one timestamp."""
    model, data = make()
    options = {"depth": True, "segmentation": True, "image_format": "jpg"}
    run = recorded(experiment, model, data, cameras=["front"], **options)
    cameras = ["mujoco/front", "mujoco/front_depth", "mujoco/front_segmentation"]
    assert run.cameras == cameras
    row = run.aligned("mujoco/state", frames=cameras, on="step")
    assert len(row) == 1
    assert [run.frames(camera).names for camera in cameras] == [
        ["frame_00000000.jpg"],
        ["frame_00000000.png"],
        ["frame_00000000.png"],
    ]
    times = {run.frames(camera).timestamps[0] for camera in cameras}
    assert times == {run.tracks["mujoco/state"].timestamps[0]}


def test_depth_and_segmentation_leave_the_colours_alone(experiment):
    """Each camera's picture is the same with and without them."""
    model, data = make()
    options = {"cameras": ["front", 1], "depth": True, "segmentation": True}
    run = recorded(experiment, model, data, **options)
    for name, camera in (("front", "front"), ("camera_1", 1)):
        assert np.array_equal(run.frames(f"mujoco/{name}")[0], drawn(model, data, camera))


def test_by_default_all_cameras_are_recorded(experiment):
    """One without a name is called by its id."""
    model, data = make()
    assert recorded(experiment, model, data).cameras == ["mujoco/camera_1", "mujoco/front"]


def test_a_model_without_cameras_is_seen_by_the_free_one(experiment):
    """As in MuJoCo's viewer."""
    xml = "<mujoco><worldbody><geom size='1' rgba='1 0 0 1'/></worldbody></mujoco>"
    model = mujoco.MjModel.from_xml_string(xml)
    data = mujoco.MjData(model)
    run = recorded(experiment, model, data)
    assert run.cameras == ["mujoco/free"]
    assert np.array_equal(run.frames("mujoco/free")[0], drawn(model, data, -1))


def test_a_camera_may_be_the_users_own(experiment):
    """Under a name of the user's, beside those of the model."""
    model, data = make()
    side = mujoco.MjvCamera()
    side.lookat[:], side.distance, side.azimuth, side.elevation = (0, 0, 0.7), 2.0, 30.0, -20.0
    run = recorded(experiment, model, data, cameras={"side": side, "up": "camera_1"})
    assert run.cameras == ["mujoco/side", "mujoco/up"]
    assert np.array_equal(run.frames("mujoco/side")[0], drawn(model, data, side))


def test_shadows_are_drawn_on_request(experiment):
    """By a flag of the scene; the model stays as it is."""
    model, data = make()
    quiet = recorded(experiment, model, data, cameras=["front"]).frames("mujoco/front")[0]
    run = recorded(experiment, model, data, cameras=["front"], shadows=True, prefix="s")
    assert run.frames("s/mujoco/front")[0].astype(int).sum() < quiet.astype(int).sum()
    assert model.light_castshadow.all()


def test_a_size_beyond_the_offscreen_buffer_makes_it_larger(experiment):
    """The model's own is 80x60; nobody need know."""
    model, data = make()
    run = recorded(experiment, model, data, cameras=["front"], size=(90, 100))
    assert run.frames("mujoco/front")[0].shape == (90, 100, 3)
    assert (model.vis.global_.offheight, model.vis.global_.offwidth) == (90, 100)


def test_a_renderer_of_the_users_is_used_as_it_is(experiment):
    """With its size and flags, in the thread that made it, and it is left open."""
    model, data = make()
    renderer = make_renderer(model, (30, 40))
    renderer.scene.flags[mujoco.mjtRndFlag.mjRND_WIREFRAME] = True
    options = {"renderer": renderer, "size": None, "depth": True}
    run = recorded(experiment, model, data, cameras=["front"], **options)
    frame = run.frames("mujoco/front")[0]
    assert frame.shape == (30, 40, 3)
    renderer.update_scene(forwarded(model, data), camera="front")
    assert np.array_equal(renderer.render(), frame), "a colour picture, and wired"
    with pytest.raises(ValueError, match=r"the renderer makes \(30, 40\); leave size out"):
        RenderHook(experiment, model, renderer=renderer, size=(48, 64))
    model = make_model()
    model.geom("cube").size[0] = 0.2
    with pytest.raises(ValueError, match="the renderer is one for another model"):
        RenderHook(experiment, model, renderer=renderer)
    renderer.close()


@pytest.mark.parametrize("depth", [False, True])
@pytest.mark.parametrize("mode", ["depth", "segmentation"])
def test_a_renderer_of_the_users_may_be_set_to_something_else(experiment, mode, depth):
    """The frame is one of colours all the same, and the user's next picture is what it was."""
    model, data = make()
    renderer = make_renderer(model)
    getattr(renderer, f"enable_{mode}_rendering")()
    options = {"renderer": renderer, "size": None, "depth": depth}
    run = recorded(experiment, model, data, cameras=["front"], **options)
    frame = run.frames("mujoco/front")[0]
    own = renderer.render()
    assert own.dtype == (np.float32 if mode == "depth" else np.int32)
    getattr(renderer, f"disable_{mode}_rendering")()
    assert np.array_equal(renderer.render(), frame)
    renderer.close()


def test_the_hook_may_be_called_in_any_thread(experiment):
    """One that made the model, one that steps, and then another."""
    model, data = make()
    hook = RenderHook(experiment, model, ["front"], SIZE, every=1, image_format="png")

    def step():
        mujoco.mj_step(model, data)
        hook(data)

    for _ in range(3):
        thread = threading.Thread(target=step)
        thread.start()
        thread.join()
    step()
    experiment.flush()
    frames = ml_dash.open_run(experiment.folder).frames("mujoco/front")
    assert hook.failures == 0 and len(frames) == 4
    assert np.array_equal(frames[3], drawn(model, data, "front"))


def test_two_hooks_draw_at_once(experiment):
    """Each has a renderer of its own."""
    models = [make_model(), make_model()]
    sides = [
        RenderHook(experiment, m, ["front"], SIZE, every=1, prefix=p)
        for m, p in zip(models, "ab", strict=True)
    ]
    for model, hook in zip(models, sides, strict=True):
        data = mujoco.MjData(model)
        for _ in range(2):
            mujoco.mj_step(model, data)
            hook(data)
    experiment.flush()
    run = ml_dash.open_run(experiment.folder)
    assert [len(run.frames(f"{p}/mujoco/front")) for p in "ab"] == [2, 2]
    assert run.tracks["a/mujoco/state"]["step"].tolist() == [0, 1]


def test_a_renderer_of_the_users_is_not_for_frames_drawn_later(experiment):
    """They are drawn by another one, which would not have its flags."""
    model, _ = make()
    renderer = make_renderer(model)
    with pytest.raises(ValueError, match=r"renderer is given with deferred=True.*leave one out"):
        RenderHook(experiment, model, renderer=renderer, deferred=True)
    renderer.close()
