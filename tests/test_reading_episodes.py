"""Where episodes begin and end among aligned rows."""

import numpy as np
import pytest
from written import A, B, C, Written, line

from ml_dash import Experiment, load_session, open_run


@pytest.fixture
def run(tmp_path):
    """A run with one session, to be written."""
    return Written(tmp_path / "run").start(0.5)


def put(run, topic, *rows, writer=A, start=1.0):
    """Rows of a track, a second apart."""
    lines = [line(start + number, **row) for number, row in enumerate(rows)]
    run.put(f"tracks/{topic}", *lines, writer=writer)


def of(run, *topics, **options):
    """The number of the episode of each row."""
    return open_run(run.folder).aligned(*topics, **options).episode_index.tolist()


@pytest.fixture
def twice(tmp_path):
    """A program that was started twice, and counted its two episodes from 0 both times."""
    for start in range(2):
        with Experiment("twice", dash_root=tmp_path, echo=False, environment=False).run as run:
            for number in range(6):
                row = {"episode": number // 3, "x": 100 * start + number, "action": 0.0}
                row["step"] = number % 3
                run.track("arm").append(row, timestamp=1000.0 * start + number)
                pixels = np.zeros((4, 4, 3), np.uint8)
                facts = {"timestamp": 1000.0 * start + number, "step": number % 3}
                run.files("cam").save_image(pixels, to=f"{start}_{number}.png", **facts)
    return open_run("twice", root=tmp_path)


def test_a_program_that_is_started_again_begins_episodes_of_its_own(twice):
    """Though it calls them as the first start did: no window lies in both, nor does a grid."""
    rows = twice.aligned("arm")
    assert rows.episode_index.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3]
    windows = rows.windows(2, 1, columns=["x", "action"])
    past = np.array([windows.sample(number)["x"] for number in range(len(windows))])
    assert np.abs(np.diff(past)).max() == 1
    assert len(rows.resample(1)) == 12


def test_one_episode_of_each_start_is_two(run):
    """Also where all steps and episodes are the same, and nothing but the session tells."""
    run.start(10.0, writer=B)
    put(run, "a", {"step": 0, "episode": 7}, {"step": 1, "episode": 7})
    put(run, "a", {"step": 2, "episode": 7}, {"step": 3, "episode": 7}, writer=B, start=11.0)
    assert of(run, "a") == [0, 0, 1, 1]


def test_processes_that_write_at_once_share_their_episodes(run):
    """Two that record one robot, each a track; and a third start after both is another one."""
    run.start(0.6, writer=B).start(10.0, writer=C)
    rows = [{"step": step, "episode": step // 2} for step in range(4)]
    put(run, "a", *rows[:3])
    put(run, "b", *rows, writer=B, start=1.1)
    put(run, "a", *rows, writer=C, start=11.0)
    put(run, "b", *rows, writer=C, start=11.0)
    assert of(run, "a", "b", repeats=None) == [0, 0, 1, 1, 2, 2, 3, 3]


def test_processes_that_write_one_track_have_episodes_of_their_own(run):
    """Each counts its own from 0, at the same time."""
    run.start(0.6, writer=B)
    rows = [{"step": step, "episode": step // 2} for step in range(4)]
    put(run, "a", *rows)
    put(run, "a", *rows, writer=B, start=1.5)
    assert of(run, "a") == [0, 1, 0, 1, 2, 3, 2, 3]


@pytest.mark.parametrize("column", [True, False])
def test_simulated_time_that_begins_again_lays_no_episodes_together(column, tmp_path):
    """Two starts of two episodes, all with times and steps from 0: rows lie among one another."""
    for start in range(2):
        with Experiment("sim", dash_root=tmp_path, echo=False, environment=False).run as run:
            recorder = run.recorder()
            for number in range(8):
                row = {"x": 100.0 * start + number, "action": 0.0}
                row |= {"episode": number // 4} if column else {}
                step = number % 4
                recorder.record(step, step / 10, tracks={"arm": row})
    view = open_run("sim", root=tmp_path)
    rows = view.aligned("arm")
    assert len(rows) == 16 and np.bincount(rows.episode_index).tolist() == [4, 4, 4, 4]
    windows = rows.windows(2, 1, columns=["x", "action"])
    past = np.array([windows.sample(number)["x"] for number in range(16)])
    assert np.abs(np.diff(past)).max() == 1
    grid = rows.resample(20, "linear")
    assert sorted(grid["x"].tolist()) == [n + o / 2 for n in (0, 4, 100, 104) for o in range(7)]
    h5py = pytest.importorskip("h5py")
    made = view.export("hdf5", tmp_path / "e.hdf5", observation="arm.x", action="arm.action")
    with h5py.File(made) as file:
        found = sorted(file[name]["observations"][:].tolist() for name in file)
    assert found == [[n, n + 1, n + 2, n + 3] for n in (0, 4, 100, 104)]


def test_an_episode_ends_where_its_step_goes_back(run):
    """A loop that is run twice in one process; a row without a step belongs to the part it is in"""
    put(run, "a", *({"step": s, "episode": 0} for s in (0, 1, 2, 0, 1)))
    assert of(run, "a") == [0, 0, 0, 1, 1]
    put(run, "b", *({"x": 0} for _ in range(5)))
    assert of(run, "b", "a", on="timestamp") == [0] * 5  # its own steps, of which it has none


@pytest.mark.parametrize("episode", [{}, {"episode": 0}])
@pytest.mark.parametrize("steps", [(0, 2, 1, 3, 5, 4, 6), (6, 5, 4, 3, 2, 1, 0)])
def test_rows_that_are_written_late_tear_no_episode(run, episode, steps):
    """A message that was overtaken; returns, which are computed from the end on."""
    run.put("tracks/a", *(line(1.0 + step, step=step, **episode) for step in steps))
    assert of(run, "a") == [0] * 7
    again = (line(100.0 + step, step=step, **episode) for step in steps)
    run.put("tracks/a", *again)
    assert of(run, "a") == [0] * 7 + [1] * 7


def test_the_episodes_of_a_process_are_the_same_in_all_of_its_tracks(run):
    """Also where one that began before it wrote later than all others."""
    run.start(0.6, writer=B).start(0.7, writer=C)
    for topic, at, writer in (("a", 0, A), ("a", 1, C), ("b", 2, A), ("b", 3, C), ("b", 9, B)):
        run.put(f"tracks/{topic}", line(1.0 + at, step=at, episode=5), writer=writer)
    assert of(run, "a", "b") == [0, 1, 0, 1, 2]


def test_a_row_at_which_the_episodes_are_not_told_belongs_to_the_one_before(run):
    """A fast sensor between the rows of a slow track, and beyond the tolerance of a join."""
    put(run, "slow", *({"step": e, "episode": e // 2} for e in range(4)), start=2.0)
    for number in range(16):
        run.put("tracks/fast", line(1.0 + number / 2 + 0.25, x=number))
    rows = open_run(run.folder).aligned("fast", "slow", on="timestamp", tolerance=0.3)
    assert rows.missing("episode").sum() == 12
    assert rows.episode_index.tolist() == [0, 0, 1, 1, 1, 1, *[2] * 10]
    assert len(rows.resample(2)) == 16


def test_rows_without_an_episode_lie_in_one_or_are_one(run):
    """Idle rows between two episodes are of neither; a gap within one is filled."""
    episodes = [None, 0, None, 0, None, None, 1, None]
    rows = [{"step": n, "episode": e} for n, e in enumerate(episodes)]
    put(run, "a", *rows)
    assert of(run, "a") == [0, 1, 1, 1, 2, 2, 3, 4]
    put(run, "b", *({"step": n, "episode": e} for n, e in enumerate([np.nan, 1.0, 1.0])))
    assert of(run, "b") == [0, 1, 1]


def test_exports_and_sessions_have_the_same_episodes(twice, tmp_path):
    """As the rows that they are made of."""
    h5py = pytest.importorskip("h5py")
    made = twice.export("hdf5", tmp_path / "e.hdf5", observation="arm.x", action="arm.action")
    with h5py.File(made) as file:
        assert [float(file[name]["observations"][0]) for name in file] == [0, 3, 100, 103]
    one = twice.aligned("arm", frames="cam").take(np.array([0, 1, 2, 6, 7, 8]))
    session = load_session(one.export("npy", tmp_path / "npy"))
    (batch,) = session.to_torch(6, obs_horizon=2, columns=["x"])
    assert batch["x"].tolist() == [[0, 0], [0, 1], [1, 2], [100, 100], [100, 101], [101, 102]]
