"""What people stumbled over when they first tried it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ml_dash import Experiment, open_run
from ml_dash.backends import LocalBackend
from ml_dash.reading import check_run


def test_a_folder_of_a_run_that_is_a_link_is_not_read(tmp_path: Path) -> None:
    """Somebody's link does not make foreign files part of a run."""
    with Experiment("other", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        experiment.track("secret").append({"step": 1})
    with Experiment("mine", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        experiment.log("hello")
    (tmp_path / "mine/tracks").symlink_to(tmp_path / "other/tracks")
    assert list(open_run("mine", tmp_path).tracks) == []
    assert list(LocalBackend(tmp_path / "mine").list("tracks/secret")) == []
    assert len(list(open_run("other", tmp_path).tracks)) == 1


def test_a_missing_value_can_be_told_from_a_recorded_nan(tmp_path: Path) -> None:
    """Both read as NaN in a column of floats; `missing` knows."""
    with Experiment("e", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        for row in ({"v": 1.0}, {"v": float("nan")}, {"w": 1}):
            experiment.track("a").append(row)
    table = open_run("e", tmp_path).tracks["a"]
    assert np.isnan(table["v"]).tolist() == [False, True, True]
    assert table.missing("v").tolist() == [False, False, True]
    assert table.missing("w").tolist() == [True, True, False]
    assert table.missing("timestamp").tolist() == [False] * 3


@pytest.mark.parametrize("cut", [1, 5, 20, 40])
def test_a_line_cut_anywhere_and_drained_from_the_ring_is_no_loss(tmp_path: Path, cut: int) -> None:
    """A kill in the middle of a write leaves the beginning of a line; the ring had it whole."""
    with Experiment("e", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        for step in range(10):
            experiment.track("a").append({"step": step})
    (segment,) = (tmp_path / "e/tracks/a").glob("*.jsonl")
    lines = segment.read_bytes().splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:6]) + lines[6][:cut])
    assert [finding.severity for finding in check_run(tmp_path / "e").findings] == ["error"]
    segment.with_name(f"{segment.stem}-r.jsonl").write_bytes(b"".join(lines[6:]))
    assert [finding.severity for finding in check_run(tmp_path / "e").findings] == ["note"]
    assert open_run("e", tmp_path).tracks["a"]["step"].tolist() == list(range(10))
