"""Aligned rows as a dataset: rows as dicts, parts of them, episodes, several runs, data frames."""

import logging
import math

import numpy as np
import pandas
import polars
import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import A, B, Written, line

from ml_dash import Experiment
from ml_dash.backends import MemoryBackend
from ml_dash.reading import Source, Stream, concat_runs, open_run
from ml_dash.reading.align import align
from ml_dash.reading.table import Table


@pytest.fixture
def run(tmp_path):
    """A run's folder."""
    return Written(tmp_path / "run").start(0.5)


def put(run, topic, *rows, start=1.0):
    """Rows of a track, a tenth of a second apart."""
    for number, fields in enumerate(rows):
        run.put(f"tracks/{topic}", line(start + number / 10, **fields))


def table(*lines, name="a"):
    """A track that is kept in memory."""
    backend = MemoryBackend()
    backend.append(f"tracks/{name}/{A}.jsonl", 0, list(lines))
    return Table(Stream(Source(backend), f"tracks/{name}"), name)


# -- one dict a step -----------------------------------------------------------------------------


def test_a_row_has_its_frame_its_milliseconds_and_its_fields(run):
    """As numpy, by track, and by the full name of a column."""
    put(run, "robot/arm", {"step": 0, "x": 0.5}, {"step": 1, "x": 1.5, "q": [1, 2]})
    put(run, "robot", {"step": 1, "pose": {"z": 7}})
    run.frame("cam/1.png", at=1.1, step=1, shade=9)
    rows = list(open_run(run.folder).aligned("robot/arm", "robot", frames="cam"))
    assert [row["timestamp_ms"] for row in rows] == pytest.approx([0, 100])
    assert [row["step"] for row in rows] == [0, 1]
    assert rows[0]["frame"] is None and rows[0]["robot"] is None
    assert rows[1]["frame"].shape == (2, 3) and rows[1]["frame"].dtype == np.uint8
    assert rows[1]["robot/arm"]["x"] == rows[1]["robot/arm.x"] == 1.5
    assert rows[1]["robot/arm.q"].tolist() == [1, 2]
    assert rows[1]["robot.pose.z"] == 7
    for name in ("robot/arm.y", "robot/leg", "robot.pose.z"):
        with pytest.raises(KeyError):
            _ = rows[0][name]


def test_rows_are_indexed_by_number_and_by_slice(run):
    """A number gives a row, a slice or a mask some of the rows."""
    put(run, "a", *({"step": step, "x": step} for step in range(5)))
    run.frame("cam/3.png", at=1.3, step=3, shade=30)
    rows = open_run(run.folder).aligned("a", frames="cam")
    assert rows[-1]["a.x"] == 4
    some = rows[2:4]
    assert some["a.x"].tolist() == [2, 3]
    assert some.steps.tolist() == [2, 3]
    assert some.has_frame().tolist() == [False, True]
    assert int(some.frame(1)[0, 0]) == 30
    assert some.report.rows == 2 and some.report.without == {"a": 0, "cam": 1}
    np.testing.assert_allclose(some.timestamps_ms, [200, 300])
    assert rows[rows["a.x"] % 2 == 0]["a.x"].tolist() == [0, 2, 4]
    assert rows.take([4, 0])["a.x"].tolist() == [4, 0]
    assert rows[1:].take([-1])["a.x"].tolist() == [4]
    with pytest.raises(IndexError):
        rows.take([5])
    with pytest.raises(TypeError, match=r"2\.5"):
        _ = rows[2.5]


def test_a_columns_own_name_is_enough_where_one_track_has_it(run):
    """Two that have it must be told apart."""
    put(run, "a", {"step": 0, "x": 1, "u": 2})
    put(run, "b", {"step": 0, "x": 3, "v": {"w": 4}})
    rows = open_run(run.folder).aligned("a", "b")
    assert rows["u"].tolist() == [2]
    assert rows["v.w"].tolist() == [4]
    with pytest.raises(KeyError, match=r"several tracks have a column 'x'.*'a\.x', 'b\.x'"):
        _ = rows["x"]


def test_the_file_of_a_frame_is_given_as_it_was_saved(run):
    """Not decoded and encoded again."""
    put(run, "a", {"step": 0}, {"step": 1})
    place = run.frame("cam/1.png", at=1.1, step=1, shade=9)
    rows = open_run(run.folder).aligned("a", frames="cam")
    assert rows.frame_bytes(0) is None
    assert rows.frame_bytes(1) == place.read_bytes()


def test_a_missing_value_is_told_from_a_recorded_nan(run):
    """A row that the track lacks, a field that the row lacks: missing. NaN is a value."""
    put(run, "a", {"step": 0}, {"step": 1}, {"step": 2}, {"step": 3})
    put(run, "b", {"step": 0, "x": 1.0}, {"step": 1, "x": math.nan}, {"step": 2, "y": 1})
    rows = open_run(run.folder).aligned("a", "b")
    assert rows.missing("b.x").tolist() == [False, False, True, True]
    assert rows.missing("b").tolist() == [False, False, False, True]


def test_aligned_rows_stay_as_they_are_when_the_run_is_refreshed(run):
    """Rows that arrive later, and lie before others in time, move nothing."""
    put(run, "a", *({"step": step, "x": step, "y": -step} for step in range(3)))
    view = open_run(run.folder)
    rows = view.aligned("a")
    assert rows["a.x"].tolist() == [0, 1, 2]
    run.start(0.6, B).put("tracks/a", line(0.7, step=9, x=9, y=-9), writer=B)
    put(run, "a", {"step": 7, "x": 7, "y": -7}, start=5.0)
    view.refresh()
    assert rows["a.y"].tolist() == [0, -1, -2]
    assert len(rows.to_polars()) == 3
    assert view.tracks["a"]["y"].tolist() == [-9, 0, -1, -2, -7]
    assert view.aligned("a").steps.tolist() == [9, 0, 1, 2, 7]


def test_arithmetic_in_place_changes_nothing_that_is_kept(run):
    """`times -= times[0]` is refused: joins and datasets use the same column; copies are free."""
    put(
        run, "a", *({"step": n, "n": n, "x": n / 2, "q": [n, 1.5]} for n in range(3)), {"q": [0, 0]}
    )
    run.frame("cam/1.png", at=1.1, step=1)
    view = open_run(run.folder)
    table, shots = view.tracks["a"], view.frames("cam")
    rows = view.aligned("a", frames="cam", on="timestamp")
    given = [table.timestamps, table["timestamp"], table["x"], table["q"], table["n"], table.steps]
    given += [table.to_numpy()["x"], rows["a.x"], rows["a"]["q"], rows["n"], rows.timestamps]
    given += [rows.steps, rows.run_index, rows.episode_index, rows.frame_index()]
    given += [shots.timestamps, shots.steps]
    for array in given:
        with pytest.raises(ValueError, match="read-only"):
            array[0] += 1
    samples = rows.samples(["a.q"], missing_frames="zero")
    own = [table.read(format="numpy")["q"][1], rows[1]["a"]["q"], samples.sample(1)["a.q"]]
    for array in own:
        array += 9
    assert rows[1]["a"]["q"].tolist() == samples.sample(1)["a.q"].tolist() == [1, 1.5]
    assert view.aligned("a", on="timestamp")["q"].tolist() == [[0, 1.5], [1, 1.5], [2, 1.5], [0, 0]]


def test_a_row_has_all_its_fields_whatever_was_read_before(run):
    """Also when as many columns were looked at as there are, one of them not among these."""
    put(run, "a", {"x": 1, "y": 2})
    rows = open_run(run.folder).aligned("a", on="timestamp")
    for name in ("a.x", "a.step", "a.timestamp"):
        _ = rows[name]
    assert rows[0]["a"] == {"x": 1, "y": 2}


# -- what is kept, what is dropped, what is said --------------------------------------------------


@pytest.fixture
def uneven(run):
    """Rows at steps 0 to 3, frames at 1, 3 and 9."""
    put(run, "a", *({"step": step, "x": step} for step in range(4)))
    for step in (1, 3, 9):
        run.frame(f"cam/{step}.png", at=1.0 + step / 10, step=step, shade=step)
    return open_run(run.folder)


@pytest.mark.parametrize(
    ("rows_without_frame", "frames_without_row", "steps"),
    [
        ("keep", "drop", [0, 1, 2, 3]),
        ("drop", "drop", [1, 3]),
        ("keep", "keep", [0, 1, 2, 3, 9]),
        ("drop", "keep", [1, 3, 9]),
    ],
)
def test_rows_without_frames_and_frames_without_rows_are_kept_as_asked_and_counted(
    uneven, rows_without_frame, frames_without_row, steps
):
    """Whatever is asked, the report says how many there are of each."""
    rows = uneven.aligned(
        "a",
        frames="cam",
        rows_without_frame=rows_without_frame,
        frames_without_row=frames_without_row,
    )
    assert rows.steps.tolist() == steps
    assert rows["a.x"].tolist() == [step if step < 4 else None for step in steps]
    assert rows.has_frame().tolist() == [step in (1, 3, 9) for step in steps]
    assert rows.report.rows == len(rows)
    assert rows.report.rows_without_frame == 2
    assert rows.report.frames_without_row == 1


def test_frames_between_two_rows_are_kept_by_time_as_well(uneven):
    """On timestamps the frames that no row took come as rows of their own, in order of time."""
    rows = uneven.aligned("a", frames="cam", on="timestamp", frames_without_row="keep")
    assert rows.timestamps.tolist() == [1.0, 1.1, 1.2, 1.3, 1.9]
    assert rows.has_frame().tolist() == [False, True, True, True, True]
    assert rows["a"].present.tolist() == [True] * 4 + [False]
    assert rows.steps.tolist() == [0, 1, 2, 3, 9]
    assert rows.report.frames_without_row == 1


def test_a_row_needs_a_frame_of_every_camera_to_stay(uneven, run):
    """Dropped is what any of the cameras lacks."""
    run.frame("left/3.png", at=1.3, step=3)
    view = open_run(run.folder)
    rows = view.aligned("a", frames=["cam", "left"], rows_without_frame="drop")
    assert rows.steps.tolist() == [3]
    assert rows.report.rows_dropped == 3


@pytest.mark.parametrize("name", ["rows_without_frame", "frames_without_row"])
def test_keep_and_drop_are_all_there_is_to_say(uneven, name):
    """The error names the argument."""
    with pytest.raises(ValueError, match=f"{name} is 'warn'; it must be 'keep' or 'drop'"):
        uneven.aligned("a", frames="cam", **{name: "warn"})


def test_what_does_not_fit_is_logged_with_numbers(uneven, caplog):
    """How many and the first steps, when it is loaded; frames that were not taken are no fault."""
    with caplog.at_level(logging.WARNING, "ml_dash"):
        uneven.aligned("a", frames="cam")
    assert "1 of cam in no row (first steps: 9)" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "ml_dash"):
        uneven.aligned("a")
        uneven.aligned("a", frames="cam", on="timestamp", tolerance=0.01)
    assert caplog.text == ""


# -- episodes --------------------------------------------------------------------------------------


def test_an_episode_is_a_value_of_the_column_episode(run):
    """Numbered in order of appearance, also where two alternate, whatever they are called."""
    put(run, "a", *({"step": step, "episode": e} for step, e in enumerate(["b", "a", "b", "a", 7])))
    assert open_run(run.folder).aligned("a").episode_index.tolist() == [0, 1, 0, 1, 2]


def test_a_row_has_its_episode_from_whichever_track_knows_it(run):
    """Of several tracks the first that has one counts."""
    put(run, "a", {"step": 0, "episode": 4}, {"step": 1, "x": 0})
    put(run, "b", {"step": 0, "episode": 4}, {"step": 1, "episode": 5})
    rows = open_run(run.folder).aligned("a", "b", on="timestamp")
    assert rows.episode_index.tolist() == [0, 1]


def test_without_that_column_an_episode_begins_where_the_step_goes_back(run):
    """A counter that starts anew; one that stands still or jumps ahead does not."""
    put(run, "a", *({"step": step} for step in (0, 1, 1, 5, 0, 1, 0)))
    rows = open_run(run.folder).aligned("a")
    assert rows.episode_index.tolist() == [0, 0, 0, 0, 1, 1, 2]
    assert rows[4:].episode_index.tolist() == [1, 1, 2]


# -- several runs --------------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path):
    """Two runs of two episodes each, with frames; the root."""
    for name in ("one", "two"):
        with Experiment(name, dash_root=tmp_path, echo=False).run as experiment:
            recorder = experiment.recorder(format="png")
            for step in range(6):
                shade = step + (100 if name == "two" else 0)
                row = {"episode": step // 3, "x": float(shade), "action": [step, 1]}
                more = {"only": step} if name == "two" else {}
                frame = np.full((4, 4), shade, np.uint8)
                recorder.record(step, tracks={"env": row | more}, frames={"cam": frame})
    return tmp_path


def test_runs_are_one_dataset_with_the_number_of_run_and_episode(two):
    """By prefix, and what one run lacks is missing in its rows."""
    rows = concat_runs(["one", "two"], two).aligned("env", frames="cam")
    assert len(rows) == 12
    assert rows.run_index.tolist() == [0] * 6 + [1] * 6
    assert rows.episode_index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    assert rows["env.x"].tolist() == [*range(6), *range(100, 106)]
    assert rows["only"].tolist() == [None] * 6 + list(range(6))
    assert [int(rows.frame(row)[0, 0]) for row in (0, 5, 6, 11)] == [0, 5, 100, 105]
    assert rows.frame_bytes(6) == open_run("two", two).frames("cam").read_bytes(0)
    assert rows.timestamps_ms[[0, 6]].tolist() == [0, 0]
    assert rows[7]["env.x"] == 101
    assert rows.report.rows == 12 and rows.report.unused == {"env": 0, "cam": 0}


def test_a_batch_of_many_runs_has_frames_of_all_of_them(two):
    """Through PyTorch, shuffled, with windows that stay within their episode."""
    rows = concat_runs(["one", "two"], two).aligned("env", frames="cam")
    (batch,) = rows.to_torch(12, shuffle=True, obs_horizon=2, action_horizon=2)
    assert sorted(batch["run_index"].tolist()) == [0] * 6 + [1] * 6
    shades = (batch["frame"][:, :, 0, 0, 0] * 255).round().int()
    np.testing.assert_array_equal(shades, batch["env.x"].int())
    first = batch["step"] % 3 == 0
    assert bool((shades[first, 0] == shades[first, 1]).all())
    assert bool((shades[~first, 0] + 1 == shades[~first, 1]).all())


def test_aligned_rows_of_several_runs_can_be_joined_as_they_are(two):
    """Each aligned, cut or resampled by itself before; and joined ones joined again."""
    one, other = (open_run(name, two).aligned("env", frames="cam") for name in ("one", "two"))
    rows = concat_runs([one[4:], other.take([0, 5])])
    assert rows["x"].tolist() == [4, 5, 100, 105]
    assert [int(rows.frame(row)[0, 0]) for row in range(4)] == [4, 5, 100, 105]
    again = concat_runs([rows, one])
    assert again.run_index.tolist() == [0, 0, 1, 1] + [2] * 6
    assert again["x"].tolist() == [4, 5, 100, 105, *range(6)]
    assert [int(again.frame(row)[0, 0]) for row in (3, 4)] == [105, 0]
    assert len(set(again.episode_index.tolist())) == 5


def test_what_cannot_be_joined_is_refused(two):
    """Nothing, a mixture, other tracks; and an error in one run names the run."""
    one = open_run("one", two)
    with pytest.raises(ValueError, match="runs is empty"):
        concat_runs([])
    with pytest.raises(TypeError, match="must be a list of runs"):
        concat_runs("one", two)
    with pytest.raises(TypeError, match="not both"):
        concat_runs([one, one.aligned("env")])
    with pytest.raises(ValueError, match="align all of them alike"):
        concat_runs([one.aligned("env"), one.aligned("env", frames="cam")])
    with pytest.raises(KeyError, match="no track 'arm'") as error:
        concat_runs(["one", "two"], two).aligned("arm")
    assert error.value.__notes__ == ["in the run 'one'"]
    assert [run.prefix for run in concat_runs(["one", one.folder], two)] == ["one", "one"]


# -- samples as numpy ------------------------------------------------------------------------------


def test_samples_are_flat_dicts_of_numpy(two):
    """By number: the frame, the columns asked for, step, time and indices."""
    samples = open_run("one", two).aligned("env", frames="cam").samples({"u": "action"})
    assert len(samples) == 6
    sample = samples.sample(4)
    assert set(sample) == {"frame", "u", "step", "timestamp_ms", "episode_index", "run_index"}
    assert sample["frame"].shape == (4, 4, 1) and int(sample["frame"][0, 0, 0]) == 4
    assert sample["u"].tolist() == [4, 1] and sample["u"].dtype == np.float32
    assert sample["step"] == 4 and sample["episode_index"] == 1


def test_names_of_samples_that_cannot_be_are_refused(two):
    """A track, an unknown column, a text, a name that is taken."""
    rows = open_run("one", two).aligned("env", frames="cam")
    with pytest.raises(ValueError, match="columns: 'env' is a track"):
        rows.samples(["env"])
    with pytest.raises(KeyError, match="no track or column 'y'"):
        rows.samples(["y"])
    with pytest.raises(KeyError, match=r"no column 'y'"):
        rows.samples(["env.y"])
    with pytest.raises(TypeError, match="columns is 'action'"):
        rows.samples("action")
    with pytest.raises(ValueError, match="'frame' is a sample's own"):
        rows.samples({"frame": "action"})
    with pytest.raises(KeyError, match="drop_missing: no column 'q'"):
        rows.samples(["action"], drop_missing=["q"])


def test_columns_of_a_sample_may_be_named_without_their_track(two):
    """Where nothing was renamed; all that lies below a name, and none that several tracks have."""
    with Experiment("both", dash_root=two, echo=False).run as run:
        for topic in ("a", "b"):
            row = {"step": 0, "u": 1, f"v{topic}": {"x": 1, "y": 2}}
            run.track(topic).append(row)
    rows = open_run("both", two).aligned("a", "b")
    windows = rows.windows(1, 2, actions=["va", "b.u"])
    ahead = [key for key, field in windows.fields.items() if field.shape[:1] == (2,)]
    assert sorted(ahead) == ["a.va.x", "a.va.y", "action_is_pad", "b.u"]
    assert len(rows.samples(drop_missing=["vb.x"])) == 1
    with pytest.raises(KeyError, match=r"actions: 'u' is any of 'a\.u', 'b\.u'; say which"):
        rows.windows(1, 2, actions=["u"])


def test_one_column_that_a_sample_needs_is_given_by_its_name(two):
    """Not only in a list, for windows as for rows."""
    rows = concat_runs(["one", "two"], two).aligned("env")
    assert len(rows.samples(drop_missing="only")) == 6
    assert len(rows.windows(2, 2, drop_missing="only")) == 6


def test_only_the_columns_asked_for_are_kept(two, monkeypatch):
    """Others are not even gathered from the rows."""
    from ml_dash.reading import columns as module

    gathered = set()
    take = module.Columns.take
    monkeypatch.setattr(module.Columns, "take", lambda self, n: gathered.add(n) or take(self, n))
    open_run("one", two).aligned("env", frames="cam").samples(["env.action"])
    assert gathered == {"action", "step", "frame", "episode"}


# -- data frames ---------------------------------------------------------------------------------

MIXED = (
    line(1.0, step=0, x=0.5, n=1, b=True, q=[1.0, 2.0], s="a", r=[1], pose={"z": 1.0}),
    line(2.0, step=1, x=math.nan, r=[1, 2]),
    line(3.0, step=2, n=2**60, b=False, q=[3.0, math.inf], s="c", r=[]),
)


def test_a_table_as_pandas():
    """Integers stay exact beside missing ones, arrays are a cell each."""
    frame = table(*MIXED).to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert list(frame)[:2] == ["timestamp", "step"]
    assert frame["n"].tolist() == [1, pandas.NA, 2**60] and str(frame["n"].dtype) == "Int64"
    assert frame["b"].tolist() == [True, pandas.NA, False]
    assert frame["x"].isna().tolist() == [False, True, True]
    assert frame["q"][0].tolist() == [1, 2] and frame["q"][1] is None
    assert frame["s"].tolist() == ["a", None, "c"]
    assert frame["r"][1].tolist() == [1, 2]
    assert frame["pose.z"][0] == 1.0
    assert list(table(*MIXED).to_pandas(["n", "x"])) == ["n", "x"]


def test_a_table_as_polars():
    """Missing is null and NaN is NaN."""
    frame = table(*MIXED).to_polars()
    assert isinstance(frame, polars.DataFrame)
    assert frame["n"].to_list() == [1, None, 2**60]
    assert frame["b"].to_list() == [True, None, False]
    assert frame["x"].is_null().to_list() == [False, False, True]
    assert frame["x"].is_nan().to_list() == [False, True, None]
    assert frame["q"].to_list() == [[1, 2], None, [3, math.inf]]
    assert frame["s"].to_list() == ["a", None, "c"]
    assert frame["r"].to_list() == [[1], [1, 2], []]


def test_a_table_as_arrow():
    """The same, typed; lists of one shape are of fixed size."""
    arrow = table(*MIXED).to_arrow()
    assert isinstance(arrow, pyarrow.Table)
    assert arrow["n"].to_pylist() == [1, None, 2**60]
    assert arrow["q"].type == pyarrow.list_(pyarrow.float64(), 2)
    assert arrow["q"].to_pylist() == [[1, 2], None, [3, math.inf]]
    assert arrow["x"].null_count == 1 and math.isnan(arrow["x"][1].as_py())
    assert arrow["r"].to_pylist() == [[1], [1, 2], []]


def test_values_of_several_kinds_find_a_place_in_every_frame():
    """A column of numbers and text, one of dicts in lists, one of matrices, huge integers."""
    rows = (
        line(1.0, mix=1, deep=[{"a": 1}], m=[[1, 2], [3, 4]], big=2**70, empty=[]),
        line(2.0, mix="one", deep=[], m=[[5, 6], [7, 8]], big=1, empty=[]),
    )
    mixed = table(*rows)
    assert mixed.to_pandas()["mix"].tolist() == [1, "one"]
    assert mixed.to_polars()["mix"].to_list() == [1, "one"]
    assert mixed.to_arrow()["mix"].to_pylist() == ["1", '"one"']
    assert mixed.to_arrow()["m"].to_pylist() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert mixed.to_polars()["m"].to_list() == [[[1, 2], [3, 4]], [[5, 6], [7, 8]]]
    assert mixed.to_pandas()["m"][1].tolist() == [[5, 6], [7, 8]]
    assert mixed.to_pandas()["big"].tolist() == [2**70, 1]
    assert mixed.to_arrow()["empty"].to_pylist() == [[], []]


values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=3),
    st.lists(st.floats(), max_size=2),
    st.dictionaries(st.sampled_from("ab"), st.integers(0, 3), max_size=1),
)


@given(rows=st.lists(st.dictionaries(st.sampled_from(["x", "y"]), values), max_size=6))
def test_whatever_was_recorded_becomes_frames(rows):
    """No mixture of kinds is too odd, and each frame has all rows."""
    lines = [line(float(number), **fields) for number, fields in enumerate(rows)]
    mixed = table(*lines)
    assert len(mixed.to_pandas()) == len(rows)
    assert mixed.to_arrow().num_rows == len(rows)
    assert mixed.to_polars().height == len(rows)
    if rows:
        rows = [{"step": number, **fields} for number, fields in enumerate(rows)]
        aligned = align({"a": table(*(line(float(r["step"]), **r) for r in rows))}, {}, files=())
        samples = aligned.samples()
        assert [
            samples.sample(number)["step"] for number in range(len(rows))
        ] == aligned.steps.tolist()


def test_aligned_rows_as_frames(run):
    """Step, time and episode first, then the columns by their full names."""
    put(run, "a", {"step": 0, "x": 1}, {"step": 1, "x": 2})
    put(run, "b", {"step": 1, "u": "text"})
    rows = open_run(run.folder).aligned("a", "b")
    own = ["step", "timestamp", "episode_index"]
    for frame in (rows.to_pandas(), rows.to_polars()):
        assert list(frame.columns) == [*own, "a.x", "b.u"]
    assert rows.to_polars()["b.u"].to_list() == [None, "text"]
    assert rows.to_arrow(["x"]).column_names == [*own, "x"]
    with pytest.raises(KeyError, match="'a' is a track"):
        rows.to_pandas(["a"])


@pytest.mark.parametrize("package", ["pandas", "polars", "pyarrow"])
def test_without_the_package_the_error_is_the_pip_line(package, monkeypatch):
    """What to install is said."""
    monkeypatch.setitem(__import__("sys").modules, package, None)
    name, extra = package.replace("py", ""), package.replace("py", "")
    with pytest.raises(ImportError, match=rf'pip install "ml-dash\[{extra}\]"'):
        getattr(table(*MIXED), f"to_{name}")()


# -- large runs ----------------------------------------------------------------------------------


def test_memory_is_that_of_the_columns_asked_for(tmp_path):
    """Samples of one column of many cost a fraction of what those of all cost."""
    import tracemalloc

    count = 30_000
    with Experiment("wide", dash_root=tmp_path, echo=False).run as experiment:
        wide = experiment.track("wide")
        for step in range(count):
            wide.append({"step": step, **{f"c{number}": step * 0.5 for number in range(24)}})

    def held(columns):
        rows = open_run("wide", tmp_path).aligned("wide")
        tracemalloc.start()
        samples = rows.samples(columns)
        assert len(samples) == count
        found, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return found

    assert held(["wide.c3"]) < held(None) / 3
