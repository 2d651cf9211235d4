"""Rings that are not to be trusted: a run's folder may come from anywhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_dash import Experiment, open_run
from ml_dash.buffer.recovery import drain_dead
from ml_dash.buffer.ring import Ring
from ml_dash.environment import process_identity

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
