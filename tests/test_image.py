"""What becomes of a picture on its way into a file, row by row of the table, and back."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from struct import unpack

import numpy as np
import pytest
from PIL import Image

from ml_dash import image
from ml_dash.image import jpeg, png, scaling

RNG = np.random.default_rng(7)
NOISE = RNG.integers(0, 256, (48, 64, 3), dtype=np.uint8)


def smooth(height=48, width=64):
    """A render-like picture: gradients and a disc."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    picture = np.stack([y / height, x / width, (np.sin(x / 9) + np.cos(y / 7)) / 4 + 0.5], -1)
    picture[(x - width / 2) ** 2 + (y - height / 2) ** 2 < (height / 4) ** 2] = (0.8, 0.2, 0.1)
    return np.rint(picture * 255).astype(np.uint8)


def converted(array, **options):
    """The pixels that a file of this array would hold."""
    result, nonfinite = image.pixels(image.snapshot(array, where="save_image", **options))
    assert result.flags.c_contiguous
    return result, nonfinite


def stored(array, format="png", **options):
    """What is read back after this array was saved."""
    pixels, _ = converted(array, format=format, **options)
    return image.decode(image.encode(pixels, format))


def refused(array, **options):
    """The message that this array is refused with."""
    with pytest.raises(ValueError, match=r"save_image 'a\.png'") as caught:
        image.snapshot(array, where="save_image 'a.png'", **options)
    return str(caught.value)


# -- the table ------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3), (5, 7, 4), (1, 1), (1, 9, 3), (9, 1, 4)])
def test_uint8_is_stored_as_it_is(shape):
    """A PNG of uint8 pixels reads back equal."""
    array = RNG.integers(0, 256, shape, dtype=np.uint8)
    assert np.array_equal(stored(array), array)


def test_one_channel_is_gray():
    """HxWx1 is stored as HxW."""
    array = RNG.integers(0, 256, (5, 7, 1), dtype=np.uint8)
    assert np.array_equal(stored(array), array[:, :, 0])


@pytest.mark.parametrize("shape", [(4, 6), (4, 6, 3)])
def test_bool_is_black_and_white(shape):
    """False is 0 and True is 255."""
    array = RNG.random(shape) < 0.5
    assert np.array_equal(stored(array), np.where(array, 255, 0))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
def test_floats_within_0_and_1_are_times_255(dtype):
    """Every value k/255 becomes k, in each float type."""
    steps = np.arange(256).reshape(16, 16)
    assert np.array_equal(converted((steps / 255).astype(dtype))[0], steps)


def test_floats_are_rounded_and_not_cut():
    """The nearest of the 256 values is taken."""
    assert converted(np.array([[0.5, 0.0059, 0.0058, 0.999]]))[0].tolist() == [[128, 2, 1, 255]]


def test_floats_within_0_and_1_are_not_stretched():
    """A dim picture stays dim, so that frames of a stream compare."""
    assert converted(np.array([[0.1, 0.2]]))[0].tolist() == [[26, 51]]


def test_rounding_just_outside_of_0_and_1_changes_no_contrast():
    """Float32 noise at the ends counts as within."""
    array = np.array([[-1e-7, 0.5, 1 + 1.2e-7]], np.float32)
    assert converted(array)[0].tolist() == [[0, 128, 255]]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_outside_are_normalised(dtype):
    """The least becomes 0, the greatest 255, the middle 128 (127.5 rounded to even)."""
    assert converted(np.array([[-2, 0, 2]], dtype))[0].tolist() == [[0, 128, 255]]
    assert converted(np.array([[10, 20, 60]], dtype))[0].tolist() == [[0, 51, 255]]


@pytest.mark.parametrize(
    ("value", "gray"),
    [(0.0, 0), (0.5, 128), (1.0, 255), (7.0, 255), (1e300, 255), (-3.0, 0), (1 + 1e-6, 255)],
)
def test_a_constant_float_picture_divides_by_nothing(value, gray):
    """Within [0, 1] it is that gray, above it is white, below it is black."""
    assert np.all(converted(np.full((3, 4, 3), value))[0] == gray)


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_integers_within_0_and_255_are_kept(dtype):
    """Labels and 8-bit values in wide types are not stretched."""
    array = RNG.integers(0, 200, (5, 6, 3)).astype(dtype)
    assert np.array_equal(converted(array)[0], array)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.int64, np.uint16, np.uint32, np.uint64])
def test_wide_integers_are_normalised(dtype):
    """Also over the whole range of their type, where a subtraction would overflow."""
    info = np.iinfo(dtype)
    for low, high in ((info.min, info.max), (info.max - 1020, info.max), (10, 1030)):
        array = np.array([[low, low + (high - low) // 4, high]] * 2, dtype)
        array = np.repeat(array[:, :, None], 3, 2)
        expected = [0, 64, 255]
        assert np.array_equal(
            converted(array)[0], np.broadcast_to(expected, (3, 2, 3)).T.swapaxes(0, 1)
        )


def test_negative_int8_is_normalised():
    """-128..127 spans the whole scale."""
    assert converted(np.array([[-128, 0, 127]], np.int8))[0].tolist() == [[0, 128, 255]]


def test_neighbouring_huge_integers_differ():
    """Two 64-bit values that are one as floats still are black and white."""
    array = np.array([[2**62, 2**62 + 1]], np.int64)
    assert converted(array)[0].tolist() == [[0, 255]]


@pytest.mark.parametrize(("value", "gray"), [(0, 0), (200, 200), (256, 255), (-1, 0), (2**60, 255)])
def test_a_constant_integer_picture_divides_by_nothing(value, gray):
    """Within 0–255 it is kept, above it is white, below it is black."""
    assert np.all(converted(np.full((3, 4), value, np.int64))[0] == gray)


@pytest.mark.parametrize("dtype", [">u2", "<u2"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_16_bit_gray_png_stays_16_bit(shape, dtype):
    """Depth images lose nothing, dark ones neither."""
    for top in (65536, 200):
        array = RNG.integers(0, top, shape).astype(dtype)
        result = stored(array)
        assert result.dtype == np.uint16
        assert np.array_equal(result, array.reshape(5, 7))


def test_16_bit_becomes_8_bit_in_a_jpeg_and_in_colour():
    """What has no 16-bit file is normalised."""
    gray = np.array([[0, 65535], [32768, 0]], np.uint16)
    assert converted(gray, format="jpg")[0].tolist() == [[0, 255], [128, 0]]
    colour = np.repeat(gray[:, :, None], 3, 2)
    assert converted(colour, format="png")[0].dtype == np.uint8
    with pytest.raises(ValueError, match="8 bits"):
        image.encode(gray, "jpg")


def test_nonfinite_values_become_0_and_the_rest_keeps_its_scale():
    """NaN and infinities are counted; they neither blacken nor stretch the picture."""
    array = np.array([[np.nan, 0.5, 1.0], [np.inf, 0.25, -np.inf]])
    result, count = converted(array)
    assert result.tolist() == [[0, 128, 255], [0, 64, 0]]
    assert count == 3
    result, count = converted(np.array([[np.nan, 10, 20], [np.inf, 30, 110]], np.float32))
    assert result.tolist() == [[0, 0, 26], [0, 51, 255]]
    assert count == 2


def test_a_constant_picture_with_nan_is_not_black():
    """The scale of one finite value is that of the value."""
    assert converted(np.array([[np.nan, 5.0]]))[0].tolist() == [[0, 255]]
    assert converted(np.array([[np.nan, 0.5]]))[0].tolist() == [[0, 128]]


def test_nothing_but_nan_is_black_and_counted():
    """There is no scale to keep."""
    result, count = converted(np.full((2, 3), np.nan))
    assert not result.any()
    assert count == 6


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_ends_of_the_float_types_do_not_overflow(dtype):
    """The greatest and smallest spans that a type can say are scaled like any other."""
    top = np.finfo(dtype).max
    assert converted(np.array([[-top, 0, top]], dtype))[0].tolist() == [[0, 128, 255]]
    tiny = np.finfo(dtype).smallest_subnormal
    array = np.array([[-2 * tiny, 0]], dtype) - dtype(0)
    assert converted(np.array([[2, 3]], dtype))[0].tolist() == [[0, 255]]
    assert converted(array)[0].tolist() == [[0, 0]], "within the rounding of [0, 1]"


def test_long_doubles_beyond_float64_count_as_infinite():
    """They have no scale in common with the rest."""
    huge = np.array([[np.longdouble("1e400"), 0.5]])
    if not np.isfinite(huge).all():
        pytest.skip("long double is double here")
    result, count = converted(huge)
    assert result.tolist() == [[0, 128]]
    assert count == 1


# -- shapes and types -----------------------------------------------------------------------------


@pytest.mark.parametrize("opacity", [0.0, 0.5, 1.0, np.nan])
def test_the_opacity_of_bright_colours_is_not_stretched_with_them(opacity):
    """Opaque stays opaque, though the colours have another range."""
    picture = np.dstack((RNG.uniform(-1, 3, (5, 6, 3)), np.full((5, 6), opacity)))
    result, count = converted(picture)
    assert np.array_equal(result[:, :, :3], converted(picture[:, :, :3])[0])
    assert set(result[:, :, 3].ravel()) == {0 if np.isnan(opacity) else round(opacity * 255)}
    assert count == 30 * np.isnan(opacity)


def test_opacity_from_0_to_255_is_scaled_as_its_colours_are():
    """Floats of the usual bytes: all four channels have one range."""
    picture = RNG.integers(0, 256, (5, 6, 4)).astype(np.float32)
    picture[0, 0] = 0, 255, 0, 255
    assert np.array_equal(converted(picture)[0], picture.astype(np.uint8))


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [8, 30])
def test_channels_first_is_refused_naming_moveaxis_and_layout(channels, side):
    """The message has the shape, the type and both remedies, also of a small picture."""
    message = refused(np.zeros((channels, side, side), np.float32))
    for part in (
        f"({channels}, {side}, {side})",
        "float32",
        "numpy.moveaxis(image, 0, -1)",
        "layout='CHW'",
    ):
        assert part in message


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_layout_chw_accepts_channels_first(channels):
    """The picture is that of the array with its axes moved."""
    array = RNG.integers(0, 256, (channels, 6, 9), dtype=np.uint8)
    expected = np.moveaxis(array, 0, -1).reshape((6, 9) if channels == 1 else (6, 9, channels))
    shot = image.snapshot(array, layout="CHW", where="save_image")
    assert (shot.height, shot.width, shot.channels, shot.nbytes) == (6, 9, channels, array.nbytes)
    assert np.array_equal(stored(array, layout="CHW"), expected)


def test_a_layout_without_channels_is_a_gray_picture():
    """HxW needs no layout and takes any."""
    array = RNG.integers(0, 256, (6, 9), dtype=np.uint8)
    for layout in ("CHW", "HWC", None):
        assert np.array_equal(stored(array, layout=layout), array)


def test_a_wrong_layout_is_refused():
    """Both one that does not exist and one that does not fit."""
    assert "layout='WHC'" in refused(np.zeros((4, 4, 3)), layout="WHC")
    assert "(9, 8, 3)" in refused(np.zeros((9, 8, 3)), layout="CHW")
    assert "(3, 8, 9)" in refused(np.zeros((3, 8, 9)), layout="HWC")


@pytest.mark.parametrize(
    ("array", "parts"),
    [
        (np.zeros((0, 4), np.uint8), ("(0, 4)", "uint8", "empty")),
        (np.zeros((4, 0, 3), np.uint8), ("(4, 0, 3)", "uint8", "empty")),
        (np.zeros((4, 4, 0), np.uint8), ("(4, 4, 0)", "uint8", "empty")),
        (np.float32(3), ("()", "float32", "reshape")),
        (np.zeros(12, np.int64), ("(12,)", "int64", "reshape")),
        (np.zeros((2, 4, 4, 3)), ("(2, 4, 4, 3)", "float64", "one at a time")),
        (np.zeros((9, 8, 5), np.uint8), ("(9, 8, 5)", "uint8", "5 channels")),
        (np.zeros((9, 8, 2), np.uint8), ("(9, 8, 2)", "uint8", "2 channels")),
        (np.zeros((4, 4), object), ("(4, 4)", "object", "astype")),
        (np.zeros((4, 4), "U3"), ("(4, 4)", "<U3", "astype")),
        (np.zeros((4, 4), "M8[s]"), ("(4, 4)", "datetime64", "astype")),
        (np.zeros((4, 4), [("r", "u1")]), ("(4, 4)", "('r', 'u1')", "astype")),
        (np.zeros((4, 4), complex), ("(4, 4)", "complex128", "numpy.abs")),
    ],
)
def test_what_is_no_picture_is_refused_with_shape_dtype_and_remedy(array, parts):
    """Empty, flat, too deep, with odd channels, or not of numbers."""
    message = refused(array)
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ([[1, 2], [3, 4]], ("list", "numpy.asarray")),
        (None, ("NoneType", "not an array")),
        ("frame.png", ("str", "save(path)")),
        (Path("frame.png"), ("Path", "save(path)")),
        (b"\x89PNG", ("bytes", "save(path)")),
        (np.ndarray, ("type", "not an array")),
    ],
)
def test_what_is_not_an_array_is_refused_with_its_type_and_a_remedy(value, parts):
    """Lists, paths and nothing at all."""
    message = refused(value)
    for part in parts:
        assert part in message


def test_an_array_that_cannot_be_read_is_refused_in_its_own_words():
    """As of a device, whose memory numpy cannot see."""

    class OnDevice:
        def __array__(self, dtype=None, copy=None):
            raise TypeError("use .get() to copy it from the device")

    assert "use .get()" in refused(OnDevice())


# -- copies ---------------------------------------------------------------------------------------


def views():
    """Pictures as they come: cut, flipped, turned, spread, read-only, unaligned."""
    base = RNG.integers(0, 256, (12, 16, 3), dtype=np.uint8)
    read_only = base.copy()
    read_only.flags.writeable = False
    unaligned = np.frombuffer(b"\0" + RNG.bytes(4 * 30), np.uint8)[1:].view("<u4").reshape(5, 6)
    return {
        "contiguous": base,
        "upside down": base[::-1],
        "BGR": base[:, :, ::-1],
        "turned": base[::-1, ::-1],
        "cut": base[2:9, 3:11],
        "every second": base[::2, ::3],
        "backwards in steps": base[::-2, ::-3, ::-1],
        "transposed": base.swapaxes(0, 1),
        "Fortran": np.asfortranarray(base),
        "moved axis": np.moveaxis(np.ascontiguousarray(base.transpose(2, 0, 1)), 0, -1),
        "one channel of many": base[:, :, 1],
        "spread": np.broadcast_to(base[0], (5, 16, 3)),
        "read-only": read_only,
        "unaligned": unaligned % 256,
        "one row": base[:1],
        "one pixel": base[3:4, 4:5],
    }


@pytest.mark.parametrize("name", list(views()))
def test_a_view_is_stored_as_it_looks(name):
    """Strides, flips and orders of memory make no difference."""
    array = views()[name]
    assert np.array_equal(stored(array), array)


@pytest.mark.parametrize("name", [name for name in views() if name != "read-only"])
def test_what_is_done_to_an_array_afterwards_changes_nothing(name):
    """A snapshot shares no memory with its array, in whatever order that lies."""
    array = views()[name]
    expected = array.copy()
    shot = image.snapshot(array, where="save_image")
    assert not np.shares_memory(shot.data, array)
    if name != "spread":
        array[...] = 0
    assert np.array_equal(image.pixels(shot)[0], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64, bool, ">f4", np.uint16])
def test_a_snapshot_can_be_converted_twice(dtype):
    """Conversion leaves it as it is, so that a failed save can be tried again."""
    shot = image.snapshot(RNG.integers(0, 900, (6, 5)).astype(dtype), where="save_image")
    before = shot.data.copy()
    first, second = image.pixels(shot)[0], image.pixels(shot)[0]
    assert np.array_equal(first, second)
    assert np.array_equal(shot.data, before)


def test_a_snapshot_knows_the_picture_it_will_be():
    """Height, width, channels of the file; bytes of the copy."""
    array = np.zeros((10, 20, 4), np.float32)
    shot = image.snapshot(array, where="save_image")
    assert (shot.height, shot.width, shot.channels, shot.nbytes) == (10, 20, 4, 3200)
    shot = image.snapshot(array, format="jpg", size=(5, 6), where="save_image")
    assert (shot.height, shot.width, shot.channels, shot.nbytes) == (5, 6, 3, 3200)


@pytest.mark.parametrize("dtype", [">f4", ">f8", ">i4", ">u2", ">i8"])
def test_big_endian_arrays_are_read_by_value(dtype):
    """The order of their bytes makes no difference."""
    array = RNG.integers(0, 5000, (7, 8, 3))
    native = np.dtype(dtype).newbyteorder("=")
    assert np.array_equal(converted(array.astype(dtype))[0], converted(array.astype(native))[0])


# -- what is taken as an array --------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA"])
def test_pil_images_are_stored_as_they_are(mode):
    """Their common modes are exactly the channels of a PNG."""
    picture = Image.fromarray(NOISE).convert(mode)
    assert np.array_equal(stored(picture), np.asarray(picture))


@pytest.mark.parametrize(
    ("mode", "target"),
    [("P", "RGB"), ("CMYK", "RGB"), ("YCbCr", "RGB"), ("HSV", "RGB"), ("LA", "RGBA")],
)
def test_other_pil_modes_become_colours(mode, target):
    """A palette's indices are not mistaken for gray."""
    picture = Image.fromarray(smooth()).convert("RGB" if mode == "HSV" else "L")
    picture = picture.convert(mode)
    assert np.array_equal(stored(picture), np.asarray(picture.convert(target)))


def test_a_transparent_palette_keeps_its_transparency():
    """It becomes RGBA."""
    picture = Image.new("P", (4, 3), 1)
    picture.putpalette([0, 0, 0, 250, 10, 20])
    picture.info["transparency"] = 1
    assert stored(picture)[0, 0].tolist() == [250, 10, 20, 0]


def test_pil_bits_and_16_bit_gray_keep_their_values():
    """1-bit is black and white, I;16 a 16-bit PNG, I and F go by the table."""
    bits = RNG.random((5, 9)) < 0.5
    assert np.array_equal(stored(Image.fromarray(bits)), bits * 255)
    depth = RNG.integers(0, 65536, (5, 9), dtype=np.uint16)
    assert np.array_equal(stored(Image.fromarray(depth)), depth)
    assert stored(Image.fromarray(np.array([[5, 250]], np.int32))).tolist() == [[5, 250]]
    assert stored(Image.fromarray(np.array([[0, 0.5]], np.float32))).tolist() == [[0, 128]]


def test_a_pil_image_may_be_changed_afterwards():
    """Its snapshot is a copy, too."""
    picture = Image.fromarray(NOISE.copy())
    shot = image.snapshot(picture, where="save_image")
    picture.paste((0, 0, 0), (0, 0, 64, 48))
    assert np.array_equal(image.pixels(shot)[0], NOISE)


def test_a_broken_pil_image_is_refused():
    """One cut short says so at the call."""
    file = io.BytesIO()
    Image.fromarray(NOISE).save(file, "PNG")
    picture = Image.open(io.BytesIO(file.getvalue()[:3000]))
    assert "cannot be read" in refused(picture)


def test_torch_tensors_are_arrays():
    """Also those that need a gradient, are half as wide or channels first."""
    torch = pytest.importorskip("torch")
    values = torch.rand(3, 6, 7, requires_grad=True)
    expected = np.rint(values.detach().numpy().transpose(1, 2, 0) * 255)
    assert np.array_equal(stored(values, layout="CHW"), expected)
    assert "(3, 6, 7)" in refused(values)
    assert stored(torch.tensor([[0, 1.0]], dtype=torch.bfloat16)).tolist() == [[0, 255]]
    assert stored(torch.tensor([[False, True]])).tolist() == [[0, 255]]
    frame = torch.from_numpy(NOISE.copy())
    shot = image.snapshot(frame, where="save_image")
    frame.zero_()
    assert np.array_equal(image.pixels(shot)[0], NOISE)


def test_a_sparse_tensor_is_refused():
    """torch's own error becomes one that names the call."""
    torch = pytest.importorskip("torch")
    assert "Tensor" in refused(torch.eye(4).to_sparse())


def test_objects_that_offer_an_array_are_arrays():
    """As those of jax and TensorFlow do."""

    class Offers:
        def __array__(self, dtype=None, copy=None):
            return NOISE

    assert np.array_equal(stored(Offers()), NOISE)


# -- names and options ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("a.png", "png"),
        ("a.PNG", "png"),
        ("cam.left/a.b.Jpg", "jpg"),
        ("a.jpeg", "jpg"),
        (Path("x") / "a.JPEG", "jpg"),
    ],
)
def test_the_name_chooses_the_encoder(name, format):
    """By its last ending, in any case."""
    assert image.check_format(name, 1) == image.check_format(name, 100) == format


@pytest.mark.parametrize("name", ["a", "a.gif", "a.png.gz", "jpg", ".png", "", "a.jpg/b", "a.tiff"])
def test_other_names_are_refused(name):
    """With the name and the endings there are."""
    with pytest.raises(ValueError, match=r"\.png, \.jpg or \.jpeg") as caught:
        image.check_format(name)
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize("quality", [0, 101, -5, 10**30])
def test_a_quality_out_of_range_is_refused(quality):
    """With the value and the range."""
    with pytest.raises(ValueError, match=f"quality={quality}: .*1 .*100"):
        image.check_format("a.jpg", quality)


@pytest.mark.parametrize("quality", [90.0, "90", None, True])
def test_a_quality_that_is_no_integer_is_refused(quality):
    """With the value."""
    with pytest.raises(TypeError, match="quality="):
        image.check_format("a.jpg", quality)


@pytest.mark.parametrize("optimize", [False, True])
def test_numpy_integers_are_a_quality(optimize):
    """As they come from a sweep."""
    assert image.check_format("a.jpg", np.int64(80)) == "jpg"
    assert image.encode(NOISE, "jpg", quality=np.int64(80), optimize=optimize)


def test_a_picture_too_large_for_jpeg_is_refused_at_the_call():
    """Also when the format becomes known later."""
    wide = np.broadcast_to(np.uint8(0), (1, 65_501))
    assert "65,500" in refused(wide, format="jpg")
    assert "65,500" in refused(wide.T, format="jpg")
    shot = image.snapshot(wide, where="save_image 'a.jpg'")
    with pytest.raises(ValueError, match=r"save_image 'a\.jpg'.*65,500"):
        replace(shot, format="jpg")
    assert stored(wide[:, 1:], "jpg").shape == (1, 65_500)
    assert stored(wide, "png").shape == (1, 65_501)


# -- scaling --------------------------------------------------------------------------------------


def test_a_picture_is_scaled_to_height_and_width():
    """Means of what each new pixel covers, in every kind of picture."""
    halves = np.zeros((8, 6), np.uint8)
    halves[:4] = 200
    for array in (halves, halves.astype(np.uint16) * 300, np.dstack([halves] * 3)):
        result, _ = converted(array, size=(2, 3))
        assert result.shape == (2, 3, *array.shape[2:])
        assert result.dtype == array.dtype
        assert abs(int(result[0].min()) - int(array.max())) <= 0.15 * array.max()
        assert result[1].max() <= 0.15 * array.max()


def test_a_size_must_be_two_positive_integers():
    """Anything else is refused with the value."""
    assert image.check_size([np.int32(3), 4]) == (3, 4)
    for size in (3, (3,), (3, 4, 5), (0, 4), (3, -1), (3.5, 4), "ab", None):
        with pytest.raises(ValueError, match="size="):
            image.check_size(size)


def test_a_picture_of_the_size_asked_for_is_left_alone():
    """Nothing is scaled that need not be."""
    assert np.array_equal(converted(NOISE, size=(48, 64))[0], NOISE)


# -- JPEG -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimize", [False, True])
@pytest.mark.parametrize("shape", [(48, 64, 3), (48, 64), (47, 61, 3), (1, 1), (1, 1, 3), (3, 2)])
def test_a_jpeg_looks_like_its_picture(shape, optimize):
    """At quality 95 a smooth picture is off by little, in the mean."""
    picture = smooth(*shape[:2])[:, :, : 3 if len(shape) == 3 else 1].reshape(shape)
    data = image.encode(picture, "jpg", optimize=optimize)
    assert Image.open(io.BytesIO(data)).format == "JPEG"
    result = image.decode(data)
    assert result.shape == shape
    assert result.dtype == np.uint8
    if min(shape[:2]) > 10:
        assert np.abs(result.astype(int) - picture).mean() < 4


def test_quality_is_the_size_of_the_file():
    """More of it, more bytes."""
    sizes = [len(image.encode(NOISE, "jpg", quality=quality)) for quality in (1, 30, 85, 100)]
    assert sizes == sorted(set(sizes))


def test_an_optimised_jpeg_is_smaller_and_the_same_picture():
    """Only the coding differs, not the pixels."""
    picture = smooth(240, 320)
    plain = image.encode(picture, "jpg", quality=85)
    small = image.encode(picture, "jpg", quality=85, optimize=True)
    assert len(small) < 0.95 * len(plain)
    difference = image.decode(plain).astype(int) - image.decode(small)
    assert np.abs(difference).mean() < 1.5


def test_an_optimised_jpeg_is_written_through_a_descriptor(monkeypatch):
    """Only then Pillow's encoder frees the interpreter lock."""
    written = []
    save = Image.Image.save

    def watch(self, file, *args, **options):
        written.append(file.fileno())
        save(self, file, *args, **options)

    monkeypatch.setattr(Image.Image, "save", watch)
    assert image.encode(NOISE, "jpg", optimize=True)[:2] == b"\xff\xd8"
    assert len(written) == 1


def test_an_optimised_jpeg_does_without_files_in_memory(monkeypatch):
    """Where the system has none it takes a temporary file, to the same bytes."""
    expected = image.encode(NOISE, "jpg", optimize=True)

    def forbidden(name):
        raise OSError(38, "not implemented")

    monkeypatch.setattr(os, "memfd_create", forbidden, raising=False)
    assert image.encode(NOISE, "jpg", optimize=True) == expected


def test_noise_that_pillow_cannot_encode_is_saved_all_the_same():
    """Its buffer is too small for such a picture at quality 94; the frame is kept, unoptimised."""
    noise = RNG.integers(0, 2, (600, 600, 3), dtype=np.uint8) * np.uint8(255)
    data = image.encode(noise, "jpg", quality=94, optimize=True)
    assert image.decode(data).shape == noise.shape


@pytest.mark.parametrize("optimize", [False, True])
def test_a_jpeg_of_rgba_lies_on_white(optimize):
    """Transparent is white, half transparent halfway to it, opaque itself."""
    picture = np.zeros((48, 64, 4), np.uint8)
    picture[:, :, 0] = 200
    picture[:16, :, 3] = 0
    picture[16:32, :, 3] = 128
    picture[32:, :, 3] = 255
    result = image.decode(image.encode(picture, "jpg", optimize=optimize)).astype(int)
    assert np.abs(result[4] - (255, 255, 255)).max() <= 4
    assert np.abs(result[24] - (227, 127, 127)).max() <= 4
    assert np.abs(result[44] - (200, 0, 0)).max() <= 4


def test_compositing_is_exact():
    """Every colour at every transparency is the nearest step, and within one of Pillow's."""
    values = np.arange(256, dtype=np.uint8)
    picture = np.empty((256, 256, 4), np.uint8)
    picture[:, :, :3] = values[:, None, None]
    picture[:, :, 3] = values
    canvas = Image.new("RGBA", (256, 256), "white")
    canvas.alpha_composite(Image.fromarray(picture))
    ours = jpeg._onto_white(picture).astype(int)
    share = picture[:, :, 3] / 255
    exact = picture[:, :, 0] * share + 255 * (1 - share)
    assert np.abs(ours[:, :, 0] - exact).max() <= 0.501
    assert np.abs(ours - np.asarray(canvas)[:, :, :3]).max() <= 1
    assert np.array_equal(ours[:, 255, 0], values)
    assert np.all(ours[:, 0] == 255)


def test_an_opaque_rgba_jpeg_is_the_jpeg_of_its_rgb():
    """A fourth channel that says nothing costs nothing."""
    opaque = np.dstack([NOISE, np.full((48, 64), 255, np.uint8)])
    assert image.encode(opaque, "jpg") == image.encode(NOISE, "jpg")


# -- PNG ------------------------------------------------------------------------------------------


def chunks(data):
    """The chunks of a PNG file, their checksums verified."""
    assert data[:8] == png.SIGNATURE
    found, start = [], 8
    while start < len(data):
        (size,) = unpack(">I", data[start : start + 4])
        body = data[start + 4 : start + 8 + size]
        assert unpack(">I", data[start + 8 + size : start + 12 + size]) == (zlib.crc32(body),)
        found.append((body[:4], body[4:]))
        start += 12 + size
    return found


@pytest.mark.parametrize(
    ("array", "header"),
    [
        (NOISE[:, :, 0], (8, 0)),
        (NOISE, (8, 2)),
        (np.dstack([NOISE, NOISE[:, :, 0]]), (8, 6)),
        (NOISE[:, :, 0].astype(np.uint16) * 256, (16, 0)),
    ],
)
def test_a_png_is_well_formed(array, header):
    """Header, data and end, with right checksums and no byte more."""
    parts = chunks(image.encode(np.ascontiguousarray(array), "png"))
    assert [name for name, _ in parts] == [b"IHDR", b"IDAT", b"IEND"]
    assert unpack(">IIBBBBB", parts[0][1]) == (64, 48, *header, 0, 0, 0)
    assert len(zlib.decompress(parts[1][1])) == 48 * (
        1 + 64 * array.itemsize * (array.size // 3072)
    )


def frames():
    """Frames as the figures in the documentation are about."""
    render = smooth(480, 640)
    sensor = render + RNG.normal(0, 8, render.shape)
    return {
        "render": render,
        "noisy": np.clip(sensor, 0, 255).astype(np.uint8),
        "slightly noisy": np.clip(render + RNG.normal(0, 3, render.shape), 0, 255).astype(np.uint8),
        "noise": RNG.integers(0, 256, (480, 640, 3), dtype=np.uint8),
        "small gray": smooth(84, 84)[:, :, 2].copy(),
        "gray": render[:, :, 2].copy(),
        "depth": (np.hypot(*np.mgrid[-200:280, -300:340]) * 60 + 500).astype(np.uint16),
        "with alpha": np.dstack([render, render[:, :, 0]]),
        "tiles": np.kron(RNG.integers(0, 255, (15, 20, 3)), np.ones((32, 32, 1))).astype(np.uint8),
    }


@pytest.mark.parametrize("name", list(frames()))
def test_a_png_is_hardly_larger_than_pillows(name):
    """At most a tenth more than Pillow's default level makes of it, and without loss."""
    pytest.importorskip("deflate")
    frame = frames()[name]
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "PNG")
    data = image.encode(frame, "png")
    assert np.array_equal(image.decode(data), frame)
    assert len(data) <= 1.1 * len(file.getvalue())


def test_an_optimised_png_is_smaller_and_equal():
    """The better level loses nothing either."""
    frame = smooth(480, 640)
    small = image.encode(frame, "png", optimize=True)
    assert len(small) < len(image.encode(frame, "png"))
    assert np.array_equal(image.decode(small), frame)


def test_png_does_without_libdeflate(monkeypatch):
    """Where it is missing, zlib takes its place."""
    monkeypatch.setitem(sys.modules, "deflate", None)
    png._codec.cache_clear()
    try:
        for frame in (NOISE, smooth(200, 300)):
            assert np.array_equal(image.decode(image.encode(frame, "png")), frame)
        assert png._codec()[0] is zlib.compress
    finally:
        png._codec.cache_clear()


def test_a_frame_encoded_in_the_middle_of_another_harms_neither(monkeypatch):
    """As a signal handler would that saves a frame while one is being saved."""
    outer, inner = smooth(100, 90), smooth(80, 110)[::-1].copy()
    compress, crc32 = png._codec()
    results = []

    def interrupted(data, level):
        if not results:
            results.append(None)
            results[0] = image.encode(inner, "png")
        return compress(data, level)

    monkeypatch.setattr(png, "_codec", lambda: (interrupted, crc32))
    assert np.array_equal(image.decode(image.encode(outer, "png")), outer)
    assert np.array_equal(image.decode(results[0]), inner)


@pytest.mark.parametrize("format", ["png", "jpg"])
def test_many_threads_encode_at_once(format):
    """Each gets the file that it would get alone."""
    pictures = [smooth(40 + i, 50 + 3 * i) for i in range(24)]
    expected = [image.encode(picture, format) for picture in pictures]
    with ThreadPoolExecutor(6) as pool:
        for _ in range(3):
            assert list(pool.map(lambda one: image.encode(one, format), pictures)) == expected


# -- reading back ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "target"), [("1", "L"), ("P", "RGB"), ("LA", "RGBA"), ("I;16", "I;16"), ("L", "L")]
)
def test_png_files_of_others_are_read(mode, target):
    """Bits, palettes and gray with transparency become plain channels."""
    if mode == "I;16":
        picture = Image.fromarray(RNG.integers(0, 65536, (6, 7), dtype=np.uint16))
    else:
        picture = Image.fromarray(smooth()).convert("L").convert(mode)
    file = io.BytesIO()
    picture.save(file, "PNG")
    assert np.array_equal(image.decode(file.getvalue()), np.asarray(picture.convert(target)))


def test_jpeg_files_of_others_are_read():
    """Also CMYK, and whatever bytes-like holds them."""
    file = io.BytesIO()
    Image.fromarray(smooth()).convert("CMYK").save(file, "JPEG")
    assert image.decode(file.getvalue()).shape == (48, 64, 3)
    assert image.decode(bytearray(image.encode(NOISE, "jpg"))).shape == NOISE.shape


@pytest.mark.parametrize("format", ["png", "jpg"])
@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 3)])
def test_what_was_read_may_be_written_to(format, shape):
    """As torch wants it of arrays it takes over."""
    result = image.decode(image.encode(np.zeros(shape, np.uint8), format))
    assert result.flags.writeable
    assert result.flags.c_contiguous


@pytest.mark.parametrize("format", ["png", "jpg"])
def test_damaged_files_are_a_value_error(format):
    """Wherever they were cut."""
    data = image.encode(NOISE, format)
    for end in (8, 11, 30, 60, len(data) // 2):
        with pytest.raises(ValueError, match=r".+"):
            image.decode(data[:end])


@pytest.mark.parametrize("data", [b"", b"GIF89a...", b"\x89PN", b"\xff\xd8"])
def test_other_files_are_a_value_error(data):
    """The message shows how they begin."""
    with pytest.raises(ValueError, match="neither a JPEG nor a PNG"):
        image.decode(data)


# -- what must be installed -----------------------------------------------------------------------


@pytest.fixture
def without(monkeypatch):
    """Makes packages unimportable."""
    image._installed.cache_clear()

    def remove(*packages):
        for package in packages:
            monkeypatch.setitem(sys.modules, package, None)

    yield remove
    image._installed.cache_clear()


def test_no_pillow_is_an_import_error_with_the_pip_line(without):
    """Where it is needed, at the call; elsewhere it is not missed."""
    data = image.encode(NOISE, "png")
    without("PIL", "PIL.Image")
    assert image.check_format("a.png") == "png"
    assert image.check_format("a.jpg") == "jpg"
    assert image.encode(*converted(NOISE)[:1], "png") == data
    assert image.encode(NOISE, "jpg")
    for call in (
        lambda: image.check_format("a.jpg", optimize=True),
        lambda: image.check_size((3, 4)),
        lambda: image.encode(NOISE, "jpg", optimize=True),
        lambda: image.decode(data),
        lambda: scaling.resize(NOISE, (3, 4)),
    ):
        with pytest.raises(ImportError, match="pip install Pillow"):
            call()


def test_no_simplejpeg_is_an_import_error_with_the_pip_line(without):
    """At the call."""
    data = image.encode(NOISE, "jpg")
    without("simplejpeg")
    assert image.check_format("a.png") == "png"
    for call in (
        lambda: image.check_format("a.jpg"),
        lambda: image.encode(NOISE, "jpg"),
        lambda: image.decode(data),
    ):
        with pytest.raises(ImportError, match="pip install simplejpeg"):
            call()


def test_importing_the_module_loads_no_codec():
    """numpy, Pillow, simplejpeg and libdeflate come with the first picture."""
    code = (
        "import sys; import ml_dash.image;"
        "print({'numpy', 'PIL', 'simplejpeg', 'deflate'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
