"""How samples become batches of arrays."""

import numpy as np
import pytest

from ml_dash.loaders.fields import EXACT, IMAGE, LIST, NUMBER, Field, gather, nest


class Shelf:
    """Samples from a list of dicts."""

    def __init__(self, fields, rows):
        self.fields = fields
        self.rows = rows

    def __len__(self):
        return len(self.rows)

    def sample(self, index):
        return self.rows[index]


def test_samples_are_gathered_in_the_order_asked_for():
    """By kind: missing numbers are NaN, gray images get a channel, lists stay as they are."""
    fields = {
        "frame": Field(IMAGE, (2, 3, 1)),
        "x": Field(NUMBER),
        "q": Field(NUMBER, (2,)),
        "n": Field(EXACT, (), "int64"),
        "word": Field(LIST, (), "str"),
    }
    rows = [
        {
            "frame": np.full((2, 3), number, np.uint8),
            "x": None if number == 1 else number,
            "q": None if number == 2 else [number, 0],
            "n": 2**60 + number,
            "word": "abc"[number],
        }
        for number in range(3)
    ]
    found = gather(Shelf(fields, rows), np.array([2, 0, 1]))
    assert found["frame"].dtype == np.uint8
    assert found["frame"][:, 0, 0, 0].tolist() == [2, 0, 1]
    np.testing.assert_array_equal(found["x"], np.array([2, 0, np.nan], np.float32))
    np.testing.assert_array_equal(found["q"], [[np.nan, np.nan], [0, 0], [1, 0]])
    assert found["n"].tolist() == [2**60 + 2, 2**60, 2**60 + 1]
    assert found["word"] == ["c", "a", "b"]


def test_nothing_gathered_is_empty_arrays():
    """No samples give arrays without rows, of the right shape."""
    fields = {"frame": Field(IMAGE, (2, 3, 3)), "q": Field(NUMBER, (4,)), "w": Field(LIST)}
    found = gather(Shelf(fields, []), np.array([], np.int64))
    assert found["frame"].shape == (0, 2, 3, 3)
    assert found["q"].shape == (0, 4)
    assert found["w"] == []


def test_a_frame_of_another_size_is_named_with_the_remedy():
    """The error says which sample, which shape, and what to pass."""
    shelf = Shelf({"frame": Field(IMAGE, (2, 3, 1))}, [{"frame": np.zeros((2, 4), np.uint8)}])
    with pytest.raises(ValueError, match=r"sample 0: 'frame' has shape \(2, 4, 1\).*size="):
        gather(shelf, np.array([0]))


def test_names_of_two_parts_are_given_nested():
    """The frames of several cameras are one dict by camera."""
    assert nest({("frames", "a"): 1, ("frames", "b"): 2, "x": 3}) == {
        "frames": {"a": 1, "b": 2},
        "x": 3,
    }
