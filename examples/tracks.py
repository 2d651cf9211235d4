"""Tracks: three sensors of a flying robot, each at its own rate and by the robot's own clock.

python examples/tracks.py
"""

from __future__ import annotations

import argparse

import numpy as np

import ml_dash
from ml_dash import Experiment


def main() -> None:
    """Record a climbing spiral, ask for rows while it goes on, and read all of it as arrays."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--seconds", type=float, default=10.0, help="of the flight")
    options = parser.parse_args()
    if not 1 <= options.seconds <= 3600:
        parser.error("--seconds must be from 1 to 3600")

    rng = np.random.default_rng(0)
    with Experiment(project="examples", dash_root=options.root).run as experiment:
        imu, gps = experiment.track("flight/imu"), experiment.track("flight/gps")
        battery = experiment.track("flight/battery")
        for tick in range(round(options.seconds * 200)):
            at = tick / 200  # the robot's clock; without `timestamp=` it is the time of the call
            angle = 2 * np.pi * at / 5
            acceleration = np.array([-np.cos(angle), -np.sin(angle), 9.81])
            # Arrays and nested dicts are fine: `accel` is a column of shape (rows, 3).
            imu.append(
                {"accel": acceleration + rng.normal(0, 0.05, 3), "gyro": {"z": 2 * np.pi / 5}},
                timestamp=at,
            )
            if tick % 40 == 0:
                gps.append({"x": np.cos(angle), "y": np.sin(angle), "z": 0.2 * at}, timestamp=at)
            if tick % 200 == 0:
                battery.append({"volts": 12.6 - 0.01 * at, "ok": True}, timestamp=at)
        middle = options.seconds / 2
        before = gps.find(middle)  # while it is recorded: the latest row at or before that time
        print(f"gps      z = {before['z']:.2f} at {before['timestamp']:.1f} s")
        print(f"imu      {len(imu.slice(middle, middle + 1))} rows in the second from there")

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    for name, track in run.tracks.items():
        print(f"{name:15} {len(track):5} rows, columns {track.columns}")
    acceleration = run.tracks["flight/imu"]["accel"]
    print(
        f"accel    {acceleration.shape} {acceleration.dtype}, mean {acceleration.mean(0).round(2)}"
    )
    # Each row of the gps beside what the others said last, up to that moment.
    rows = run.aligned("flight/gps", "flight/imu", "flight/battery", on="timestamp")
    print(f"aligned  {len(rows)} rows of {rows.columns}")
    print(f"look     ml-dash show {run.prefix} --root {options.root}")


if __name__ == "__main__":
    main()
