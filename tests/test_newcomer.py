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


@pytest.mark.parametrize("cut", [1, 5, 20, 30])  # a timestamp is of 16 to 18 characters
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


def test_a_metric_among_tracks_is_pointed_at(tmp_path: Path) -> None:
    """And a track among metrics: the name is right, the place is not."""
    with Experiment("e", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        experiment.track("robot").append({"step": 1, "x": 1})
        experiment.metrics("train").log(loss=1)
    run = open_run("e", tmp_path)
    with pytest.raises(KeyError, match=r"no track 'train'; it is one of the metrics: run\.metrics"):
        run.aligned("robot", "train")
    with pytest.raises(KeyError, match=r"no metric 'robot'; it is one of the tracks: run\.tracks"):
        run.metrics["robot"]
    with pytest.raises(KeyError, match="no track 'robo'; did you mean 'robot'"):
        run.tracks["robo"]


def test_numbers_given_as_a_message_are_kept_and_pointed_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Other loggers take `log({...})` for metrics; said once, as it comes in a loop."""
    with Experiment("e", dash_root=tmp_path, echo=False, environment=False).run as experiment:
        for step in range(3):
            experiment.log({"loss": step})
            experiment.logs.info({"loss": step})
    assert [line["message"] for line in open_run("e", tmp_path).logs][-1] == "{'loss': 2}"
    (warning,) = (record.getMessage() for record in caplog.records)
    assert 'experiment.metrics("name").log(' in warning


def test_a_run_and_the_only_other_one_are_told_as_they_are(tmp_path: Path) -> None:
    """Not as an object at an address, and not as `1 others`."""
    experiment = Experiment("p/arm", dash_root=tmp_path, echo=False, environment=False)
    assert repr(experiment.run) == "<Run 'p/arm' NOT STARTED>"
    with experiment.run:
        assert repr(experiment.run) == "<Run 'p/arm' RUNNING>"
    with pytest.raises(FileNotFoundError, match="There is one other; `ml-dash list` shows it"):
        open_run("zzz", tmp_path)
