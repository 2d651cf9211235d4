"""Rings that are not to be trusted: a run's folder may come from anywhere."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path

import pytest

from ml_dash import Experiment, open_run
from ml_dash.buffer import recovery
from ml_dash.buffer.recovery import drain_dead
from ml_dash.buffer.ring import Ring
from ml_dash.environment import process_identity
from ml_dash.reading import check_run

LINE = b'{"timestamp":1.0,"x":1}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that has ended."""
    with Experiment("a/b", dash_root=tmp_path / "dash", echo=False, environment=False).run:
        pass
    return tmp_path / "dash/a/b"


def leave_ring(folder: Path, stream: str, writer: str = "aaaaaaaaaaaa") -> None:
    """What a dead process left, as far as the ring says."""
    identity = {**process_identity(), "pid": 2**30, "writer": writer}
    ring = Ring(folder / ".buffer/aaaaaaaaaaaa.ring", identity)
    assert ring.put(b"tracks/good", 0, 0, LINE)
    assert ring.put(stream.encode(), 0, 0, LINE)
    ring.close(remove=False)


def leave_cut_row(folder: Path) -> None:
    """A row of which the segment has the beginning, and the ring all."""
    leave_ring(folder, "tracks/a")
    segment = folder / "tracks/a/aaaaaaaaaaaa.jsonl"
    segment.parent.mkdir(parents=True)
    segment.write_bytes(LINE[:15])


def files(folder: Path) -> set[str]:
    """All files below a folder."""
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    ("stream", "writer"),
    [
        ("../../../escape", "aaaaaaaaaaaa"),
        ("tracks/../../escape", "aaaaaaaaaaaa"),
        ("/tmp/ml-dash-escape", "aaaaaaaaaaaa"),
        ("tracks/./a", "aaaaaaaaaaaa"),
        ("tracks\\a", "aaaaaaaaaaaa"),
        ("tracks/a", "../../../../escape"),
        ("tracks/a", "/tmp/ml-dash-escape"),
    ],
)
def test_a_ring_leads_nothing_out_of_its_run(
    tmp_path: Path, folder: Path, stream: str, writer: str
) -> None:
    """Opening somebody's run writes nowhere else, whatever is in it; the problem is told."""
    leave_ring(folder, stream, writer)
    before = files(tmp_path)
    list(open_run(folder).tracks)
    report = drain_dead(folder)
    assert files(tmp_path) <= before
    assert len(report.problems) == 1
    assert "is not a place inside the run" in report.problems[0]
    assert not Path("/tmp/ml-dash-escape").exists()


def test_a_ring_is_not_drained_through_a_link(tmp_path: Path, folder: Path) -> None:
    """A link planted in the run leads nothing out of it either."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (folder / "tracks").symlink_to(outside)
    leave_ring(folder, "tracks/a")
    report = drain_dead(folder)
    assert files(outside) == set()
    assert "symbolic link" in report.problems[0]
    (folder / "tracks").unlink()
    assert drain_dead(folder).rows == {"tracks/good": 1, "tracks/a": 1}


def test_what_a_ring_was_being_made_in_is_removed_when_nobody_makes_it(folder: Path) -> None:
    """It is as large as a ring; a young one may still become one."""
    old, young = (folder / f".buffer/{name}.tmp" for name in ("old", "young"))
    for path in (old, young):
        path.write_bytes(b"")
    long_ago = time.time() - 2 * recovery.DRAFT_SECONDS
    os.utime(old, (long_ago, long_ago))
    drain_dead(folder)
    assert not old.exists()
    assert young.exists()


def test_a_process_does_not_open_its_own_ring(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On NFS it would give up the lock by which other hosts know that it lives."""
    with Experiment("a/b", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        monkeypatch.setattr(recovery, "_DeadRing", lambda path: pytest.fail(f"{path} was opened"))
        experiment.track("x").append({"step": 0})
        assert experiment.track("x").find(float("inf"))["step"] == 0
        assert drain_dead(experiment.folder).alive == 1
        assert recovery.pending_rows(experiment.folder) == {}
    assert recovery.rings(experiment.folder) == []


def test_whoever_may_read_the_segments_may_read_the_ring(tmp_path: Path) -> None:
    """Else another user finds a killed run without its last rows."""
    with Experiment("a/b", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        experiment.flush()
        (ring,) = (experiment.folder / ".buffer").glob("*.ring")
        (segment,) = (experiment.folder / "run").glob("*.jsonl")
        assert stat.S_IMODE(ring.stat().st_mode) == stat.S_IMODE(segment.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_what_is_drained_is_for_whoever_may_read_the_ring(folder: Path) -> None:
    """Another user may drain it, with a stricter umask: the owner still has the rows."""
    leave_ring(folder, "tracks/deep/a")
    (ring,) = (folder / ".buffer").glob("a*.ring")
    ring.chmod(0o644)
    folder.chmod(0o755)
    before = os.umask(0o077)
    try:
        assert drain_dead(folder).problems == []
    finally:
        os.umask(before)
    segment = folder / "tracks/deep/a/aaaaaaaaaaaa-r.jsonl"
    assert segment.read_bytes() == LINE
    assert stat.S_IMODE(segment.stat().st_mode) == 0o644
    places = (segment.parent, segment.parent.parent)
    assert [stat.S_IMODE(place.stat().st_mode) for place in places] == [0o755, 0o755]


def test_a_ring_that_cannot_be_read_is_told(folder: Path) -> None:
    """Nobody knows which rows are in it, so the run is not called whole."""
    leave_ring(folder, "tracks/a")
    os.truncate(folder / ".buffer/aaaaaaaaaaaa.ring", 100)
    (problem,) = open_run(folder).problems
    assert problem.path == ".buffer/aaaaaaaaaaaa.ring"
    assert "rows that a process left cannot be read: not a ring of this version" in str(problem)
    report = check_run(folder)
    assert not report.ok
    assert [(f.severity, f.path) for f in report.findings] == [("error", problem.path)]


def test_a_row_that_was_cut_and_drained_is_no_problem(folder: Path) -> None:
    """A killed process is often in the middle of a row: it was written again, whole."""
    leave_cut_row(folder)
    run = open_run(folder)
    assert len(run.tracks["a"]) == 1
    assert run.problems == []


def test_a_ring_that_is_only_not_written_is_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a full disk its rows are taken from it, also the one whose beginning is in a segment."""
    leave_cut_row(folder)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recovery, "_write_whole", full)
    run = open_run(folder)
    assert [len(run.tracks[topic]) for topic in ("a", "good")] == [1, 1]
    assert run.problems == []
    report = check_run(folder)
    assert report.ok
    assert sorted(f.severity for f in report.findings) == ["note", "warning"]
