"""Joining tracks and frames by step and by time."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from written import A, B, C, Written, line

from ml_dash.errors import AlignmentError
from ml_dash.reading import open_run
from ml_dash.reading.align import align
from ml_dash.reading.entries import Entries
from ml_dash.reading.parts import Part


@pytest.fixture
def run(tmp_path):
    """A run's folder with three sessions, in the order B, A, C."""
    return Written(tmp_path / "run").start(0.1, B).start(0.2, A).start(0.3, C)


def pairs(aligned, *columns):
    """The rows as tuples of these columns."""
    return list(zip(*(aligned[name].tolist() for name in columns), strict=True))


def position(run, step, at, writer=A, **fields):
    """A row of the track `pos`."""
    run.put("tracks/pos", line(at, step=step, **fields), writer=writer)


def control(run, step, at, writer=A, **fields):
    """A row of the track `ctl`."""
    run.put("tracks/ctl", line(at, step=step, **fields), writer=writer)


# -- the plain case ------------------------------------------------------------------------------


def test_tracks_join_on_step(run):
    """Rows of two tracks with one step are one row, whenever they were written."""
    for step in range(4):
        position(run, step, 1.0 + step, x=step)
        control(run, step, 1.5 + step, u=10 * step)
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert len(aligned) == 4
    assert pairs(aligned, "pos.x", "ctl.u") == [(0, 0), (1, 10), (2, 20), (3, 30)]
    assert aligned.steps.tolist() == [0, 1, 2, 3]
    assert aligned.timestamps.tolist() == [1, 2, 3, 4]
    assert aligned["ctl"]["u"].tolist() == [0, 10, 20, 30]
    assert set(aligned.columns) >= {"pos.x", "ctl.u"}
    assert str(aligned.report) == "4 rows joined on step"


def test_a_row_that_a_track_lacks_is_kept_marked_and_counted(run):
    """Integers are masked, floats NaN, text `None`; nothing is dropped."""
    for step in range(3):
        position(run, step, 1.0 + step, x=step)
    control(run, 1, 2.0, u=5, v=0.5, name="one")
    control(run, 7, 8.0, u=7, v=1.5, name="seven")
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert aligned.steps.tolist() == [0, 1, 2, 7]
    assert aligned["pos.x"].tolist() == [0, 1, 2, None]
    assert aligned["ctl.u"].tolist() == [None, 5, None, 7]
    np.testing.assert_array_equal(aligned["ctl.v"], [np.nan, 0.5, np.nan, 1.5])
    assert aligned["ctl.name"].tolist() == [None, "one", None, "seven"]
    assert aligned["ctl"].present.tolist() == [False, True, False, True]
    assert aligned.report.without == {"pos": 1, "ctl": 2}


def test_rows_without_a_step_are_left_out_and_counted(run):
    """What has no step cannot be joined on it."""
    position(run, 0, 1.0, x=0)
    position(run, None, 2.0, x=1)
    aligned = open_run(run.folder).aligned("pos")
    assert aligned.steps.tolist() == [0]
    assert aligned.report.without_step == {"pos": 1}
    assert aligned.report.unused == {"pos": 1}


# -- frames --------------------------------------------------------------------------------------


def test_frames_at_every_fourth_step_leave_rows_without(run):
    """Rows without a frame are kept, marked and counted; that is normal."""
    for step in range(8):
        position(run, step, 1.0 + step, x=step)
    for step in (0, 4):
        run.frame(f"cam/f_{step}.png", at=1.3 + step, step=step, shade=step)
    aligned = open_run(run.folder).aligned("pos", frames="cam")
    assert len(aligned) == 8
    assert aligned.has_frame().tolist() == [True, False, False, False] * 2
    assert aligned.frame_index().tolist() == [0, -1, -1, -1, 1, -1, -1, -1]
    assert int(aligned.frame(4)[0, 0]) == 4
    assert aligned.frame(1) is None
    assert aligned.report.rows_without_frame == 6
    assert aligned.report.frames_without_row == 0


def test_frames_without_a_row_are_counted_with_their_steps(run):
    """They are in no row; the report names the first of them."""
    position(run, 0, 1.0, x=0)
    for step in (0, 3, 9):
        run.frame(f"cam/{step}.png", at=2.0, step=step)
    run.frame("cam/none.png", at=2.0)
    report = open_run(run.folder).aligned("pos", frames="cam").report
    assert report.frames_without_row == 3
    assert report.first_unused["cam"] == [3, 9]
    assert report.without_step == {"cam": 1}
    assert report.to_json()["frames_without_row"] == 3
    assert "3 of cam in no row (first steps: 3, 9)" in str(report)


def test_a_row_that_names_its_frame_wins_over_the_frames_step(run):
    """By name below the prefix or by whole path, whatever step the frame has."""
    position(run, 1, 1.0, frame="late.png")
    position(run, 2, 2.0, frame="cam/early.png")
    run.frame("cam/late.png", at=1.0, step=2, shade=1)
    run.frame("cam/early.png", at=2.0, step=1, shade=2)
    aligned = open_run(run.folder).aligned("pos", frames="cam")
    assert [int(aligned.frame(i)[0, 0]) for i in range(2)] == [1, 2]
    assert aligned.steps.tolist() == [1, 2]


def test_a_row_that_names_a_frame_that_never_came_has_none(run):
    """It reads as missing and is counted; no other frame takes its place."""
    position(run, 1, 1.0, frame="lost.png")
    run.frame("cam/other.png", at=1.0, step=1)
    aligned = open_run(run.folder).aligned("pos", frames="cam")
    assert aligned.frame(0) is None
    assert aligned.report.frames_gone == 1
    assert aligned.report.frames_without_row == 1


def test_many_rows_may_name_one_frame(run):
    """Slow cameras: each row shows the frame it names."""
    for step in range(6):
        position(run, step, 1.0 + step, frame=f"{step // 3}.png")
        control(run, step, 1.0 + step, frame=f"{step // 3}.png")
    for number in range(2):
        run.frame(f"cam/{number}.png", at=1.0 + number, step=number, shade=number)
    aligned = open_run(run.folder).aligned("pos", "ctl", frames="cam")
    assert aligned.frame_index().tolist() == [0, 0, 0, 1, 1, 1]
    assert aligned["ctl"].present.all()
    assert aligned.report.frames_without_row == 0


def test_a_row_without_a_step_has_that_of_the_frame_it_names(run):
    """The name is enough to find the step."""
    position(run, None, 1.0, x=5, frame="8.png")
    control(run, 8, 2.0, u=6)
    run.frame("cam/8.png", at=1.0, step=8)
    aligned = open_run(run.folder).aligned("pos", "ctl", frames="cam")
    assert pairs(aligned, "pos.x", "ctl.u") == [(5, 6)]
    assert aligned.has_frame().tolist() == [True]


def test_several_cameras_share_a_name(run):
    """All cameras of a recorder's call have one name; a camera that took no part has none."""
    position(run, 0, 1.0, frame="f_0.png")
    position(run, 1, 2.0, frame="f_1.png")
    for camera, steps in (("left", (0, 1)), ("right", (1,))):
        for step in steps:
            run.frame(f"{camera}/f_{step}.png", at=1.0 + step, step=step, shade=step)
    aligned = open_run(run.folder).aligned("pos", frames=["left", "right"])
    assert aligned.has_frame("left").tolist() == [True, True]
    assert aligned.has_frame("right").tolist() == [False, True]
    assert list(aligned.row(0)["frames"]) == ["left", "right"]
    assert aligned.row(0)["frames"]["right"] is None
    with pytest.raises(ValueError, match="'left', 'right'"):
        aligned.frame(0)


def test_a_name_of_one_camera_says_nothing_of_another(run):
    """The other camera's frame is found by step."""
    position(run, 5, 1.0, frame="left/a.png")
    run.frame("left/a.png", at=1.0, step=5)
    run.frame("right/b.png", at=1.2, step=5)
    aligned = open_run(run.folder).aligned("pos", frames=["left", "right"])
    assert aligned.has_frame("left").all()
    assert aligned.has_frame("right").all()


def test_cameras_align_without_any_track(run):
    """Frames join with frames."""
    for step in range(3):
        run.frame(f"left/{step}.png", at=1.0 + step, step=step)
    run.frame("right/1.png", at=9.0, step=1)
    aligned = open_run(run.folder).aligned(frames=["left", "right"])
    assert aligned.steps.tolist() == [0, 1, 2]
    assert aligned.has_frame("right").tolist() == [False, True, False]


def test_a_camera_may_have_the_name_of_a_track(run):
    """Reports keep the two apart."""
    run.put("tracks/cam", line(1.0, step=0, x=1))
    run.frame("cam/0.png", at=1.0, step=3)
    report = open_run(run.folder).aligned("cam", frames="cam").report
    assert report.without == {"cam": 0, "cam (frames)": 1}
    assert report.rows_without_frame == 1


# -- repeats -------------------------------------------------------------------------------------


def test_rows_of_one_recorder_call_stay_together_when_steps_repeat(run):
    """Step and timestamp in common: episodes that count from 0 each need nothing else."""
    time = 1.0
    for episode in range(3):
        for step in range(4):
            time += 1.0
            position(run, step, time, x=episode)
            if step != 2 or episode == 1:  # one that does not come every time
                control(run, step, time, u=episode)
            if step % 2 == 0:
                run.frame(f"cam/{episode}_{step}.png", at=time, step=step, shade=episode)
    aligned = open_run(run.folder).aligned("pos", "ctl", frames="cam")
    assert len(aligned) == 12
    assert aligned.steps.tolist() == [0, 1, 2, 3] * 3
    assert pairs(aligned, "pos.x", "ctl.u") == [
        (e, None if step == 2 and e != 1 else e) for e in range(3) for step in range(4)
    ]
    shades = [None if f is None else int(f[0, 0]) for f in map(aligned.frame, range(12))]
    assert shades == [0, None, 0, None, 1, None, 1, None, 2, None, 2, None]


def test_repeats_pair_in_order_of_arrival_within_a_session(run):
    """Written by separate calls, the n-th of one track goes with the n-th of the other."""
    for turn in range(3):
        for step in range(2):
            position(run, step, 1.0 + 10 * turn + step, x=turn)
            control(run, step, 5.0 + 10 * turn + step, u=turn)
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert pairs(aligned, "pos.x", "ctl.u") == [(turn, turn) for turn in range(3) for _ in range(2)]


def test_repeats_of_two_sessions_pair_within_each(run):
    """A resumed run repeats some steps: each session's rows go together, crash or not."""
    for step in (0, 1, 2):
        position(run, step, 1.0 + step, writer=B, x="first")
    for step in (0, 1):  # the row of step 2 was never written
        control(run, step, 1.5 + step, writer=B, u="first")
    for step in (1, 2, 3):
        position(run, step, 10.0 + step, writer=A, x="again")
        control(run, step, 10.5 + step, writer=A, u="again")
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert pairs(aligned, "pos.step", "pos.x", "ctl.u") == [
        (0, "first", "first"),
        (1, "first", "first"),
        (2, "first", None),
        (1, "again", "again"),
        (2, "again", "again"),
        (3, "again", "again"),
    ]


def test_two_processes_that_record_one_robot_join(run):
    """Rows of one process and frames of another share nothing but the step."""
    for step in range(3):
        position(run, step, 1.0 + step, writer=A, x=step)
        run.frame(f"cam/{step}.png", at=1.1 + step, step=step, shade=step, writer=B)
    aligned = open_run(run.folder).aligned("pos", frames="cam")
    assert [int(aligned.frame(i)[0, 0]) for i in range(3)] == [0, 1, 2]


def test_unequal_repeats_are_an_error_that_names_the_steps(run):
    """What cannot be paired without guessing is not paired."""
    for turn in range(2):
        for step in range(9):
            position(run, step, 1.0 + 10 * turn + step)
    for step in range(9):
        control(run, step, 5.5 + step)
    with pytest.raises(AlignmentError) as error:
        open_run(run.folder).aligned("pos", "ctl")
    assert "step 0: 'pos' 2x, 'ctl' 1x; step 1" in str(error.value)
    assert "and 4 more steps" in str(error.value)
    assert "repeats=" in str(error.value)


def test_a_lone_frame_of_a_repeated_step_is_an_error(run):
    """One frame by step, two rows: which one it shows is not known."""
    position(run, 4, 1.0)
    position(run, 4, 2.0)
    run.frame("cam/4.png", at=1.5, step=4)
    with pytest.raises(AlignmentError, match="step 4: 'pos' 2x, 'cam' 1x"):
        open_run(run.folder).aligned("pos", frames="cam")


@pytest.mark.parametrize(("repeats", "expected"), [("first", (0, 0)), ("last", (2, 1))])
def test_repeats_keeps_the_first_or_last_of_each_track(run, repeats, expected):
    """One row is left of each step, whatever the counts."""
    for turn in range(3):
        position(run, 5, 1.0 + turn, x=turn)
    for turn in range(2):
        control(run, 5, 1.5 + turn, u=turn)
    position(run, 6, 9.0, x=6)
    aligned = open_run(run.folder).aligned("pos", "ctl", repeats=repeats)
    assert aligned.steps.tolist() == [5, 6]
    assert pairs(aligned, "pos.x", "ctl.u") == [expected, (6, None)]


def test_repeats_never_take_a_frame_from_another_call(run):
    """The last row of a step without a frame has none, though an earlier one had."""
    position(run, 5, 1.0, x=0)
    position(run, 5, 2.0, x=1)
    run.frame("cam/a.png", at=1.0, step=5)
    aligned = open_run(run.folder).aligned("pos", frames="cam", repeats="last")
    assert aligned["pos.x"].tolist() == [1]
    assert aligned.frame(0) is None
    aligned = open_run(run.folder).aligned("pos", frames="cam", repeats="first")
    assert aligned.frame(0) is not None


def test_arrival_counts_and_not_time(run):
    """Explicit times that go back do not change which repeat is which."""
    for turn, at in enumerate((50.0, 10.0)):
        run.put("tracks/pos", line(at, step=0, explicit=True, x=turn))
        run.put("tracks/ctl", line(100.0 - at, step=0, explicit=True, u=turn))
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert sorted(pairs(aligned, "pos.x", "ctl.u")) == [(0, 0), (1, 1)]


# -- episodes ------------------------------------------------------------------------------------


def test_tracks_with_episodes_join_on_both(run):
    """(episode, step) is the key when every track has an episode, in any order of arrival."""
    for episode in (0, 1):
        for step in range(3):
            position(run, step, 1.0 + 10 * episode + step, episode=episode, x=episode)
    for episode in (1, 0):
        for step in range(3):
            control(run, step, 101.0 - 10 * episode + step, episode=episode, u=episode)
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert len(aligned) == 6
    assert all(x == u for x, u in pairs(aligned, "pos.x", "ctl.u"))
    assert aligned.report.key == "episode, step"


def test_an_episode_that_a_track_lacks_is_no_repeat(run):
    """With episodes, unequal counts of a step are no ambiguity."""
    for episode in ("a", "b"):
        position(run, 0, 1.0 if episode == "a" else 2.0, episode=episode, x=episode)
    control(run, 0, 3.0, episode="b", u="b")
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert pairs(aligned, "pos.x", "ctl.u") == [("a", None), ("b", "b")]


def test_without_an_episode_in_every_track_the_step_alone_counts(run):
    """Then the counts must agree again."""
    position(run, 0, 1.0, episode=0)
    position(run, 0, 2.0, episode=1)
    control(run, 0, 3.0)
    with pytest.raises(AlignmentError):
        open_run(run.folder).aligned("pos", "ctl")


def test_frames_without_an_episode_go_by_step_where_that_is_clear(run):
    """A step of one episode only takes the frame; one of two episodes is an error."""
    position(run, 0, 1.0, episode=0, x=0)
    position(run, 1, 2.0, episode=0, x=1)
    position(run, 0, 3.0, episode=1, x=2)
    run.frame("cam/1.png", at=2.5, step=1)
    aligned = open_run(run.folder).aligned("pos", frames="cam")
    assert aligned.has_frame().tolist() == [False, True, False]
    run.frame("cam/0.png", at=3.5, step=0)
    with pytest.raises(AlignmentError, match="step 0"):
        open_run(run.folder).aligned("pos", frames="cam")


def test_frames_with_an_episode_in_their_metadata_join_on_it(run):
    """An episode given with the frame counts as that of a row."""
    for episode in (0, 1):
        position(run, 0, 1.0 + episode, episode=episode, x=episode)
        run.frame(
            f"cam/{episode}.png",
            at=9.0 - episode,
            step=0,
            shade=episode,
            metadata={"episode": episode},
        )
    aligned = open_run(run.folder).aligned("pos", frames="cam")
    assert [int(aligned.frame(i)[0, 0]) for i in range(2)] == [0, 1]


# -- on timestamp --------------------------------------------------------------------------------


def test_on_timestamp_the_latest_before_each_row_counts(run):
    """As-of: at or before, never after; what is too old is missing."""
    for at in (1.0, 2.0, 3.0, 4.0):
        position(run, None, at, x=at)
    control(run, None, 2.0, u=0.5)
    control(run, None, 2.9, u=1.5)
    run.frame("cam/a.png", at=0.5)
    view = open_run(run.folder)
    aligned = view.aligned("pos", "ctl", frames="cam", on="timestamp")
    np.testing.assert_array_equal(aligned["ctl.u"], [np.nan, 0.5, 1.5, 1.5])
    assert aligned.has_frame().all()
    assert aligned.steps.tolist() == [None] * 4
    aligned = view.aligned("pos", "ctl", frames="cam", on="timestamp", tolerance=0.5)
    np.testing.assert_array_equal(aligned["ctl.u"], [np.nan, 0.5, 1.5, np.nan])
    assert aligned.has_frame().tolist() == [True, False, False, False]
    assert aligned.report.rows_without_frame == 3


@pytest.mark.parametrize("start", [0.0, 1795240000.0])
def test_a_value_that_is_just_as_old_as_the_tolerance_is_there(run, start):
    """However the times are rounded; one that is a tenth older is not."""
    for number in range(200):
        position(run, number, round(start + number / 50, 6))
        control(run, number, round(start + number / 50 - 0.008, 6), u=number)
    view = open_run(run.folder)
    for tolerance, without in ((0.008, 0), (0.0072, 200), (0, 200)):
        rows = view.aligned("pos", "ctl", on="timestamp", tolerance=tolerance)
        assert rows.report.without["ctl"] == without


def test_arguments_that_make_no_sense_are_refused(run):
    """Each message names the argument."""
    position(run, 0, 1.0)
    view = open_run(run.folder)
    for arguments, match in [
        ({"on": "time"}, "on is 'time'"),
        ({"repeats": "all"}, "repeats is 'all'"),
        ({"tolerance": 0.1}, "tolerance"),
        ({"on": "timestamp", "tolerance": -1.0}, r"tolerance is -1\.0"),
        ({"on": "timestamp", "repeats": "first"}, "repeats"),
    ]:
        with pytest.raises(ValueError, match=match):
            view.aligned("pos", **arguments)
    with pytest.raises(ValueError, match="nothing to align"):
        view.aligned()
    with pytest.raises(KeyError, match="no track 'posi'"):
        view.aligned("posi")
    with pytest.raises(KeyError, match="no frames below 'cam'"):
        view.aligned("pos", frames="cam")


# -- reading rows --------------------------------------------------------------------------------


def test_iterating_gives_a_dict_for_each_row(run):
    """Fields by track, without those that are missing, and the decoded frame."""
    position(run, 0, 1.0, x=0.5, name="a")
    position(run, 1, 2.0, x=1.5)
    control(run, 1, 2.5, u=[1, 2])
    run.frame("cam/1.png", at=2.0, step=1, shade=9)
    rows = list(open_run(run.folder).aligned("pos", "ctl", frames="cam"))
    assert rows[0] == {
        "step": 0,
        "timestamp": 1.0,
        "timestamp_ms": 0.0,
        "pos": {"x": 0.5, "name": "a"},
        "ctl": None,
        "frame": None,
    }
    assert rows[1]["pos"] == {"x": 1.5}
    assert rows[1]["ctl"]["u"].tolist() == [1, 2]
    assert int(rows[1]["frame"][0, 0]) == 9


def test_an_unknown_column_is_named_with_what_is_near(run):
    """The error helps."""
    position(run, 0, 1.0, x=1)
    aligned = open_run(run.folder).aligned("pos")
    with pytest.raises(KeyError, match=r"did you mean 'pos'"):
        aligned["poss"]
    with pytest.raises(KeyError, match="no column 'y'"):
        aligned["pos.y"]
    with pytest.raises(ValueError, match="none; give frames="):
        aligned.frame(0)


def test_empty_tracks_align_to_nothing(run):
    """A track that was never written is no error."""
    run.put("tracks/pos", b"")
    run.put("tracks/ctl", b"")
    aligned = open_run(run.folder).aligned("pos", "ctl")
    assert len(aligned) == 0
    assert list(aligned) == []


# -- properties ----------------------------------------------------------------------------------


class Fake:
    """A table of rows of (session, step, timestamp), in the order of writing."""

    def __init__(self, rows):
        sessions, steps, times = np.array(rows or np.empty((0, 3))).T
        order = np.argsort(times, kind="stable")
        self.entries = Entries(
            order,
            None,
            times[order].astype(float),
            sessions[order].astype(np.int64),
            0,
            False,
        )
        self.step_part = Part("int", steps[order].astype(np.int64), None)

    def optional(self, *names):
        """No optional columns."""
        return [Part("none", np.zeros(len(self.entries)), None) for _ in names]


def joined(streams):
    """The rows of each stream in each aligned row, in the order of writing."""
    tables = {name: Fake(rows) for name, rows in streams.items()}
    aligned = align(tables, {}, files=())
    found = []
    for number in range(len(aligned)):
        row = {}
        for name, table in tables.items():
            index = aligned[name].index[number]
            row[name] = None if index < 0 else int(table.entries.arrival[index])
        found.append(row)
    return found


CALL = st.tuples(
    st.integers(0, 2),  # session
    st.integers(0, 4),  # step
    st.sets(st.sampled_from("xyz"), min_size=1),  # which tracks
)


@settings(max_examples=300, deadline=None)
@given(st.lists(CALL, max_size=25))
def test_every_call_of_a_recorder_comes_back_as_one_row(calls):
    """However steps repeat, over whatever sessions: if one track is in every call, no call is torn
    apart or mixed with another.
    """
    calls.sort(key=lambda call: call[0])
    streams = {"w": [], "x": [], "y": [], "z": []}
    expected = []
    for time, (session, step, tracks) in enumerate(calls):
        row = dict.fromkeys("wxyz")
        for name in {"w", *tracks}:
            row[name] = len(streams[name])
            streams[name].append((session, step, float(time)))
        expected.append(row)
    assert joined(streams) == expected


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), max_size=20), st.randoms())
def test_equal_repeats_pair_in_order_of_arrival(rows, rng):
    """Two tracks written apart, with the same steps in each session: the n-th go together."""
    rows.sort(key=lambda row: row[0])
    first = [(session, step, n * 2.0) for n, (session, step) in enumerate(rows)]
    second = []
    for session in (0, 1):  # the other track goes through its steps in another order
        other = [row for row in rows if row[0] == session]
        rng.shuffle(other)
        second += [(s, step, 0.5 + 2.0 * (len(second) + n)) for n, (s, step) in enumerate(other)]
    found = joined({"x": first, "y": second})
    assert len(found) == len(rows)
    for session in (0, 1):
        for step in range(4):
            xs = [n for n, row in enumerate(first) if row[:2] == (session, step)]
            ys = [n for n, row in enumerate(second) if row[:2] == (session, step)]
            got = sorted((r["x"], r["y"]) for r in found if r["x"] in xs)
            assert got == list(zip(xs, ys, strict=True))


@settings(max_examples=300, deadline=None)
@given(st.lists(CALL, max_size=15), st.lists(CALL, max_size=15), st.sampled_from(["first", "last"]))
def test_no_row_is_lost_or_used_twice(first, second, repeats):
    """Whatever is joined, each row is in one aligned row; with `repeats`, each step is once."""
    streams = {name: [] for name in "xyz"}
    for time, (session, step, tracks) in enumerate(first):
        for name in tracks:
            streams[name].append((session, step, float(time)))
    for time, (session, step, tracks) in enumerate(second):
        for offset, name in enumerate(tracks):
            streams[name].append((session, step, 100.0 + time + offset / 10))
    try:
        found = joined(streams)
    except AlignmentError:
        found = None
    if found is not None:
        for name, rows in streams.items():
            assert sorted(r[name] for r in found if r[name] is not None) == list(range(len(rows)))
        for row in found:
            steps = {streams[name][n][1] for name, n in row.items() if n is not None}
            assert len(steps) == 1
    tables = {name: Fake(rows) for name, rows in streams.items()}
    steps = align(tables, {}, (), repeats=repeats).steps.tolist()
    assert sorted(steps) == sorted({row[1] for rows in streams.values() for row in rows})


def test_hundreds_of_thousands_of_repeated_steps_join_in_seconds():
    """Joining is done for all rows at once, however often steps repeat."""
    import time

    rng = random.Random(0)
    count = 300_000
    steps = [n % 200 for n in range(count)]
    rows = [(0, step, float(n)) for n, step in enumerate(steps)]
    some = [row for row in rows if rng.random() < 0.5]
    begin = time.process_time()
    aligned = align({"x": Fake(rows), "y": Fake(rows), "z": Fake(some)}, {}, files=())
    assert len(aligned) == count
    assert aligned.report.without == {"x": 0, "y": 0, "z": count - len(some)}
    assert time.process_time() - begin < 20
