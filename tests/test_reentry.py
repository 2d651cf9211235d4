"""What a signal's handler, or a finalizer, records in the middle of its own thread's step."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scripts import run, wait_until

from ml_dash import Experiment, lazy, open_run
from ml_dash.backends.blobs import Draft
from ml_dash.buffer.drain import Drainer
from ml_dash.buffer.pool import Pool
from ml_dash.buffer.ring import Ring
from ml_dash.files.index import FileIndex

QUIET = {"echo": False, "environment": False}
LOOP = "the loop"
SECONDS = 60  # for what takes none, unless it waits for itself


@pytest.fixture
def experiment(tmp_path: Path) -> Iterator[Experiment]:
    """A run that goes on."""
    experiment = Experiment("p/e", dash_root=tmp_path, **QUIET).run.start()
    yield experiment
    experiment.run.complete()


def within(action: Callable[[], object]) -> None:
    """Do it in a thread, and fail if that waits for itself."""
    errors: list[BaseException] = []

    def work() -> None:
        try:
            action()
        except BaseException as error:  # noqa: BLE001 - raised again where the test is
            errors.append(error)

    thread = threading.Thread(target=work, name=LOOP, daemon=True)
    thread.start()
    thread.join(SECONDS)
    assert not thread.is_alive(), "it waits for itself"
    if errors:
        raise errors[0]


def interrupt(
    monkeypatch: pytest.MonkeyPatch, kind: type, name: str, handler: Callable[[], object]
) -> None:
    """Call `handler` once, in the middle of a step, as Python would call that of a signal."""
    step = getattr(kind, name)
    calls: list[None] = []

    def interrupted(*args: Any) -> Any:
        if not calls and threading.current_thread().name == LOOP:
            calls.append(None)
            handler()
        return step(*args)

    monkeypatch.setattr(kind, name, interrupted)


@pytest.mark.parametrize("place", [(Ring, "put"), (Drainer, "lend")], ids=["row", "slot"])
def test_a_handler_may_record_while_a_row_is_placed(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, place: tuple[type, str]
) -> None:
    """It does not wait for a lock that only the interrupted step could give up; nothing is lost."""
    track = experiment.track("t")

    def handler() -> None:
        track.append({"by": -1})
        experiment.log("preempted")
        experiment.metrics("m").log(by=-1)
        experiment.params.set(preempted=True)
        assert experiment.flush() is not None

    def loop() -> None:
        for number in range(100):
            track.append({"by": number})

    interrupt(monkeypatch, *place, handler)
    within(loop)
    assert experiment.flush().ok
    assert experiment.folder is not None
    found = open_run(experiment.folder)
    assert sorted(found.tracks["t"]["by"]) == list(range(-1, 100))
    assert [row["message"] for row in found.logs] == ["preempted"]
    assert len(found.metrics["m"]) == 1
    assert found.params == {"preempted": True}


def test_a_handler_may_save_files_while_one_is_queued(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Also one that is copied at once, such as a checkpoint."""
    (tmp_path / "model.bin").write_bytes(b"weights")
    files = experiment.files("f")

    def handler() -> None:
        files.save_text("by the handler", to="a.txt")
        files.save_image(np.zeros((4, 4), np.uint8), to="b.png")
        files.save(tmp_path / "model.bin")

    interrupt(monkeypatch, Pool, "_line_up", handler)
    within(lambda: files.save_text("by the loop", to="c.txt"))
    assert experiment.flush().ok
    names = {row["path"] for row in files.list("*")}
    assert names == {"f/a.txt", "f/b.png", "f/c.txt", "f/model.bin"}


def test_a_handler_may_end_the_run_while_a_row_is_placed(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends at once, with its status and last message; what the loop had recorded is there."""
    track = experiment.track("t")

    def handler() -> None:
        experiment.log("preempted")
        experiment.run.cancel()
        raise SystemExit

    def loop() -> None:
        for number in range(10):
            track.append({"by": number})
        interrupt(monkeypatch, Ring, "put", handler)
        track.append({"by": 10})

    with pytest.raises(SystemExit):
        within(loop)
    folder = experiment.folder
    assert folder is not None
    found = open_run(folder)
    assert found.status == "CANCELLED"
    assert [row["message"] for row in found.logs] == ["preempted"]
    assert found.problems == []
    # The thread writes the rest now that the step is over.
    wait_until(lambda: len(open_run(folder).tracks.get("t", ())) >= 10)
    assert list(open_run(folder).tracks["t"]["by"])[:10] == list(range(10))


def overwrite(experiment: Experiment, source: Path) -> None:
    """Save a checkpoint again, as the handler of a signal does."""
    experiment.files("f").save(source, to="last.bin")


def leave_a_note(experiment: Experiment, source: Path) -> None:
    """Queue a file of the same name, and wait for it."""
    experiment.files("f").save_text("by the handler", to="last.bin")
    assert experiment.flush().ok


def look(experiment: Experiment, source: Path) -> None:
    """Ask for the file that is being saved."""
    assert not experiment.files("f").exists("last.bin")


def copy(experiment: Experiment, source: Path) -> None:
    """Copy it."""
    with pytest.raises(FileNotFoundError):
        experiment.files("f").duplicate("last.bin", to="copy.bin")


@pytest.mark.parametrize("act", [overwrite, leave_a_note, look, copy])
def test_a_handler_may_use_the_file_that_its_thread_is_saving(
    experiment: Experiment,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    act: Callable[[Experiment, Path], None],
) -> None:
    """It does not wait for the turn that only the interrupted call could give up."""
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    files = experiment.files("f")
    interrupt(monkeypatch, Draft, "copy", lambda: act(experiment, source))
    within(lambda: files.save(source, to="last.bin"))
    assert experiment.flush().ok
    assert files.read_bytes("last.bin") == b"weights"
    within(lambda: files.save(source, to="last.bin"))


def test_a_handler_may_wait_for_its_files_while_its_thread_looks_one_up(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What writes them does not wait for who reads the index."""
    files = experiment.files("f")
    files.save_text("one", to="one.txt")
    assert experiment.flush().ok

    def handler() -> None:
        files.save_text("two", to="two.txt")
        files.delete("one.txt")
        assert experiment.flush().ok

    interrupt(monkeypatch, FileIndex, "_take_block", handler)
    within(lambda: files.exists("one.txt"))
    assert [row["path"] for row in files.list()] == ["f/two.txt"]


def test_a_handler_may_end_the_run_while_a_file_is_saved(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """What it queued under the same name is written, though it stands behind that."""
    source = tmp_path / "model.bin"
    source.write_bytes(b"weights")
    files = experiment.files("f")

    def handler() -> None:
        files.save_text("by the handler", to="last.bin")
        experiment.run.cancel()
        raise SystemExit

    interrupt(monkeypatch, Draft, "copy", handler)
    folder = experiment.folder
    with pytest.raises(SystemExit):
        within(lambda: files.save(source, to="last.bin"))
    assert experiment.run.last_report.ok
    assert folder is not None
    assert (folder / "files/data/f/last.bin").read_text() == "by the handler"


def test_a_copy_of_a_file_that_a_handler_replaces_meanwhile_is_whole(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its hash is that of the content that it has, not of the one that was looked up."""
    files = experiment.files("f")
    files.save_text("before", to="a.txt")

    def handler() -> None:
        files.save_text("after!", to="a.txt")
        assert experiment.flush().ok

    interrupt(monkeypatch, Draft, "share", handler)
    within(lambda: files.duplicate("a.txt", to="b.txt"))
    assert files.read_text("b.txt") == "after!"


def test_a_handler_is_told_that_its_thread_is_just_loading_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A module that is half there would have no attributes, for no reason that anybody sees."""
    name = "loaded_by_halves"
    lines = [
        "from ml_dash import lazy",
        "try:",
        f"    lazy.load({name!r})",
        "except RuntimeError as error:",
        "    told = str(error)",
    ]
    (tmp_path / f"{name}.py").write_text("\n".join(lines))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(lazy, "_loaded", {})
    assert f"{name} is just being loaded" in lazy.load(name).told


def test_an_interrupt_while_a_file_is_queued_leaves_nothing_waiting(
    experiment: Experiment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between being counted and being queued: later saves of that path do not wait for it."""
    grant = Pool._grant
    calls: list[None] = []

    def interrupted(pool: Pool, turn: Any) -> None:
        if not calls:
            calls.append(None)
            raise KeyboardInterrupt
        grant(pool, turn)

    monkeypatch.setattr(Pool, "_grant", interrupted)
    files = experiment.files("f")
    with pytest.raises(KeyboardInterrupt):
        files.save_text("first", to="a.txt")
    files.save_text("second", to="a.txt")
    assert experiment.flush(SECONDS).ok
    assert files.read_text("a.txt") == "second"


SCRIPT = """
import signal
from ml_dash import Experiment

experiment = Experiment("p/s", dash_root="runs", echo=False, environment=False)
handled = 0

def handler(number, frame):
    global handled
    signal.setitimer(signal.ITIMER_REAL, 0)
    experiment.track("t").append({"by": -1})
    experiment.log("handled")
    handled += 1
    signal.setitimer(signal.ITIMER_REAL, 0.0005)

signal.signal(signal.SIGALRM, handler)
with experiment.run:
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    number = 0
    while handled < 300:
        experiment.track("t").append({"by": number})
        experiment.log("loop")
        number += 1
    signal.setitimer(signal.ITIMER_REAL, 0)
print(number, handled)
"""


def test_a_program_whose_handler_records_goes_on(tmp_path: Path) -> None:
    """Hundreds of signals in a loop that does nothing else: it never hangs, every row is there."""
    code, out, err = run(tmp_path, SCRIPT)
    assert code == 0, err
    number, handled = map(int, out.split())
    found = open_run(tmp_path / "runs/p/s")
    by = found.tracks["t"]["by"]
    assert sorted(by) == [-1] * handled + list(range(number))
    assert len(found.logs) == number + handled
