"""Steps that begin anew: a line for each episode, and the row of the episode that is looked at."""

from __future__ import annotations

from typing import Any

import pytest

from ml_dash.server.segments import chunks
from ml_dash.server.streams import point

from .inside import Inside
from .recorded import fill, unpack


@pytest.fixture(scope="module")
def client(lasting: Inside) -> Any:
    return lasting.user("anna")


def episodes(count: int, length: int, apart: float, named: bool = True) -> list[dict[str, Any]]:
    """Rows whose steps begin anew in each episode, `apart` seconds after the one before."""
    rows = []
    for episode in range(count):
        for step in range(length):
            row = {"timestamp": 100.0 + episode * apart + step * 0.1, "step": step}
            row |= {"v": float(100 * episode + step)}
            rows.append(row | ({"episode": episode} if named else {}))
    return sorted(rows, key=lambda row: row["timestamp"])


def draw(client: Any, run: str, columns: str = "v", **query: Any) -> Any:
    url = f"/api/v1/runs/{run}/streams/tracks/env/chart"
    answer = client.get(url, params={"columns": columns, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()["columns"][columns]


@pytest.mark.parametrize("named", [True, False])
def test_each_episode_is_a_line_of_its_own(client: Any, named: bool) -> None:
    """Over steps no line goes back; by the column `episode`, or where the steps go back."""
    rows = episodes(3, 5, 60.0, named)
    run, _ = fill(client, {"tracks/env/w.jsonl": rows})
    curve = draw(client, run)
    assert curve["passes"] == [0, 5, 10] and curve["x"] == [0.0, 1.0, 2.0, 3.0, 4.0] * 3
    assert curve["mean"] == [row["v"] for row in rows]
    assert curve["names"] == [f"episode {n}" if named else f"pass {n + 1}" for n in range(3)]
    over_time = draw(client, run, x="time")
    assert "passes" not in over_time and over_time["mean"] == curve["mean"]


def test_episodes_whose_clock_begins_anew_are_lines_over_time(client: Any) -> None:
    """Their rows lie between each other in time; no line goes from one episode to another."""
    run, _ = fill(client, {"tracks/env/w.jsonl": episodes(3, 5, 0.01)})
    curve = draw(client, run, x="relative")
    assert curve["passes"] == [0, 5, 10]
    assert curve["mean"] == [100.0 * n + step for n in range(3) for step in range(5)]


def test_buckets_are_of_one_pass_each(client: Any) -> None:
    """A resumed run of many rows: values of the second pass are not mixed with the first."""
    first = [{"timestamp": 1.0 + i, "step": i, "v": 0.0} for i in range(600)]
    second = [{"timestamp": 1000.0 + i, "step": 300 + i, "v": 1.0} for i in range(600)]
    run, _ = fill(client, {"tracks/env/w.jsonl": first + second})
    curve = draw(client, run, buckets=50)
    begin = curve["passes"][1]
    assert set(curve["max"][:begin]) == {0.0} and set(curve["min"][begin:]) == {1.0}
    assert sum(curve["count"]) == 1200 and len(curve["x"]) < 500
    assert all(a < b for a, b in zip(curve["x"][:begin], curve["x"][1:begin], strict=False))


@pytest.mark.parametrize("x", ["step", "relative"])
def test_rows_that_come_late_split_no_line(client: Any, x: str) -> None:
    """An evaluation beside the training tells of an earlier step; each column only rises."""
    rows = [{"timestamp": 100.0 + i, "step": i, "v": float(i)} for i in range(60)]
    late = [{"timestamp": 107.5 + i, "step": i, "w": 0.5} for i in range(0, 50, 10)]
    behind = [{"timestamp": 120.5, "step": 12, "v": 12.5}]
    every = sorted(rows + late + behind, key=lambda row: row["timestamp"])
    run, _ = fill(client, {"tracks/env/w.jsonl": every})
    curve, other = draw(client, run, x=x), draw(client, run, columns="w", x=x)
    assert "passes" not in curve and sorted(curve["mean"]) == sorted(r["v"] for r in rows + behind)
    assert "passes" not in other and other["mean"] == [0.5] * 5
    if x == "step":
        assert curve["x"] == sorted(curve["x"]) and other["x"] == [0.0, 10.0, 20.0, 30.0, 40.0]


def test_a_resumed_run_with_a_late_evaluation_is_two_lines(client: Any) -> None:
    """What came late is of the pass in which it came; of a column that rises there is one line."""
    first = [{"timestamp": 100.0 + i, "step": i, "v": 1.0} for i in range(20)]
    second = [{"timestamp": 200.0 + i, "step": 10 + i, "v": 2.0} for i in range(20)]
    late = [{"timestamp": 110.5, "step": 5, "w": 0.0}, {"timestamp": 215.5, "step": 15, "w": 1.0}]
    every = sorted(first + second + late, key=lambda row: row["timestamp"])
    run, _ = fill(client, {"tracks/env/w.jsonl": every})
    curve = draw(client, run)
    assert curve["passes"] == [0, 20] and curve["mean"] == [1.0] * 20 + [2.0] * 20
    near = draw(client, run, "v", **{"from": 12, "to": 17})
    assert near["passes"] == [0, 6] and near["names"] == curve["names"] == ["pass 1", "pass 2"]
    assert "passes" not in draw(client, run, columns="w")


def test_one_row_for_each_episode_is_one_line(client: Any) -> None:
    """Returns of episodes over the steps of the training, two of which end at the same one."""
    rows = [
        {"timestamp": 100.0 + i, "step": 10 * (i // 2), "episode": i, "v": float(i)}
        for i in range(20)
    ]
    run, _ = fill(client, {"tracks/env/w.jsonl": rows})
    curve = draw(client, run)
    assert "passes" not in curve and len(curve["x"]) == 20


def test_of_very_many_episodes_the_values_of_a_step_are_one_bucket(client: Any) -> None:
    """A hundred lines over each other tell nothing; least, mean and greatest do."""
    run, _ = fill(client, {"tracks/env/w.jsonl": episodes(100, 4, 60.0)})
    curve = draw(client, run)
    assert curve["x"] == [0.0, 1.0, 2.0, 3.0] and curve["count"] == [100] * 4
    assert (curve["min"][1], curve["mean"][1], curve["max"][1]) == (
        1.0,
        pytest.approx(4951.0),
        9901.0,
    )
    assert "passes" not in curve


def test_a_binary_chart_tells_of_its_passes(client: Any) -> None:
    """In the line before the arrays."""
    run, _ = fill(client, {"tracks/env/w.jsonl": episodes(2, 3, 60.0)})
    url = f"/api/v1/runs/{run}/streams/tracks/env/chart"
    answer = client.get(url, params={"columns": "v", "format": "binary"})
    header, _ = unpack(answer.content)
    assert header["columns"]["v"]["passes"] == [0, 3]
    assert header["columns"]["v"]["names"] == ["episode 0", "episode 1"]


def look(client: Any, run: str, step: int, time: float) -> Any:
    params = {"streams": "tracks/env,metrics/m", "step": step, "time": time}
    answer = client.get(f"/api/v1/runs/{run}/at", params=params)
    found = answer.json()["streams"]
    return tuple(found[name] and found[name]["v"] for name in ("tracks/env", "metrics/m"))


@pytest.mark.parametrize("most", [0, 1000])
def test_the_row_of_a_step_is_that_of_the_episode_that_is_looked_at(
    client: Any, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """By step and time; a stream that is written a moment later goes along. Long streams, too."""
    monkeypatch.setattr(point, "_MOST", most)
    monkeypatch.setattr(chunks, "CHUNK", 500)
    rows = episodes(3, 10, 60.0)
    late = [{**row, "timestamp": row["timestamp"] + 0.25} for row in rows]
    run, _ = fill(client, {"tracks/env/w.jsonl": rows, "metrics/m/w.jsonl": late})
    for episode in range(3):
        for step in (0, 4, 9):
            time = 100.0 + 60.0 * episode + step * 0.1
            assert look(client, run, step, time) == (100.0 * episode + step,) * 2


def test_a_counter_of_episodes_beside_one_of_the_run_is_shown_as_it_was_then(client: Any) -> None:
    """Step 25 of the run is step 5 of its third episode; a stream whose steps rise goes by step."""
    own = [{"timestamp": 100.0 + i, "step": i % 10, "v": float(i)} for i in range(30)]
    rising = [{"timestamp": 100.7 + i, "step": i, "v": float(i)} for i in range(0, 30, 5)]
    run, _ = fill(client, {"tracks/env/w.jsonl": own, "metrics/m/w.jsonl": rising})
    assert look(client, run, 25, 125.0) == (25.0, 25.0)
    assert look(client, run, 13, 113.0) == (13.0, 10.0)


def test_a_time_of_another_clock_leaves_the_step_to_decide(client: Any) -> None:
    """A simulation's seconds say nothing of rows of the day."""
    own = [{"timestamp": 1.7e9 + i, "step": i, "v": float(i)} for i in range(10)]
    sim = [{"timestamp": 0.1 * i, "step": i, "v": float(i)} for i in range(10)]
    run, _ = fill(client, {"tracks/env/w.jsonl": sim, "metrics/m/w.jsonl": own})
    assert look(client, run, 4, 0.4) == (4.0, 4.0)
    assert look(client, run, 4, 1.7e9 + 4) == (4.0, 4.0)


def test_of_episodes_of_the_same_times_one_is_named_by_its_number(client: Any) -> None:
    """A simulation whose steps and clock begin anew: rows of one step and time, as they came."""
    rows = [
        {"timestamp": 0.5 * step, "step": step, "v": float(10 * episode + step)}
        for episode in range(3)
        for step in range(4)
    ]
    some = [row for row in rows if row["step"] % 2 == 0]
    run, _ = fill(client, {"tracks/env/w.jsonl": rows, "metrics/m/w.jsonl": some})
    for nth in range(3):
        params = {"streams": "tracks/env,metrics/m", "step": 3, "time": 1.5, "nth": nth}
        found = client.get(f"/api/v1/runs/{run}/at", params=params).json()["streams"]
        assert found["tracks/env"]["v"] == 10 * nth + 3
        assert found["metrics/m"]["v"] == 10 * nth + 2
