"""Identifiers: unique and ordered over threads, processes, forks, signals and clock steps."""

import itertools
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from ml_dash import ids
from ml_dash.ids import EPOCH, new_id, new_writer_id

ROOT = Path(ids.__file__).parents[1]
MANY = 20_000

# Forking while other threads run is what some of these tests are about.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")


def time_of(id):
    """When an id was made, in epoch seconds: the bits above those of node and sequence tell."""
    return EPOCH + (id >> 22) / 1000


def make(count):
    """So many new ids as integers."""
    return [int(new_id()) for _ in range(count)]


def made_in_child(path, count):
    """Write so many new ids to a file, one a line."""
    path.write_text("\n".join(map(str, make(count))))


def increasing(values):
    """Whether each value is greater than the one before."""
    return all(one < other for one, other in itertools.pairwise(values))


def fork(job):
    """Run `job` in a forked child and return its exit code, -SIGALRM if it hangs."""
    pid = os.fork()
    if pid == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(10)
        try:
            os._exit(0 if job() else 1)
        finally:
            os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_an_id_is_a_decimal_string_of_63_bits_that_sorts_as_text():
    """Ids fit a signed 64-bit column, and their strings sort as they were made."""
    made = [new_id() for _ in range(1000)]
    assert all(type(one) is str and one.isdecimal() and int(one) < 2**63 for one in made)
    assert made == sorted(made)
    assert len(set(made)) == 1000


def test_an_id_tells_when_it_was_made():
    """The time of an id is that of the wall clock, to the millisecond."""
    source = ids._Source()
    before = time.time()
    moment = time_of(source.next())
    assert before - 0.002 <= moment <= time.time() + 0.002


def test_ids_of_eight_threads_are_unique_and_increase_in_each():
    """Threads share one sequence without a gap in its lock."""
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(make, [MANY] * 8))
    assert all(map(increasing, made))
    assert len(set().union(*made)) == 8 * MANY


def test_ids_of_sixteen_forked_and_sixteen_fresh_processes_are_unique(tmp_path):
    """Processes that run at once and flat out never make the same id."""
    code = (
        "import sys; from ml_dash.ids import new_id\n"
        f"open(sys.argv[1], 'w').write('\\n'.join(new_id() for _ in range({MANY})))"
    )
    context = multiprocessing.get_context("fork")
    make(10)  # so that the children inherit a source in use
    forked = [
        context.Process(target=made_in_child, args=(tmp_path / f"f{index}", MANY))
        for index in range(16)
    ]
    for process in forked:
        process.start()
    fresh = [
        subprocess.Popen([sys.executable, "-c", code, str(tmp_path / f"s{index}")], cwd=ROOT)
        for index in range(16)
    ]
    mine = make(MANY)
    for process in forked:
        process.join()
    assert [process.wait() for process in fresh] == [0] * 16
    lists = [mine] + [[int(one) for one in file.read_text().split()] for file in tmp_path.iterdir()]
    assert all(len(made) == MANY and increasing(made) for made in lists)
    assert len(set().union(*lists)) == 33 * MANY


def test_a_child_forked_while_a_thread_makes_ids_goes_on():
    """A child never waits for the lock of a thread that it does not have."""
    held, release = threading.Event(), threading.Event()

    def hold():
        with ids._source._lock:
            held.set()
            release.wait(30)

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    try:
        assert fork(lambda: increasing(make(100))) == 0
    finally:
        release.set()
        thread.join()


def test_a_signal_handler_may_make_ids():
    """A handler that interrupts its own thread neither hangs nor repeats an id."""

    def interrupted():
        with ids._source._lock:  # where a timer hardly ever hits
            return increasing(make(10))

    assert fork(interrupted) == 0
    handled = []
    before = signal.signal(signal.SIGALRM, lambda *_: handled.extend(make(2)))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    try:
        made = []
        while len(handled) < 200:
            made += make(1000)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert increasing(made)
    assert len({*made, *handled}) == len(made) + len(handled)


def test_a_stepped_wall_clock_neither_repeats_nor_reorders(monkeypatch):
    """Setting the clock back an hour or forward a day changes nothing for a running process."""
    made = make(100)
    start = time_of(made[-1])
    for step in (-3600, 86_400):
        stepped = time.time_ns() + step * 10**9
        monkeypatch.setattr(time, "time_ns", lambda stepped=stepped: stepped)
        monkeypatch.setattr(time, "time", lambda stepped=stepped: stepped / 1e9)
        made += make(100)
    assert increasing(made)
    assert time_of(made[-1]) - start < 60


def test_a_process_after_a_step_back_makes_other_ids(monkeypatch):
    """Two processes at the same clock reading differ by their node."""
    clock = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: clock)
    monkeypatch.setattr(ids, "_since_boot", lambda: 10**12)
    made = []
    for pid in range(30_000, 30_064):
        monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
        source = ids._Source()
        made += [source.next() for _ in range(300)]
    assert len(set(made)) == len(made)


def test_containers_with_the_same_pid_differ(monkeypatch):
    """Equal pids on one host and boot get nodes of their own in each pid namespace."""
    nodes = set()
    for number in range(50):
        monkeypatch.setattr(ids, "pid_namespace", lambda number=number: f"pid:[40265{number}]")
        nodes.add(ids._Source()._find_node())
    assert len(nodes) >= 48  # 50 draws out of 32,768


def test_a_burst_borrows_from_the_next_millisecond(monkeypatch):
    """A clock that stands still costs neither uniqueness nor order."""
    monkeypatch.setattr(ids, "_since_boot", lambda: 10**12)
    source = ids._Source()
    made = [source.next() for _ in range(1000)]
    assert increasing(made)
    assert 0.006 < time_of(made[-1]) - time_of(made[0]) < 0.009


@pytest.mark.parametrize("wall", [0, -(10**18), EPOCH * 10**9, 4 * 10**18, 9 * 10**18])
def test_a_wrong_wall_clock_still_gives_increasing_63_bit_ids(monkeypatch, wall):
    """A board that wakes up in 1970, or in 2200, makes valid ids."""
    monkeypatch.setattr(time, "time_ns", lambda: wall)
    source = ids._Source()
    made = [source.next() for _ in range(500)]
    assert increasing(made)
    assert made[0] > 0
    assert made[-1] < 2**63


def test_a_platform_without_a_boot_clock_or_proc_makes_ids(monkeypatch):
    """macOS and Windows have neither; ids stay unique and ordered."""
    monkeypatch.setattr(ids, "_BOOTTIME", None)
    monkeypatch.setattr(ids, "boot_id", lambda: None)
    monkeypatch.setattr(ids, "pid_namespace", lambda: None)
    monkeypatch.delattr(os, "uname")
    source = ids._Source()
    assert increasing([source.next() for _ in range(500)])


def test_a_writer_id_has_twelve_characters_and_ignores_the_seed():
    """Writers are named by the system's randomness: seeded scripts get names of their own."""
    made = set()
    for _ in range(200):
        random.seed(0)
        made.add(new_writer_id())
    assert len(made) == 200
    assert all(len(one) == 12 for one in made)
    assert set("".join(made)) == set("abcdefghijklmnopqrstuvwxyz234567")


def test_forked_children_have_writer_ids_of_their_own(tmp_path):
    """A fork does not inherit the next name."""

    def write():
        return (tmp_path / new_writer_id()).open("x").close() is None

    assert [fork(write) for _ in range(5)] == [0] * 5
    assert write()
    assert len(list(tmp_path.iterdir())) == 6


def test_the_host_and_boot_are_known_on_linux():
    """What ids and process identities rest on is read from the kernel."""
    assert ids.host_name() == os.uname().nodename
    if sys.platform == "linux":
        assert len(ids.boot_id()) == 36
        assert ids.pid_namespace().startswith("pid:[")
