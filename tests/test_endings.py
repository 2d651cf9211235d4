"""However a process ends, nothing that was recorded is lost and the status tells what happened."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest
from scripts import finish, rows, run, start, statuses, wait_for_line

RECORD = """
def record(experiment, start=0, count=500):
    for step in range(start, start + count):
        experiment.track("a").append({"step": step})
        experiment.metrics("m").log(step=step, loss=0.5)
    experiment.log("recorded", echo_free=True)
"""


def steps(folder: Path, name: str = "e") -> list[int]:
    return [row["step"] for row in rows(folder / "dash" / name, "tracks/a")]


@pytest.mark.parametrize(
    ("ending", "code", "status"),
    [
        ("pass", 0, "COMPLETED"),
        ("sys.exit()", 0, "COMPLETED"),
        ("sys.exit(3)", 3, "FAILED"),
        ("raise ValueError('the arm fell off')", 1, "FAILED"),
        ("raise KeyboardInterrupt", -2, "CANCELLED"),
    ],
)
def test_a_with_block_ends_as_it_is_left(
    tmp_path: Path, ending: str, code: int, status: str
) -> None:
    """The context manager keeps everything and tells how it was left."""
    script = (
        RECORD
        + f"""
with Experiment("e", dash_root=root, echo=False).run as experiment:
    record(experiment)
    {ending}
"""
    )
    assert run(tmp_path, script)[0] == code
    assert steps(tmp_path) == list(range(500))
    assert statuses(tmp_path / "dash/e") == [status]
    if "arm" in ending:
        (end,) = [row for row in rows(tmp_path / "dash/e", "run") if row["event"] == "end"]
        assert "ValueError: the arm fell off" in end["error"]


@pytest.mark.parametrize(
    ("ending", "code", "status"),
    [
        ("pass", 0, "COMPLETED"),
        ("sys.exit(0)", 0, "COMPLETED"),
        ("raise ValueError('the arm fell off')", 1, "FAILED"),
        ("raise KeyboardInterrupt", -2, "CANCELLED"),
    ],
)
def test_a_run_that_nobody_ends_is_ended_with_the_process(
    tmp_path: Path, ending: str, code: int, status: str
) -> None:
    """A forgotten `with` loses nothing."""
    script = (
        RECORD
        + f"""
experiment = Experiment("e", dash_root=root, echo=False)
experiment.run.start()
record(experiment)
{ending}
"""
    )
    assert run(tmp_path, script)[0] == code
    assert steps(tmp_path) == list(range(500))
    assert statuses(tmp_path / "dash/e") == [status]


def test_an_exception_in_another_thread_ends_nothing(tmp_path: Path) -> None:
    """A thread that dies does not end the run."""
    script = (
        RECORD
        + """
def work():
    record(experiment)
    raise ValueError("this thread")

with Experiment("e", dash_root=root, echo=False).run as experiment:
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    record(experiment, 500)
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == 0
    assert "this thread" in err
    assert steps(tmp_path) == list(range(1000))
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"]


def test_sigterm_saves_everything_and_takes_its_course(tmp_path: Path) -> None:
    """SIGTERM, as a scheduler sends it: all rows kept, CANCELLED, the signal's exit code."""
    script = (
        RECORD
        + """
with Experiment("e", dash_root=root, echo=False).run as experiment:
    record(experiment)
    print("ready")
    step = 500
    while True:
        experiment.track("a").append({"step": step})
        step += 1
"""
    )
    process = start(tmp_path, script)
    wait_for_line(process, "ready")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == -signal.SIGTERM
    found = steps(tmp_path)
    assert found == list(range(len(found)))
    assert len(found) >= 500
    assert statuses(tmp_path / "dash/e") == ["CANCELLED"]
    assert list((tmp_path / "dash/e/.buffer").glob("*.ring")) == []


def test_a_sigterm_handler_of_the_program_is_left_alone(tmp_path: Path) -> None:
    """Who handles SIGTERM already goes on handling it."""
    script = (
        RECORD
        + """
signal.signal(signal.SIGTERM, lambda number, frame: print("mine"))
with Experiment("e", dash_root=root, echo=False).run as experiment:
    os.kill(os.getpid(), signal.SIGTERM)
    record(experiment)
"""
    )
    code, out, _ = run(tmp_path, script)
    assert (code, out) == (0, "mine\n")
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"]


def test_the_sigterm_handler_goes_with_the_run(tmp_path: Path) -> None:
    """After the last run the signal is as it was."""
    script = """
with Experiment("e", dash_root=root, echo=False).run:
    assert signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    assert run(tmp_path, script)[0] == 0


@pytest.mark.parametrize("seed", range(6))
def test_ctrl_c_ends_the_loop_and_keeps_its_rows(tmp_path: Path, seed: int) -> None:
    """SIGINT at any moment of a flat-out loop: every row whose call returned is kept, once."""
    script = """
import random
delay = random.Random(int(sys.argv[2])).random() * 0.3
threading.Timer(0.05 + delay, os.kill, (os.getpid(), signal.SIGINT)).start()
step = -1
try:
    with Experiment("e", dash_root=root, echo=False).run as experiment:
        while True:
            size = 70_000 if step % 97 == 0 else 5
            experiment.track("a").append({"step": step + 1, "x": "y" * size})
            step += 1
finally:
    print(step)
"""
    code, out, _ = run(tmp_path, script, seed)
    assert code == -signal.SIGINT
    found = steps(tmp_path)
    assert found == list(range(len(found)))
    assert len(found) in (int(out) + 1, int(out) + 2)
    assert statuses(tmp_path / "dash/e") == ["CANCELLED"]


def test_a_second_ctrl_c_ends_the_waiting_and_says_what_finishes_it(tmp_path: Path) -> None:
    """A disk that hangs at the end can be left with Ctrl-C; the rows are there afterwards."""
    script = (
        RECORD
        + """
from ml_dash.backends import LocalBackend
append = LocalBackend.append
def refuse(self, segment, offset, data):
    if full:
        raise OSError(28, "No space left on device")
    append(self, segment, offset, data)
LocalBackend.append = refuse
full = False
with Experiment("e", dash_root=root, echo=False).run as experiment:
    record(experiment)
    experiment.flush()
    full = True
    record(experiment, 500)
    print("first", flush=True)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    raise KeyboardInterrupt
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == -signal.SIGINT
    assert "ml-dash check" in err
    from ml_dash.buffer.recovery import drain_dead

    assert drain_dead(tmp_path / "dash/e").rows["tracks/a"] == 500
    assert steps(tmp_path) == list(range(1000))


def test_sigterm_in_a_process_that_forked_its_runs_child(tmp_path: Path) -> None:
    """A forked child that is terminated keeps its rows and leaves the run's status alone."""
    script = (
        RECORD
        + """
with Experiment("e", dash_root=root, echo=False).run as experiment:
    record(experiment, 0, 100)
    child = os.fork()
    if child == 0:
        record(experiment, 100, 100)
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(30)
    print(os.waitpid(child, 0)[1])
    record(experiment, 200, 100)
"""
    )
    code, out, _ = run(tmp_path, script)
    assert (code, out.strip()) == (0, str(int(signal.SIGTERM)))
    assert sorted(steps(tmp_path)) == list(range(300))
    assert sorted(statuses(tmp_path / "dash/e")) == ["CLOSED", "COMPLETED"]
