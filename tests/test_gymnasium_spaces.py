"""What values of all spaces become in rows and frames, and that they come back."""

import json

import numpy as np
import pytest
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash import check_path
from ml_dash.rows import decode_row, encode_row
from ml_dash_gymnasium.descriptions import describe, space_from
from ml_dash_gymnasium.spaces import Layout

INTEGERS = [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64]
FLOATS = [np.float16, np.float32, np.float64]


@st.composite
def boxes(draw):
    """Boxes of any type and shape, bounded or not; pictures among them."""
    shape = tuple(draw(st.lists(st.integers(0, 5), max_size=4)))
    dtype = np.dtype(draw(st.sampled_from([*INTEGERS, *FLOATS, np.bool_])))
    if dtype.kind == "f":
        low, high = draw(st.sampled_from([(-np.inf, np.inf), (0, 1), (-1, 1), (0, np.inf)]))
    elif dtype.kind == "b":
        low, high = 0, 1
    else:
        low, high = draw(st.sampled_from([(0, 1), (0, 100), (3, 7)]))
    return spaces.Box(low, high, shape, dtype.type)


def texts():
    """Texts of characters that JSON must escape, among others."""
    return st.builds(
        spaces.Text, st.integers(1, 8), charset=st.sampled_from(['ab"\\\n', "äß€", "\x00{}_nul"])
    )


def leaves():
    """Spaces without parts."""
    return st.one_of(
        boxes(),
        st.builds(spaces.Discrete, st.integers(1, 9), start=st.integers(-5, 5)),
        st.builds(spaces.MultiDiscrete, st.lists(st.integers(1, 9), min_size=1, max_size=4)),
        st.builds(spaces.MultiBinary, st.sampled_from([1, 4, (2, 3)])),
        texts(),
        st.builds(
            spaces.Graph,
            st.one_of(st.just(spaces.Box(-1, 1, (2,))), st.just(spaces.Discrete(3))),
            st.one_of(st.none(), st.just(spaces.Discrete(4)), st.just(spaces.Box(0, 9, (2, 2)))),
        ),
    )


KEYS = st.sampled_from(["a", "b", "cam.front", "a.b", "_hidden", "x/y", "..", "index", "obs", ""])


def nested(inner):
    """Spaces made of others."""
    return st.one_of(
        st.builds(spaces.Dict, st.dictionaries(KEYS, inner, max_size=3)),
        st.builds(spaces.Tuple, st.lists(inner, max_size=3)),
        st.builds(spaces.OneOf, st.lists(inner, min_size=1, max_size=3)),
        st.builds(spaces.Sequence, inner),
    )


ANY_SPACE = st.recursive(leaves(), nested, max_leaves=6)


def through_json(row):
    """A row as it is read back."""
    return decode_row(encode_row(row, where="test", strict=False))


def same(a, b):
    """Whether two values of a space are the same, in type and content."""
    if isinstance(b, np.ndarray) and b.ndim == 0:
        a = np.asarray(a)  # samples without dimensions are numbers; both are of the space
    if isinstance(a, np.ndarray):
        equal = np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
        return isinstance(b, np.ndarray) and a.dtype == b.dtype and equal
    if isinstance(a, dict):
        return set(a) == set(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and a == b


@given(space=ANY_SPACE, seed=st.integers(0, 2**31), pictures=st.booleans())
@settings(deadline=None, max_examples=300)
def test_a_value_of_any_space_comes_back(space, seed, pictures):
    """What was written into a row and read as JSON is the value again, in the space's types."""
    space.seed(seed)
    value = space.sample()
    layout = Layout(space, "obs", pictures=pictures)
    row = {}
    layout.write(value, row)
    assert all(key.split(".")[0] == "obs" for key in row)
    found = layout.value(through_json(row), layout.pictures(value))
    assert same(value, found), (space, value, row, found)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_a_box_of_very_many_bounds_comes_back(dtype):
    """As that of a picture beside a few numbers, flattened; and without as many numbers of JSON."""
    high = np.full((64, 64, 3), 255 if dtype is np.uint8 else np.iinfo(np.int32).max).astype(dtype)
    low = np.zeros_like(high)
    low[0, 0], high[:8] = 1, 100
    if dtype is np.float32:
        high[-1] = np.inf
    space = spaces.Box(low, high, dtype=dtype)
    text = json.dumps(describe(space))
    assert len(text) < 1000
    assert space_from(json.loads(text)) == space


@given(space=ANY_SPACE, seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=150)
def test_a_space_comes_back_from_its_description(space, seed):
    """The space made again from JSON is the same space, and reads the rows of the other."""
    again = space_from(json.loads(json.dumps(describe(space))))
    assert again == space
    space.seed(seed)
    value = space.sample()
    first, second = {}, {}
    Layout(space, "obs").write(value, first)
    Layout(again, "obs").write(value, second)
    assert encode_row(first, where="a") == encode_row(second, where="a")


@given(space=ANY_SPACE, seed=st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_nothing_kept_shares_memory_with_the_value(space, seed):
    """Arrays in the row and pictures are copies: the environment may reuse its own."""
    space.seed(seed)
    value = space.sample()
    row = {}
    layout = Layout(space, "obs")
    layout.write(value, row)
    kept = [*arrays(row), *layout.pictures(value).values()]
    for original in arrays(value):
        assert not any(np.shares_memory(original, copy) for copy in kept)


def arrays(value):
    """All arrays in a nested value."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [a for item in value for a in arrays(item)] if isinstance(value, (tuple, list)) else []


IMAGES = [
    ((84, 84), np.uint8, 0, 255, (84, 84), np.uint8),
    ((84, 84, 1), np.uint8, 0, 255, (84, 84), np.uint8),
    ((1, 84, 84), np.uint8, 0, 255, (84, 84), np.uint8),
    ((40, 50, 3), np.uint8, 0, 255, (40, 50, 3), np.uint8),
    ((40, 50, 4), np.uint8, 0, 255, (40, 50, 4), np.uint8),
    ((3, 40, 50), np.uint8, 0, 255, (40, 50, 3), np.uint8),
    ((3, 50, 3), np.uint8, 0, 255, (3, 50, 3), np.uint8),
    ((4, 84, 84), np.uint8, 0, 255, (84, 84), np.uint8),
    ((8, 84, 84), np.uint8, 0, 255, (84, 84), np.uint8),
    ((84, 84, 6), np.uint8, 0, 255, (84, 84), np.uint8),
    ((4, 40, 50, 3), np.uint8, 0, 255, (40, 50, 3), np.uint8),
    ((2, 3, 40, 50), np.uint8, 0, 255, (40, 50, 3), np.uint8),
    ((40, 50, 3), np.float32, 0, 1, (40, 50, 3), np.float32),
    ((40, 50, 3), np.float64, 0, 255, (40, 50, 3), np.uint8),
    ((3, 40, 50), np.float32, -1, 1, (40, 50, 3), np.uint8),
    ((40, 50, 3), np.int64, 0, 255, (40, 50, 3), np.uint8),
    ((40, 50), np.uint16, 0, 65535, (40, 50), np.uint16),
    ((40, 50, 1), np.float32, 0, 10, (40, 50), np.uint16),
]


@pytest.mark.parametrize(("shape", "dtype", "low", "high", "frame", "kind"), IMAGES)
def test_pictures_become_frames_and_come_back(shape, dtype, low, high, frame, kind):
    """Gray, colours, channels first, stacks, depth and floats by their bounds; nothing is mixed."""
    space = spaces.Box(low, high, shape, dtype, seed=1)
    layout, value, row = Layout(space, "obs"), space.sample(), {}
    layout.write(value, row)
    pictures = layout.pictures(value)
    assert pictures["obs"].shape == frame and pictures["obs"].dtype == kind
    assert ("obs" in row) == (np.prod(shape) <= 1024)
    if kind == np.float32:  # the encoder's doing
        pictures = {name: np.rint(picture * 255) for name, picture in pictures.items()}
    found = layout.value({}, pictures)
    assert found.shape == value.shape and found.dtype == value.dtype
    exact = np.dtype(dtype).kind != "f"
    step = (high - low) / (65535 if kind == np.uint16 else 255)
    assert np.abs(found.astype(float) - value).max() <= (0 if exact else 0.51 * step)


NO_IMAGES = [
    spaces.Box(0, 255, (128,), np.uint8),
    spaces.Box(0, 255, (2000, 4), np.uint8),
    spaces.Box(0, 255, (5, 20, 20), np.uint8),
    spaces.Box(-np.inf, np.inf, (40, 50, 3)),
    spaces.Box(0, 1, (10, 10)),
    spaces.Box(np.zeros((40, 50, 3)), np.arange(1, 6001.0).reshape(40, 50, 3), dtype=np.float64),
    spaces.Box(0, 1, (40, 50, 3), np.bool_),
    spaces.Box(-5, 5, (40, 50, 3), np.int32),
    spaces.Box(0, 255, (0, 50, 3), np.uint8),
    spaces.MultiBinary((40, 50)),
]


@pytest.mark.parametrize("space", NO_IMAGES, ids=str)
def test_what_is_no_picture_is_a_column(space):
    """Memory of a console, long tables, matrices of features, unbounded floats."""
    layout = Layout(space, "obs")
    assert not layout.cameras
    value, row = space.sample(), {}
    layout.write(value, row)
    assert same(layout.value(through_json(row)), value)


def test_the_last_of_a_stack_is_the_frame():
    """A stack of four gray pictures shows the newest one; the others are beside it."""
    layout = Layout(spaces.Box(0, 255, (4, 84, 84), np.uint8), "obs")
    value = np.stack([np.full((84, 84), shade, np.uint8) for shade in (1, 2, 3, 4)])
    pictures = layout.pictures(value)
    assert set(pictures) == {"obs", "obs_earlier"} == set(layout.cameras)
    assert (pictures["obs"] == 4).all()
    assert pictures["obs_earlier"].shape == (3 * 84, 84)
    assert pictures["obs_earlier"][::84, 0].tolist() == [1, 2, 3]


def test_the_earlier_pictures_of_a_stack_have_a_camera_that_no_other_has():
    """Also beside a picture that is called so."""
    stack, picture = spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Box(0, 255, (8, 8), np.uint8)
    layout = Layout(spaces.Dict(cam=stack, cam_earlier=picture), "obs")
    assert [*layout.cameras] == ["obs/cam", "obs/cam_earlier", "obs/cam_earlier~2"]
    value = layout.space.sample()
    pictures = layout.pictures(value)
    assert (pictures["obs/cam_earlier~2"] == value["cam_earlier"]).all()
    row = {}
    layout.write(value, row)
    assert same(layout.value(row, pictures), value)


def test_cameras_are_named_by_their_path():
    """Several pictures in nested Dict and Tuple spaces have a camera each, none is taken twice."""
    image = spaces.Box(0, 255, (40, 50, 3), np.uint8)
    space = spaces.Dict(
        {
            "cam": spaces.Dict({"front": image, "..": image}),
            "pair": spaces.Tuple([image, spaces.Discrete(3)]),
            "a/b": image,
            "a_b": image,
        }
    )
    layout = Layout(space, "obs")
    assert sorted(layout.cameras) == [
        "obs/a_b",
        "obs/a_b~2",
        "obs/cam/_",
        "obs/cam/front",
        "obs/pair/0",
    ]
    value, row = space.sample(), {}
    layout.write(value, row)
    assert list(row) == ["obs.pair.1"]
    assert same(layout.value(through_json(row), layout.pictures(value)), value)
    assert set(layout.pictures(value, {"obs/cam/front"})) == {"obs/cam/front"}


def test_a_camera_named_as_a_device_of_windows_has_a_name_that_a_run_can_have():
    """And one that no other key gives."""
    image = spaces.Box(0, 255, (40, 50, 3), np.uint8)
    keys = ["aux", "CON", "nul.x", "com1", "lpt\u00b9", "_aux", "~aux", "auxiliary"]
    space = spaces.Dict({"cam": spaces.Dict(dict.fromkeys(keys, image)), "aux": image})
    layout = Layout(space, "obs")
    assert sorted(check_path(camera) for camera in layout.cameras) == [
        "obs/cam/_aux",
        "obs/cam/_aux~2",  # of `~aux`
        "obs/cam/auxiliary",
        "obs/cam/~CON",
        "obs/cam/~aux",
        "obs/cam/~com1",
        "obs/cam/~lpt\u00b9",
        "obs/cam/~nul.x",
        "obs/~aux",
    ]
    value = space.sample()
    assert same(layout.value({}, layout.pictures(value)), value)


def test_only_the_chosen_part_of_one_of_several_has_a_picture():
    """OneOf gives a frame when the picture was chosen, and none otherwise."""
    image = spaces.Box(0, 255, (40, 50, 3), np.uint8)
    layout = Layout(spaces.OneOf([spaces.Discrete(3), image]), "obs")
    assert layout.pictures((0, 2)) == {}
    assert set(layout.pictures((np.int64(1), image.sample()))) == {"obs/1"}


WRONG = [
    (spaces.Box(0, 1, (3,)), "text"),
    (spaces.Box(0, 1, (3,)), np.zeros(7)),
    (spaces.Box(0, 255, (40, 50, 3), np.uint8), np.zeros((4, 5, 3), np.uint8)),
    (spaces.Box(0, 255, (40, 50, 3), np.uint8), None),
    (spaces.Discrete(3), 1.5),
    (spaces.Discrete(3), np.array(2)),
    (spaces.Dict(a=spaces.Discrete(2)), 5),
    (spaces.Dict(a=spaces.Discrete(2)), {"a": 1, "b": [1, 2]}),
    (spaces.Dict(a=spaces.Discrete(2)), {}),
    (spaces.Tuple([spaces.Discrete(2)]), (1, 2, 3)),
    (spaces.OneOf([spaces.Discrete(2)]), (7, 1)),
    (spaces.OneOf([spaces.Discrete(2)]), 3),
    (spaces.Graph(spaces.Discrete(2), None), [1, 2]),
    (spaces.Sequence(spaces.Discrete(2)), 4),
    (spaces.Text(3), 4),
]


@pytest.mark.parametrize(("space", "value"), WRONG, ids=repr)
def test_a_value_outside_of_its_space_is_kept_as_it_is(space, value):
    """Environments break their own spaces; what they gave is in the row."""
    layout, row = Layout(space, "obs"), {}
    layout.write(value, row)
    layout.pictures(value)
    layout.value(through_json(row))
    told = json.dumps(through_json(row))
    if isinstance(value, (int, float, str)):
        assert json.dumps(value) in told
    if isinstance(value, np.ndarray):
        assert row["obs"] == value if value.ndim == 0 else np.array_equal(row["obs"], value)


ODD = [
    (spaces.Box(0, 10, (2,), np.int64), np.array([0.7, 3.9])),
    (spaces.Box(0, 255, (2,), np.uint8), np.array([-1, 300])),
    (spaces.Box(0, 1, (2,), np.bool_), np.array([2, 1])),
    (spaces.Box(-1, 1, (2,), np.float16), np.array([1e9, 0])),
    (spaces.Box(-1, 1, (2,), np.float32), ["1.5", "2"]),
    (spaces.Discrete(5), 2.7),
    (spaces.Discrete(5), "3"),
    (spaces.MultiDiscrete([5, 5]), np.array([1.5, 2.5])),
    (spaces.MultiBinary(3), np.array([0.2, 0.9, 1])),
    (spaces.OneOf([spaces.Discrete(3)]), (0.5, 1)),
    (spaces.Sequence(spaces.Discrete(3)), (0.5, 1)),
    (spaces.Sequence(spaces.OneOf([spaces.Discrete(3)])), ((0.5, 1),)),
]


@pytest.mark.parametrize(("space", "value"), ODD, ids=repr)
def test_numbers_outside_of_their_space_come_back_as_they_are(space, value):
    """They are not rounded to it, which nobody would notice."""
    layout, row = Layout(space, "obs"), {}
    layout.write(value, row)
    found = layout.value(through_json(row))
    assert json.loads(json.dumps(found, default=lambda one: one.tolist())) == (
        value.tolist() if isinstance(value, np.ndarray) else json.loads(json.dumps(value))
    )


@pytest.mark.parametrize(
    ("space", "value", "shown"),
    [
        ((0, 255, np.uint8), np.uint8(7), True),
        ((0, 255, np.uint8), np.float32(7), True),
        ((0, 255, np.uint8), np.float32(0.6), False),
        ((0, 255, np.uint8), np.int32(300), False),
        ((0, 1, np.float32), np.float32(0.6), True),
        ((0, 1, np.float32), np.float32(-0.5), False),
        ((0, 1, np.float32), np.float64(np.nan), False),
        ((0, 1, np.float32), np.uint8(128), False),
        ((0, 65535, np.uint16), np.uint16(9), True),
        ((0, 5, np.float32), np.float64(4.3), True),
        ((0, 5, np.float32), np.float64(5.1), False),
        ((0, 5, np.float32), np.uint16(3), False),
    ],
)
def test_a_picture_tells_whether_it_shows_what_it_was_given(space, value, shown):
    """Numbers beyond black and white do not come back."""
    low, high, dtype = space
    layout = Layout(spaces.Box(low, high, (40, 50), dtype), "obs")
    told = []
    assert set(layout.pictures(np.full((40, 50), value), None, told.append)) == {"obs"}
    assert told == ([] if shown else ["obs"])


def test_a_picture_whose_environment_gives_floats_keeps_its_values():
    """The space says uint8, the environment gives floats of 0 to 255: dark ones stay dark."""
    layout = Layout(spaces.Box(0, 255, (40, 50, 3), np.uint8), "obs")
    picture = layout.pictures(np.full((40, 50, 3), 1.0))["obs"]
    assert picture.dtype == np.uint8 and (picture == 1).all()


def test_a_torch_tensor_is_an_array():
    """Environments on tensors are recorded like those on arrays."""
    torch = pytest.importorskip("torch")
    layout, row = Layout(spaces.Box(-1, 1, (3,)), "obs"), {}
    tensor = torch.zeros(3, requires_grad=True)
    layout.write(tensor, row)
    assert isinstance(row["obs"], np.ndarray) and row["obs"].tolist() == [0, 0, 0]
    frames = Layout(spaces.Box(0, 255, (40, 50, 3), np.uint8), "obs")
    assert frames.pictures(torch.zeros((40, 50, 3), dtype=torch.uint8))["obs"].shape == (40, 50, 3)
