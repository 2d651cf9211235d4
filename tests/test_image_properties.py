"""What holds for every picture: conversion, copies and files, by generated examples."""

from __future__ import annotations

from fractions import Fraction

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ml_dash import image
from ml_dash.image import png

settings.register_profile("images", deadline=None, max_examples=100)
examples = settings(settings.get_profile("images"))

SIDES = st.integers(1, 9)
FLOATS = st.sampled_from(["<f2", "<f4", "<f8", ">f2", ">f4", ">f8"])
INTEGERS = st.sampled_from(
    ["i1", "<i2", "<i4", "<i8", ">i2", ">i4", ">i8", "u1", "<u2", "<u4", "<u8", ">u2", ">u4", ">u8"]
)


@st.composite
def shapes(draw):
    """HxW or HxWxC."""
    tail = draw(st.sampled_from([(), (1,), (3,), (4,)]))
    return (draw(SIDES), draw(SIDES), *tail)


@st.composite
def float_arrays(draw, nonfinite=False):
    """Floats of any type: of all sizes, of a narrow range, or near [0, 1]."""
    dtype = np.dtype(draw(FLOATS))
    width = 8 * dtype.itemsize
    bounds = draw(st.sampled_from([(None, None), (0, 1), (-1, 2), (100, 104), (-300, 0)]))
    elements = st.floats(
        *bounds,
        width=width,
        allow_nan=nonfinite and bounds == (None, None),
        allow_infinity=nonfinite and bounds == (None, None),
    )
    array = draw(hnp.arrays(dtype, draw(shapes()), elements=elements))
    if nonfinite:
        spots = draw(hnp.arrays(bool, array.shape))
        array[spots] = draw(st.sampled_from([np.nan, np.inf, -np.inf]))
    return array


@st.composite
def integer_arrays(draw):
    """Integers of any type: of all sizes, or of a narrow range."""
    dtype = np.dtype(draw(INTEGERS))
    info = np.iinfo(dtype)
    low, high = draw(
        st.sampled_from([(info.min, info.max), (0, 255), (-3, 3), (info.max - 9, info.max)])
    )
    elements = st.integers(max(low, info.min), min(high, info.max))
    return draw(hnp.arrays(dtype, draw(shapes()), elements=elements))


@st.composite
def views_of(draw, array):
    """The array cut, flipped, stepped through and with its first two axes swapped, as a view."""
    array = array[:: draw(st.sampled_from([1, -1, 2])), :: draw(st.sampled_from([1, -1, -2]))]
    if draw(st.booleans()):
        array = array.swapaxes(0, 1)
    if array.ndim == 3 and draw(st.booleans()):
        array = array[:, :, ::-1]
    if draw(st.booleans()):
        array = np.asfortranarray(array)
    return array


def converted(array, **options):
    """The pixels that a file of this array would hold."""
    return image.pixels(image.snapshot(array, where="save_image", **options))


def flat(array):
    """All values in order, as exact numbers."""
    return [Fraction(value) for value in array.ravel().tolist()]


def exact(values):
    """What the table says becomes of these numbers, before rounding."""
    low, high = min(values), max(values)
    tolerance = Fraction(image.scaling.TOLERANCE)
    if low >= -tolerance and high <= 1 + tolerance:
        return [min(max(value, 0), 1) * 255 for value in values]
    if low == high:
        return [255 if high > 1 else 0 for _ in values]
    return [(value - low) / (high - low) * 255 for value in values]


def parts(array, result):
    """What is scaled by itself: opacity that lies within [0, 1], and all the rest."""
    result = result.reshape(array.shape)
    if array.ndim == 3 and array.shape[2] == 4:
        opacity = array[:, :, 3].astype(np.float64)
        known = opacity[~np.isnan(opacity)]
        tolerance = image.scaling.TOLERANCE
        if known.size and known.min() >= -tolerance and known.max() <= 1 + tolerance:
            return [(array[:, :, :3], result[:, :, :3]), (array[:, :, 3], result[:, :, 3])]
    return [(array, result)]


def assert_is_monotonic(array, result):
    """What is brighter before is not darker after."""
    order = np.argsort(array.ravel(), kind="stable")
    assert np.all(np.diff(result.ravel()[order].astype(int)) >= 0)


@examples
@given(float_arrays())
def test_floats_become_what_the_table_says(array):
    """Each value is the nearest of 256 to the exact one, give or take a rounding error."""
    result, nonfinite = converted(array)
    assert result.dtype == np.uint8
    assert nonfinite == 0
    for part, found in parts(array, result):
        for got, wanted in zip(found.ravel().tolist(), exact(flat(part)), strict=True):
            assert abs(got - wanted) < Fraction(501, 1000)
        assert_is_monotonic(part, found)


@examples
@given(float_arrays())
def test_floats_outside_are_never_black_by_accident(array):
    """A picture with any contrast uses the whole scale, whatever its range."""
    result, _ = converted(array)
    array, result = parts(array, result)[0]
    low, high = float(array.min()), float(array.max())
    assume(low < high and (low < -0.01 or high > 1.01))
    assert (result.min(), result.max()) == (0, 255)


@examples
@given(float_arrays(nonfinite=True))
def test_nonfinite_values_are_0_and_leave_the_rest_alone(array):
    """The finite values become what they would become by themselves."""
    finite = np.isfinite(array)
    result, nonfinite = converted(array)
    assert nonfinite == array.size - np.count_nonzero(finite)
    result = result.reshape(array.shape)
    assert not result[~finite].any()
    for part, found in parts(array, result):
        known = np.isfinite(part)
        if known.any():
            alone, _ = converted(part[known].reshape(1, -1))
            assert np.array_equal(found[known], alone[0])


@examples
@given(integer_arrays(), st.sampled_from(["jpg", "png", None]))
def test_integers_become_what_the_table_says(array, format):
    """0–255 and 16-bit gray as they are, all else normalised, in order."""
    result, nonfinite = converted(array, format=format)
    assert nonfinite == 0
    gray16 = array.dtype.kind == "u" and array.itemsize == 2 and array.ndim + array.size > 0
    gray16 = gray16 and (array.ndim == 2 or array.shape[2] == 1) and format != "jpg"
    assert result.dtype == (np.uint16 if gray16 else np.uint8)
    values = flat(array)
    low, high = min(values), max(values)
    if gray16 or (low >= 0 and high <= 255):
        wanted = values
    elif low == high:
        wanted = [255 if high > 255 else 0 for _ in values]
    else:
        wanted = [(value - low) / (high - low) * 255 for value in values]
    for got, want in zip(result.ravel().tolist(), wanted, strict=True):
        assert abs(got - want) < Fraction(501, 1000)
    assert_is_monotonic(array, result)


@examples
@given(st.data(), shapes(), st.sampled_from(["u1", "bool", "<u2", ">u2"]))
def test_a_png_gives_back_what_was_put_in(data, shape, dtype):
    """Without loss, for every kind of picture, order of memory and layout."""
    if np.dtype(dtype).itemsize == 2:
        shape = shape[:2]
    array = data.draw(views_of(data.draw(hnp.arrays(dtype, shape))))
    before = array.copy()
    layout = None
    given_array = array
    if array.ndim == 3 and data.draw(st.booleans()):
        layout, given_array = "CHW", np.moveaxis(array, -1, 0)
    shot = image.snapshot(given_array, layout=layout, format="png", where="save_image")
    assert not np.shares_memory(shot.data, array)
    array[...] = 1
    pixels, _ = image.pixels(shot)
    result = image.decode(image.encode(pixels, "png"))
    expected = before * np.uint8(255) if dtype == "bool" else before
    if before.ndim == 3 and before.shape[2] == 1:
        expected = expected[:, :, 0]
    assert result.dtype.itemsize == expected.dtype.itemsize
    assert np.array_equal(result, expected)
    assert (shot.height, shot.width) == result.shape[:2]
    assert shot.channels == (result.shape[2] if result.ndim == 3 else 1)


@examples
@given(
    st.integers(1, 300),
    st.integers(1, 300),
    st.sampled_from([(), (3,), (4,)]),
    st.integers(0, 2**32 - 1),
    st.sampled_from([1, 3, 20, 255]),
)
def test_a_png_of_any_size_and_business_gives_back_what_was_put_in(height, width, tail, seed, top):
    """Across all levels of compression, calm or noisy, with memory reused between frames."""
    rng = np.random.default_rng(seed)
    frame = rng.integers(0, top, (height, width, *tail), dtype=np.uint8, endpoint=True)
    assert np.array_equal(image.decode(png.encode(frame)), frame)


@examples
@given(
    hnp.arrays(
        np.uint8,
        st.one_of(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES, st.sampled_from([3, 4]))),
    ),
    st.integers(1, 100),
    st.booleans(),
)
def test_any_picture_makes_a_jpeg_of_its_size(array, quality, optimize):
    """However small or odd, at every quality."""
    result = image.decode(image.encode(array, "jpg", quality=quality, optimize=optimize))
    assert result.dtype == np.uint8
    assert result.shape == (*array.shape[:2], *((3,) if array.ndim == 3 else ()))


@examples
@given(
    hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=6),
    st.sampled_from(["?", "u1", "<i4", ">f8", "<c8", "O", "<U2", "S3", "<M8[s]", "<m8[s]", "V4"]),
    st.sampled_from([None, "HWC", "CHW"]),
)
def test_an_array_is_taken_or_refused_by_shape_and_type(shape, dtype, layout):
    """What is no picture is a ValueError with shape and dtype; nothing else ever happens."""
    array = np.zeros(shape, dtype)
    hwc = (*shape[1:], shape[0]) if layout == "CHW" and len(shape) == 3 else shape
    fits = len(shape) == 2 or (len(shape) == 3 and hwc[2] in (1, 3, 4))
    if array.size and array.dtype.kind in "buif" and fits:
        shot = image.snapshot(array, layout=layout, where="save_image")
        assert (shot.height, shot.width) == hwc[:2]
        assert shot.channels == (hwc[2] if len(shape) == 3 else 1)
        assert image.pixels(shot)[0].shape[:2] == hwc[:2]
    else:
        with pytest.raises(ValueError, match="save_image: ") as caught:
            image.snapshot(array, layout=layout, where="save_image")
        assert str(shape) in str(caught.value)
        assert str(array.dtype) in str(caught.value)
