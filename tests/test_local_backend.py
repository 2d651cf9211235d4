"""The backend of a folder."""

from __future__ import annotations

from pathlib import Path

from ml_dash import Experiment, open_run
from ml_dash.backends import LocalBackend


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
