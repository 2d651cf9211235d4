"""A fixed-rate grid over aligned rows, held against a loop that a reader can check by eye."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from written import A, Written, line

from ml_dash import Experiment
from ml_dash.backends import MemoryBackend
from ml_dash.reading import Source, Stream, concat_runs, open_run
from ml_dash.reading.align import align
from ml_dash.reading.table import Table


def table(rows, name="a"):
    """A track of (time, fields), steps counted."""
    backend = MemoryBackend()
    lines = [line(time, step=fields.pop("step"), explicit=True, **fields) for time, fields in rows]
    backend.append(f"tracks/{name}/{A}.jsonl", 0, lines)
    return Table(Stream(Source(backend), f"tracks/{name}"), name)


def aligned(**tracks):
    """Tracks aligned on step."""
    return align({name: table(rows, name) for name, rows in tracks.items()}, {}, files=())


def track(times, **columns):
    """Rows of one track at these times, with a step each."""
    return [
        (float(time), {"step": step, **{name: values[step] for name, values in columns.items()}})
        for step, time in enumerate(times)
    ]


# -- the grid ------------------------------------------------------------------------------------


def test_there_is_a_row_every_tenth_of_a_second_from_the_first_to_the_last():
    """Timestamps are the ticks; each row is the latest one at or before its tick."""
    rows = aligned(a=track([0, 0.04, 0.25, 0.3], x=[0, 1, 2, 3])).resample(hz=10)
    np.testing.assert_allclose(rows.timestamps, [0, 0.1, 0.2, 0.3])
    np.testing.assert_allclose(rows.timestamps_ms, [0, 100, 200, 300])
    assert rows["a.x"].tolist() == [0, 1, 1, 3]
    assert rows.steps.tolist() == [0, 1, 1, 3]
    assert rows.report.rows == len(rows) == 4


@pytest.mark.parametrize("start", [0.0, 0.1, 1763687000.123456, 1795240000.0])
@pytest.mark.parametrize("hz", [3, 10, 30, 50.0, 1000])
def test_rows_that_are_on_the_grid_already_stay_as_they_are(start, hz):
    """Rounding of the clock never makes a tick see the row before its own."""
    times = [round(start + number / hz, 6) for number in range(200)]
    rows = aligned(a=track(times, x=list(range(200))))
    for method in ("hold", "nearest", "linear"):
        assert rows.resample(hz, method)["a.x"].tolist() == list(range(200)), method


def test_one_row_gives_one_row():
    """A run of one moment is one tick long, an empty one none."""
    rows = aligned(a=track([5], x=[1]))
    assert rows.resample(10)["a.x"].tolist() == [1]
    nothing = rows.take([])
    assert len(nothing.resample(10)) == 0


times_of = st.lists(st.integers(0, 400), min_size=1, max_size=25, unique=True).map(sorted)


@given(
    times=times_of,
    present=st.lists(st.booleans(), min_size=25, max_size=25),
    breaks=st.lists(st.integers(1, 24), max_size=3),
    hz=st.sampled_from([5, 10, 25]),
    method=st.sampled_from(["hold", "nearest", "linear"]),
)
def test_each_tick_has_what_the_method_says(times, present, breaks, hz, method):
    """Hold, nearest and linear, for a track that is always there and one that is not."""
    times = [time / 100 for time in times]
    episodes = [sum(row >= edge for edge in breaks) for row in range(len(times))]
    values = [float(row * row) for row in range(len(times))]
    first = track(times, x=values, episode=episodes, note=[f"n{row}" for row in range(len(times))])
    second = [
        (time, {"step": step, "episode": episodes[step], "u": values[step]})
        for step, time in enumerate(times)
        if present[step]
    ]
    found = aligned(a=first, b=second or [(times[0], {"step": 0, "episode": 0, "u": values[0]})])
    if not second:
        present = [True] + [False] * 24
    grid = found.resample(hz, method)
    expected = list(ticks(times, episodes, hz))
    np.testing.assert_allclose(grid.timestamps, [tick for tick, _ in expected])
    for row, (tick, members) in enumerate(expected):
        x = value_at(tick, [(times[m], values[m]) for m in members], method)
        u = value_at(tick, [(times[m], values[m]) for m in members if present[m]], method)
        np.testing.assert_allclose(grid["a.x"][row], x)
        np.testing.assert_allclose(grid["b.u"][row], u)
        assert grid["a.episode"][row] == episodes[members[0]]
        held = "hold" if method == "linear" else method
        note = value_at(tick, [(times[m], m) for m in members], held)
        assert grid["a.note"][row] == f"n{note}"


def ticks(times, episodes, hz):
    """Each tick with the rows of its episode."""
    for episode in sorted(set(episodes)):
        members = [row for row, other in enumerate(episodes) if other == episode]
        span = times[members[-1]] - times[members[0]]
        for number in range(math.floor(span * hz + 1e-6) + 1):
            yield times[members[0]] + number / hz, members


def value_at(tick, points, method):
    """The value of a track at a tick from its (time, value) pairs."""
    before = [point for point in points if point[0] <= tick + 1e-6]
    after = [point for point in points if point[0] > tick + 1e-6]
    if method == "nearest" and points:
        return min(points, key=lambda point: (round(abs(point[0] - tick), 6), point[0]))[1]
    if not before:
        return math.nan
    if method == "linear" and after:
        (early, low), (late, high) = before[-1], after[0]
        weight = max(tick - early, 0) / (late - early) if tick - early > 1e-6 else 0
        return low + weight * (high - low)
    return before[-1][1]


# -- what is held, what is interpolated --------------------------------------------------------


def test_linear_interpolates_numbers_and_holds_all_else():
    """Floats, integers and arrays lie between; text, booleans and counters do not."""
    rows = aligned(
        a=track(
            [0, 1],
            x=[0.0, 1.0],
            n=[0, 10],
            q=[[0.0, 4.0], [2.0, 0.0]],
            word=["a", "b"],
            flag=[False, True],
            episode_step=[3, 4],
        )
    )
    grid = rows.resample(2, "linear")
    assert grid["a.x"].tolist() == [0, 0.5, 1]
    assert grid["a.n"].tolist() == [0, 5, 10]
    assert grid["a.q"].tolist() == [[0, 4], [1, 2], [2, 0]]
    assert grid["a.word"].tolist() == ["a", "a", "b"]
    assert grid["a.flag"].tolist() == [False, False, True]
    assert grid["a.episode_step"].tolist() == [3, 3, 4]
    assert grid["a"].sessions.tolist() == [0, 0, 0] and grid["a"].arrival.tolist() == [0, 0, 1]


def test_a_missing_number_is_not_made_up():
    """Where the row before has no value there is none; where only the next has none, it is held."""
    rows = aligned(
        a=[(0.0, {"step": 0, "x": 1.0}), (1.0, {"step": 1}), (2.0, {"step": 2, "x": 3.0})]
    )
    np.testing.assert_array_equal(rows.resample(2, "linear")["a.x"], [1, 1, np.nan, np.nan, 3])
    rows = aligned(a=[(0.0, {"step": 0, "x": math.inf}), (1.0, {"step": 1, "x": math.inf})])
    assert rows.resample(1, "linear")["a.x"].tolist() == [math.inf, math.inf]


def test_nothing_is_carried_over_into_the_next_episode():
    """Each episode has a grid of its own, from its first row to its last."""
    rows = aligned(a=track([0, 0.1, 5.03, 5.13], x=[0.0, 1.0, 2.0, 3.0], episode=[0, 0, 1, 1]))
    grid = rows.resample(20, "linear")
    np.testing.assert_allclose(grid.timestamps, [0, 0.05, 0.1, 5.03, 5.08, 5.13])
    np.testing.assert_allclose(grid["a.x"], [0, 0.5, 1, 2, 2.5, 3])
    assert grid.episode_index.tolist() == [0, 0, 0, 1, 1, 1]
    assert len(rows.resample(20, by_episode=False)) == 103


def test_a_column_can_be_the_clock():
    """Simulated time, whatever the wall clock said; each episode's begins anew."""
    rows = aligned(
        a=track(
            [0, 0.001, 0.002, 0.003, 9], time=[0.0, 0.5, 1.0, 0.0, 0.5], episode=[0, 0, 0, 1, 1]
        )
    )
    grid = rows.resample(4, "linear", clock="a.time")
    np.testing.assert_allclose(grid["a.time"], [0, 0.25, 0.5, 0.75, 1, 0, 0.25, 0.5])
    np.testing.assert_allclose(grid.timestamps_ms, [0, 250, 500, 750, 1000, 0, 250, 500])
    assert grid.episode_index.tolist() == [0] * 5 + [1] * 3
    with pytest.raises(ValueError, match=r"clock is 'time': it goes back at 1 of 5 rows.*row 3"):
        rows.resample(4, clock="time", by_episode=False)
    with pytest.raises(ValueError, match="clock is 'a'; it must be a column of seconds"):
        rows.resample(4, clock="a")
    holes = aligned(a=[(0.0, {"step": 0, "time": 0.0}), (1.0, {"step": 1})])
    with pytest.raises(ValueError, match="1 of 2 rows have no time; leave them out"):
        holes.resample(4, clock="a.time")


def test_times_that_go_back_are_told():
    """Also where the last is before the first: a clock that counts down, rows turned round."""
    rows = aligned(a=track([0, 1, 2], left=[2.0, 1.0, 0.0]))
    with pytest.raises(ValueError, match=r"clock is 'left': it goes back at 2 of 3 rows.*row 1"):
        rows.resample(4, clock="left")
    with pytest.raises(ValueError, match="row 1 is earlier than the one before it"):
        rows[::-1].resample(4)


def test_arguments_that_make_no_sense_are_refused():
    """Each message names the argument, and a grid that no memory holds is not begun."""
    rows = aligned(a=track([0, 1e9], x=[0, 1]))
    for hz in (0, -1, math.nan, math.inf, True, "10"):
        with pytest.raises(ValueError, match="hz is"):
            rows.resample(hz)
    with pytest.raises(ValueError, match=r"method is 'cubic'; it must be one of hold"):
        rows.resample(10, "cubic")
    for hz in (1000, 1e308):
        with pytest.raises(ValueError, match=r"hz is 1.*do all rows have the same clock"):
            rows.resample(hz)


# -- frames, runs ----------------------------------------------------------------------------------


def test_frames_are_held_from_the_row_that_has_one(tmp_path):
    """A camera slower than its rows shows its latest frame; nearest shows the nearest."""
    run = Written(tmp_path / "run").start(0.5)
    for step in range(5):
        run.put("tracks/a", line(1.0 + step / 10, step=step, x=step))
    for step in (1, 4):
        run.frame(f"cam/{step}.png", at=1.0 + step / 10, step=step, shade=step)
    rows = open_run(run.folder).aligned("a", frames="cam")
    shades = [None if f is None else int(f[0, 0]) for f in map(rows.resample(20).frame, range(9))]
    assert shades == [None, None, 1, 1, 1, 1, 1, 1, 4]
    nearest = rows.resample(10, "nearest")
    assert [int(nearest.frame(row)[0, 0]) for row in range(5)] == [1, 1, 1, 4, 4]


def test_runs_that_were_joined_are_each_brought_to_the_grid(tmp_path):
    """No tick lies between two runs, and each counts its milliseconds from its own start."""
    for name, start in (("one", 10.0), ("two", 99.0)):
        run = Written(tmp_path / name).start(1.0)
        for step in range(3):
            run.put("tracks/a", line(start + step / 10, step=step, x=float(step)))
    rows = concat_runs([tmp_path / "one", tmp_path / "two"]).aligned("a")
    for whole in (rows.resample(20, "linear"), rows.resample(20, "linear").take(slice(None))):
        assert whole["a.x"].tolist() == pytest.approx([0, 0.5, 1, 1.5, 2] * 2)
        assert whole.run_index.tolist() == [0] * 5 + [1] * 5
        np.testing.assert_allclose(whole.timestamps_ms, [0, 50, 100, 150, 200] * 2, atol=1e-6)


def test_a_recording_comes_back_as_a_recorder_of_that_rate_would_have_written_it(tmp_path):
    """Every tenth row of one recorded a hundred times a second is what ten a second would see."""
    with Experiment("fast", dash_root=tmp_path, echo=False).run as experiment:
        arm = experiment.track("arm")
        for step in range(101):
            arm.append({"step": step, "x": step / 100, "q": [step, 1]}, timestamp=50 + step / 100)
    rows = open_run("fast", tmp_path).aligned("arm").resample(hz=10)
    assert rows.steps.tolist() == list(range(0, 101, 10))
    np.testing.assert_array_equal(rows["arm.q"], [[step, 1] for step in range(0, 101, 10)])


# -- streams that were joined by time ------------------------------------------------------------


def by_time(first, tolerance=None, **tracks):
    """Tracks aligned on timestamp, to the rows of the first."""
    tables = {name: table(rows, name) for name, rows in tracks.items()}
    ordered = {first: tables.pop(first), **tables}
    return align(ordered, {}, files=(), on="timestamp", tolerance=tolerance)


@pytest.mark.parametrize("first", ["slow", "fast"])
@pytest.mark.parametrize("method", ["hold", "nearest", "linear"])
def test_streams_that_were_joined_by_time_are_taken_at_their_own_times(first, method):
    """Whichever was the first: a recorder would have looked at each of them at every tick."""
    slow, fast = np.arange(0, 6.0), np.round(np.arange(0, 5.001, 0.05), 6)
    rows = by_time(
        first, slow=track(slow, u=(slow * 10).tolist()), fast=track(fast, v=fast.tolist())
    ).resample(hz=4, method=method)
    ticks = np.arange(21) / 4
    nearer = {"hold": np.floor(ticks), "nearest": np.ceil(ticks - 0.5), "linear": ticks}[method]
    np.testing.assert_allclose(rows["u"], 10 * nearer)
    np.testing.assert_allclose(rows["v"], ticks)
    assert not any(rows.report.unused.values())


def test_the_tolerance_of_a_join_by_time_holds_on_the_grid():
    """What is older than that is missing at a tick, too; and linear bridges no such gap."""
    tracks = {"a": track([0, 1, 2], x=[0.0, 1.0, 2.0]), "b": track([0, 2], y=[0.0, 2.0])}
    rows = by_time("a", tolerance=0.3, **tracks)
    for method, expected in (
        ("hold", [0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 2]),
        ("linear", [0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, np.nan, 2]),
        ("nearest", [0, 0, np.nan, np.nan, np.nan, np.nan, np.nan, 2, 2]),
    ):
        np.testing.assert_array_equal(rows.resample(4, method)["b.y"], expected, method)


def test_nothing_is_interpolated_into_the_next_episode():
    """Though the other stream goes on through both."""
    a = track([0, 1, 2, 3], episode=[0, 0, 1, 1])
    rows = by_time("a", a=a, b=track([0, 1.1, 2.1, 3], y=[0.0, 1.1, 2.1, 3.0]))
    found = rows.resample(10, "linear")
    np.testing.assert_allclose(found.take(found.timestamps < 1.5)["b.y"], np.arange(11) / 10)


def test_runs_that_were_joined_by_time_resample_alike_before_and_after():
    """`concat_runs` of resampled rows, and resampling what was concatenated."""
    made = [by_time("a", a=track([0, 2], x=[0, 2]), b=track([0, 1, 2], y=[0, 1, 2]))] * 2
    before = concat_runs([rows.resample(2) for rows in made])
    after = concat_runs(made).resample(2)
    assert after["b.y"].tolist() == before["b.y"].tolist() == [0, 0, 1, 1, 2] * 2
    assert after.run_index.tolist() == before.run_index.tolist()
    again = concat_runs([concat_runs(made), concat_runs(made)]).resample(2)
    assert again["b.y"].tolist() == before["b.y"].tolist() * 2


# -- streams without steps in a join by step -------------------------------------------------------


def with_gps(root, name, start=50.0, clock=0.0):
    """A run with steps, and beside them a sensor that has none; opened."""
    with Experiment(name, dash_root=root, echo=False, environment=False).run as run:
        for step in range(11):
            run.track("arm").append({"step": step, "x": step}, timestamp=start + step / 10)
        for number in range(30):
            at = start + clock + 0.015 + number / 20
            run.track("gps").append({"lat": number, "fix": "3d"}, timestamp=at)
            pixels = np.full((4, 4), number, np.uint8)
            run.files("eye").save_image(pixels, to=f"at {number} s.png", timestamp=at)
    return open_run(name, root)


def test_streams_without_steps_are_taken_by_their_times(tmp_path):
    """They are in no row of the join, and at each tick as a recorder would have seen them."""
    rows = with_gps(tmp_path, "a").aligned("arm", "gps", frames="eye")
    assert rows.missing("lat").all() and rows.report.without_step == {"gps": 30, "eye": 30}
    grid = rows.resample(20)
    assert grid["lat"].tolist() == [None, *range(20)]
    assert grid.frame_index().tolist() == [-1, *range(20)]
    assert grid["fix"][1] == "3d" and grid["x"].tolist() == [n // 2 for n in range(21)]
    assert grid.report.without == {"arm": 0, "gps": 1, "eye": 1}
    assert not grid.report.without_step and not any(grid.report.unused.values())
    np.testing.assert_allclose(rows.resample(10, "linear")["lat"][1:], np.arange(1, 11) * 2 - 0.3)
    assert rows[5:].resample(10)["lat"].tolist() == [9, 11, 13, 15, 17, 19]


def test_a_stream_of_another_clock_is_left_alone(tmp_path):
    """Held from its first value to its last it would say nothing; it is counted as before."""
    grid = with_gps(tmp_path, "a", clock=1e9).aligned("arm", "gps").resample(20)
    assert grid.missing("lat").all()
    assert grid.report.without_step == {"gps": 30} and grid.report.unused["gps"] == 30


def test_streams_without_steps_of_several_runs(tmp_path):
    """One of the runs is enough to have such a stream."""
    runs = [with_gps(tmp_path, name, start) for name, start in (("a", 50.0), ("b", 90.0))]
    grid = concat_runs(runs).aligned("arm", "gps").resample(20)
    assert grid["lat"].tolist() == [None, *range(20)] * 2
