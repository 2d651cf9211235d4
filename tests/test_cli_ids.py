"""Runs by their ids: the one that they gave themselves, and that of the addresses of pages."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from cli_process import CommandLine, experiment

import ml_dash
from ml_dash.ids import stable_id


@pytest.fixture
def cli(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command line below an empty root."""
    return CommandLine(tmp_path, capsys)


def record(root: Path, prefix: str) -> str:
    """A run, and its id."""
    with experiment(prefix, root).run as run:
        run.metrics("train").log(step=0, loss=0.5)
    return ml_dash.open_run(prefix, root).id


@pytest.mark.parametrize("prefix", ["robotics/arm/one", "alone"])
def test_both_ids_lead_to_the_run(tmp_path: Path, prefix: str) -> None:
    """That of `ml-dash show`, and the one in the address of its page."""
    own = record(tmp_path, prefix)
    record(tmp_path, "robotics/other")
    page = stable_id(prefix if "/" in prefix else f"default/{prefix}")
    assert ml_dash.open_run(own, tmp_path).prefix == prefix
    assert ml_dash.open_run(page, tmp_path).prefix == prefix


def test_the_command_line_takes_an_id(cli: CommandLine, tmp_path: Path) -> None:
    """As a colleague copies it from an address."""
    record(tmp_path, "robotics/arm")
    shown = cli("show", stable_id("robotics/arm"))
    assert shown.code == 0 and shown.out.startswith("robotics/arm")


def test_an_id_of_several_copies_names_them(tmp_path: Path) -> None:
    """A folder that was copied has the id of the first; none is chosen in silence."""
    own = record(tmp_path, "lab/a")
    shutil.copytree(tmp_path / "lab/a", tmp_path / "lab/b")
    with pytest.raises(FileNotFoundError, match=r"several runs have the id .*'lab/a', 'lab/b'"):
        ml_dash.open_run(own, tmp_path)
    assert ml_dash.open_run(stable_id("lab/b"), tmp_path).prefix == "lab/b"


def test_an_id_of_no_run_is_said(tmp_path: Path) -> None:
    """As any other name that leads nowhere."""
    record(tmp_path, "lab/a")
    with pytest.raises(FileNotFoundError, match="no run '123456789012345678'"):
        ml_dash.open_run("123456789012345678", tmp_path)


def test_looking_for_an_id_leaves_other_runs_as_they_are(tmp_path: Path) -> None:
    """What a dead process left of another run is finished when that one is opened."""
    own = record(tmp_path, "lab/a")
    left = tmp_path / "lab/b/.buffer"
    left.mkdir(parents=True)
    (left / "dead.ring").write_bytes(b"")
    assert ml_dash.open_run(own, tmp_path).prefix == "lab/a"
    assert (left / "dead.ring").exists()


def test_the_address_of_a_page_leads_to_its_run(tmp_path: Path) -> None:
    """That of `ml-dash ui`, as it stands in the browser."""
    record(tmp_path, "lab/a")
    page = f"http://127.0.0.1:3001/view?tab=player&run={stable_id('lab/a')}&step=5"
    assert ml_dash.open_run(page, tmp_path).prefix == "lab/a"
    with pytest.raises(ValueError, match="a root or on a server"):
        ml_dash.open_run(f"http://127.0.0.1:3001/view?run={stable_id('lab/none')}", tmp_path)
