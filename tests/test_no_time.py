"""Times that are none, in arrays of times: missing wherever values are recorded."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from ml_dash import Experiment, open_run


@pytest.mark.parametrize("unit", ["D", "ns"])
def test_every_way_of_recording_keeps_no_time_as_missing(tmp_path: Path, unit: str) -> None:
    """None, not 1970 or 1677, in tracks, metrics, logs, JSON, and rows of a recorder."""
    days = np.array(["2026-01-01", "NaT"], f"M8[{unit}]")
    kept = ["2026-01-01T00:00:00", None]
    with Experiment("times", dash_root=tmp_path, echo=False).run as experiment:
        for _ in range(2):  # the second time the keys are known
            experiment.track("direct").append({"at": days})
            experiment.metrics("train").log(at=days)
            experiment.log("seen", at=days)
            experiment.recorder().record(tracks={"robot": {"at": days}})
        experiment.files("f").save_json({"at": days}, to="times.json")
    run = open_run(tmp_path / "times")
    for stream in (run.tracks["direct"], run.metrics["train"], run.tracks["robot"]):
        assert [row["at"] for row in stream] == [kept, kept]
    assert [row["fields"]["at"] for row in run.logs] == [kept, kept]
    assert json.loads((tmp_path / "times/files/data/f/times.json").read_bytes()) == {"at": kept}
