"""However a process ends, nothing that was recorded is lost and the status tells what happened."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
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
        ("sys.exit(3)", 3, "COMPLETED"),  # Python tells nobody the code
        ("experiment.run.fail('no arm'); sys.exit(3)", 3, "FAILED"),
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


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_of_multiprocessing_tells_how_it_ended(tmp_path: Path, method: str) -> None:
    """By an exception, which it shows to no hook, or by a code; not by what its parent handles."""
    script = tmp_path / "script.py"
    script.write_text(f"""
import multiprocessing, sys
from ml_dash import Experiment

ENDINGS = {{
    "fine": "pass",
    "raised": "1 / 0",
    "left": "sys.exit(0)",
    "failed": "sys.exit(3)",
    "told": "sys.exit('no arm')",
    "stopped": "raise KeyboardInterrupt",
}}

def work(name):
    experiment = Experiment(name, dash_root={str(tmp_path / "dash")!r}, echo=False)
    experiment.run.start()
    experiment.track("t").append({{"step": 1}})
    exec(ENDINGS[name])

if __name__ == "__main__":
    try:
        raise OSError("of the parent")
    except OSError:
        for name in ENDINGS:
            child = multiprocessing.get_context({method!r}).Process(target=work, args=(name,))
            child.start()
            child.join()
""")
    subprocess.run([sys.executable, script], check=True, capture_output=True, timeout=120)
    found = {path.name: statuses(path) for path in (tmp_path / "dash").iterdir()}
    assert found == {
        "fine": ["COMPLETED"],
        "raised": ["FAILED"],
        "left": ["COMPLETED"],
        "failed": ["FAILED"],
        "told": ["FAILED"],
        "stopped": ["CANCELLED"],
    }


@pytest.mark.parametrize("error", ["1 / 0", "raise KeyboardInterrupt"])
def test_an_error_at_the_prompt_says_nothing_of_the_run(tmp_path: Path, error: str) -> None:
    """Python's prompt goes on after it, and so does the run."""
    typed = f"""
from ml_dash import Experiment
experiment = Experiment("e", dash_root={str(tmp_path / "dash")!r}, echo=False)
_ = experiment.run.start()
{error}
_ = experiment.track("a").append({{"step": 7}})
exit()
"""
    command = [sys.executable, "-q", "-i"]
    done = subprocess.run(command, input=typed, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert steps(tmp_path) == [7]
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"]


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


LOOPS = {
    "@experiment.run": """
@experiment.run
def train():
    count(experiment)
train()
""",
    "@ml_dash_experiment": """
from ml_dash import ml_dash_experiment
@ml_dash_experiment("e", dash_root=root, echo=False)
def train(experiment):
    count(experiment)
train()
""",
    "coroutine": """
import asyncio
@experiment.run
async def train():
    count(experiment)
asyncio.run(train())
""",
    "save_video": """
import numpy as np
def frames():
    yield np.zeros((16, 16, 3), np.uint8)
    count(experiment)
with experiment.run:
    experiment.files("videos").save_video(frames(), to="a.mp4")
""",
}


@pytest.mark.parametrize("loop", LOOPS)
def test_sigterm_ends_a_loop_that_is_called_by_us(tmp_path: Path, loop: str) -> None:
    """Our functions are on the stack for as long as the training takes, and hold no lock."""
    if loop == "save_video":
        pytest.importorskip("av")
    script = f"""
def count(experiment):
    print("ready")
    for step in range(600):
        experiment.track("a").append({{"step": step}})
        time.sleep(0.05)
experiment = Experiment("e", dash_root=root, echo=False)
{LOOPS[loop]}
"""
    process = start(tmp_path, script)
    wait_for_line(process, "ready")
    process.send_signal(signal.SIGTERM)
    assert finish(process, 25)[0] == -signal.SIGTERM
    assert statuses(tmp_path / "dash/e") == ["CANCELLED"]


def test_sigterm_while_a_run_ends_lets_it_end(tmp_path: Path) -> None:
    """Files that are still in the queue are written, the end is noted, then the signal comes."""
    script = (
        RECORD
        + """
import numpy as np
noise = np.random.default_rng(0).integers(0, 255, (400, 400, 3), np.uint8)
experiment = Experiment("e", dash_root=root, echo=False)
with experiment.run:
    for number in range(60):
        experiment.files("f").save_image(noise, to=f"{number}.png", optimize=True)
    experiment.run.before_end(lambda: print("ending"))
time.sleep(60)
"""
    )
    process = start(tmp_path, script)
    wait_for_line(process, "ending")
    process.send_signal(signal.SIGTERM)
    assert finish(process)[0] == -signal.SIGTERM
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"]
    assert len(list((tmp_path / "dash/e/files/data/f").iterdir())) == 60
    assert list((tmp_path / "dash/e/.buffer").glob("*.ring")) == []


def test_a_daemon_of_multiprocessing_completes_by_sigterm(tmp_path: Path) -> None:
    """Its parent ends it so, as a rule, when it has nothing more for it to do."""
    script = """
import multiprocessing
def work(connection):
    experiment = Experiment("e", dash_root=root, echo=False).run.start()
    experiment.track("a").append({"step": 0})
    connection.send(1)
    time.sleep(60)
if __name__ == "__main__":
    here, there = multiprocessing.Pipe()
    one = multiprocessing.get_context("fork").Process(target=work, args=(there,), daemon=True)
    one.start()
    here.recv()
    one.terminate()
    one.join()
    assert one.exitcode == -signal.SIGTERM
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    assert steps(tmp_path) == [0]
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"]


def test_a_daemon_ends_by_a_sigterm_that_came_as_it_went_to_sleep(tmp_path: Path) -> None:
    """No system call is interrupted then, as if another thread had got the signal."""
    script = """
import multiprocessing
def work():
    experiment = Experiment("e", dash_root=root, echo=False).run.start()
    def send():
        time.sleep(0.2)
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        time.sleep(60)
    threading.Thread(target=send, daemon=True).start()
    experiment.track("a").append({"step": 0})
    time.sleep(60)
if __name__ == "__main__":
    one = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    one.start()
    one.join(20)
    assert one.exitcode == -signal.SIGTERM, one.exitcode
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    assert steps(tmp_path) == [0]
    assert statuses(tmp_path / "dash/e") == ["COMPLETED"]


def test_a_child_of_a_daemon_has_its_signals_for_itself(tmp_path: Path) -> None:
    """What is sent to the child must not end its parent."""
    script = """
import multiprocessing
def work():
    experiment = Experiment("e", dash_root=root, echo=False).run.start()
    child = os.fork()
    if child == 0:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(7))
        time.sleep(60)
    time.sleep(0.2)
    os.kill(child, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    time.sleep(0.3)
    experiment.track("a").append({"step": 0})
if __name__ == "__main__":
    one = multiprocessing.get_context("fork").Process(target=work, daemon=True)
    one.start()
    one.join(20)
    assert one.exitcode == 0, one.exitcode
"""
    code, _, err = run(tmp_path, script)
    assert code == 0, err
    assert steps(tmp_path) == [0]


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
step = -1
try:
    with Experiment("e", dash_root=root, echo=False).run as experiment:
        threading.Timer(delay, os.kill, (os.getpid(), signal.SIGINT)).start()
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
from ml_dash.backends.blobs import Draft
append = LocalBackend.append
def refuse(self, segment, offset, data):
    if full:
        raise OSError(28, "No space left on device")
    append(self, segment, offset, data)
LocalBackend.append = refuse
Draft.write = lambda self, data: refuse(None, None, None, data)
full = False
with Experiment("e", dash_root=root, echo=False).run as experiment:
    record(experiment)
    experiment.flush()
    full = True
    record(experiment, 500)
    experiment.files("f").save_text("x", to="a.txt")
    print("first", flush=True)
    threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()
    raise KeyboardInterrupt
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == -signal.SIGINT
    assert "ml-dash check" in err
    assert " was being written; 1 file was not saved yet; rows are safe" in err
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


FULL_DISK = (
    RECORD
    + """
from ml_dash.auto_start import dxp
from ml_dash.backends import LocalBackend
append = LocalBackend.append
full = False
def refuse(self, segment, offset, data):
    if full:
        raise OSError(28, "No space left on device")
    append(self, segment, offset, data)
LocalBackend.append = refuse

def fill(experiment):
    global full
    record(experiment)
    experiment.flush()
    full = True
    record(experiment, 500)

def again(times=1):
    for number in range(times):
        timer = threading.Timer(0.5 + number / 2, os.kill, (os.getpid(), signal.SIGINT))
        timer.daemon = True
        timer.start()

def stop(*_):
    again()
    raise KeyboardInterrupt

first = Experiment("e", dash_root=root, echo=False)
"""
)

STYLES = {
    "decorator": """
@first.run
def train(experiment):
    fill(experiment)
    stop()
train()
""",
    "direct": """
fill(first.run.start())
stop()
""",
    "completed": """
fill(first.run.start())
again()
first.run.complete()
""",
    "dxp": """
dxp._arguments = {"prefix": "e", "dash_root": root, "echo": False}
fill(dxp)
stop()
""",
    "thread": """
def train():
    with first.run as experiment:
        fill(experiment)
        ready.set()
ready = threading.Event()
thread = threading.Thread(target=train)
thread.start()
ready.wait()
again(3)  # for the loop, for Python's waiting for its threads, and for ours
while thread.is_alive():
    time.sleep(0.01)
""",
    "sigterm": """
fill(first.run.start())
again()
os.kill(os.getpid(), signal.SIGTERM)
time.sleep(30)
""",
}


@pytest.mark.parametrize("style", STYLES)
def test_however_a_run_is_ended_a_ctrl_c_then_says_what_finishes_it(
    tmp_path: Path, style: str
) -> None:
    """On a disk that is full, with each way to use a run: the command names the run's folder."""
    code, _, err = run(tmp_path, FULL_DISK + STYLES[style])
    assert code == (-signal.SIGTERM if style == "sigterm" else -signal.SIGINT)
    assert f"`ml-dash check {tmp_path / 'dash/e'}` finishes it" in err
    assert "rows are safe in its buffer file" in err
    from ml_dash.buffer.recovery import drain_dead

    assert drain_dead(tmp_path / "dash/e").rows["tracks/a"] == 500


def test_of_several_runs_each_says_what_finishes_it(tmp_path: Path) -> None:
    """One Ctrl-C ends the waiting for all that are open, and none of them goes unmentioned."""
    script = (
        FULL_DISK
        + """
others = [Experiment(f"other/{n}", dash_root=root, echo=False).run.start() for n in range(2)]
fill(first.run.start())
for other in others:
    record(other)
stop()
"""
    )
    code, _, err = run(tmp_path, script)
    assert code == -signal.SIGINT
    for name in ("e", "other/0", "other/1"):
        assert err.count(f"`ml-dash check {tmp_path / 'dash' / name}` finishes it") == 1


SLOW_FILES = """
import numpy as np
from ml_dash import image, run_end
run_end.SILENT, run_end.AGAIN = 0.3, 0.4
encode = image.encode
def slowly(*arguments, **options):
    time.sleep(0.1)
    return encode(*arguments, **options)
image.encode = slowly
def save(experiment, count):
    for step in range(count):
        experiment.files("f").save_image(np.zeros((4, 4), np.uint8), to=f"{step}.png")
    print("saved", flush=True)
"""


def test_a_close_that_waits_for_files_says_how_many_are_left(tmp_path: Path) -> None:
    """Now and then, with how long it may still take; also when the interpreter is ending."""
    for name, end in (("with", "experiment.run.complete()"), ("exit", "")):
        script = f"""{SLOW_FILES}
experiment = Experiment("{name}", dash_root=root, echo=False).run.start()
save(experiment, 24)
{end}
"""
        code, _, err = run(tmp_path, script, ML_DASH_ENCODERS="2")
        said = [line for line in err.splitlines() if "files are still to be written" in line]
        assert code == 0
        assert 2 <= len(said) <= 4, err
        assert all(line.startswith(f"ml-dash: the run '{name}' is ending: ") for line in said)
        left = [int(line.split("ending: ")[1].split()[0]) for line in said]
        assert left == sorted(left, reverse=True) and left[0] < 24
        assert re.search(r"waiting (2\d|30) s more at most", said[0])
        assert len(list((tmp_path / "dash" / name / "files/data/f").glob("*.png"))) == 24


def test_a_close_that_takes_no_time_says_nothing(tmp_path: Path) -> None:
    """Neither with few files nor with those that are given up when the time is over."""
    script = f"""{SLOW_FILES}
run_end.SILENT = 2.0
with Experiment("quick", dash_root=root, echo=False).run as experiment:
    save(experiment, 3)
begun = time.monotonic()
with Experiment("bounded", dash_root=root, echo=False).run as experiment:
    save(experiment, 300)
assert time.monotonic() - begun < 10, "all of them take 30 s"
"""
    code, _, err = run(tmp_path, script, ML_DASH_CLOSE_TIMEOUT="0.5")
    assert code == 0, err
    assert "still to be written" not in err
    assert "lost from files" in err  # what is given up is told at the end


def test_sigterm_while_a_run_ends_takes_its_course_after_that(tmp_path: Path) -> None:
    """A scheduler that is impatient with a close does not cost the frames in the queue."""
    script = f"""{SLOW_FILES}
with Experiment("e", dash_root=root, echo=False).run as experiment:
    save(experiment, 15)
time.sleep(30)
"""
    process = start(tmp_path, script, ML_DASH_ENCODERS="2")
    wait_for_line(process, "saved")
    process.send_signal(signal.SIGTERM)
    code, _, err = finish(process)
    assert code == -signal.SIGTERM, err
    assert len(list((tmp_path / "dash/e/files/data/f").glob("*.png"))) == 15
    assert statuses(tmp_path / "dash/e")[0] in ("COMPLETED", "CANCELLED")
