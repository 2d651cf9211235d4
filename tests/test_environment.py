"""The record of where a session runs, and whether its process is still there."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_dash import environment
from ml_dash.environment import capture, process_alive, process_identity, without_credentials

ROOT = Path(environment.__file__).parents[1]
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
SAY = "import json; from ml_dash.environment import *; print(json.dumps(%s), flush=True)"


def git(folder, *arguments):
    """Run git in a folder, with no configuration but the one given here."""
    name = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(
        ["git", *name, "-C", folder, *arguments], check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository with one commit, which is the working directory."""
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    folder = tmp_path / "a repository"
    folder.mkdir()
    git(folder, "init")
    (folder / "train.py").write_text("print()\n")
    git(folder, "add", ".")
    git(folder, "commit", "-m", "first")
    monkeypatch.chdir(folder)
    return folder


def program(folder, name, script):
    """An executable shell script."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def child(code, **variables):
    """A Python child that has printed one line of JSON; the child and what it said."""
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
    )
    return process, json.loads(process.stdout.readline())


@pytest.fixture
def living():
    """The identity of a child that lives until the test ends, and the child."""
    process, identity = child(SAY % "process_identity()" + "; import time; time.sleep(60)")
    yield identity, process
    process.kill()
    process.communicate()


def test_the_record_is_json_and_says_what_runs_where():
    """Host, program and interpreter are recorded in plain JSON types."""
    found = capture()
    assert json.loads(json.dumps(found, allow_nan=False)) == found
    assert found["host"] == os.uname().nodename
    assert found["cwd"] == str(Path.cwd())
    assert found["cpus"] == os.cpu_count()
    assert 1 <= found["usable_cpus"] <= found["cpus"]
    assert found["memory_bytes"] > 2**28
    assert found["python"]["version"] == ".".join(map(str, sys.version_info[:3]))
    assert found["python"]["executable"] == sys.executable
    assert found["command"][0]
    assert found["os"].startswith(os.uname().sysname)


def test_the_packages_are_those_that_the_import_system_has():
    """Reading folder names gives what importlib.metadata reads from files, fifty times slower."""
    expected = {}
    for one in metadata.distributions():
        name = re.sub(r"[-_.]+", "-", one.metadata["Name"]).lower()
        expected.setdefault(name, one.version)
    assert capture()["packages"] == expected
    assert "pytest" in expected


def test_packages_are_found_in_every_form_of_metadata(tmp_path, monkeypatch):
    """Wheels, eggs, development installs and leftovers: the first on the path wins."""
    first, second = tmp_path / "one", tmp_path / "two"
    for folder in (
        first / "Big_Name.x-1.0+cpu.dist-info",
        first / "egg_one-2.0-py3.11.egg-info",
        first / "develop.egg-info",
        first / "nothing.egg-info",
        first / "~ig_name-0.9.dist-info",
        second / "big_name_x-3.0.dist-info",
        second / "other-4.0.dist-info",
    ):
        folder.mkdir(parents=True)
    (first / "develop.egg-info/PKG-INFO").write_text("Metadata-Version: 2.1\nVersion: 5.0\n")
    (first / "file.egg-info").write_text("")
    monkeypatch.setattr(sys, "path", [str(first), "/no/such", 7, None, __file__, str(second)])
    assert environment._packages() == {
        "big-name-x": "1.0+cpu",
        "develop": "5.0",
        "egg-one": "2.0",
        "other": "4.0",
    }


def test_no_environment_variable_is_recorded():
    """A secret in the environment of the process is nowhere in the record."""
    process, found = child(SAY % "capture()", TOKEN="hunter2hunter2", USER="sesame", HOME="/sesame")
    process.communicate()
    assert "hunter2" not in json.dumps(found)
    assert "sesame" not in json.dumps(found)


def test_nothing_heavy_is_imported():
    """A capture brings in no framework, and not even the parser of package metadata."""
    code = "import sys, json; from ml_dash.environment import capture; found = capture();"
    process, modules = child(code + "print(json.dumps(sorted(sys.modules)))")
    process.communicate()
    heavy = {"numpy", "torch", "PIL", "requests", "importlib.metadata", "email", "pynvml"}
    assert not heavy & set(modules)


def test_the_script_is_recorded_with_its_own_repository(repository, tmp_path):
    """The repository is that of the script, wherever the command was given."""
    script = repository / "train.py"
    script.write_text(SAY % "capture()")
    git(tmp_path, "init")
    done = subprocess.run(
        [sys.executable, script, "--url", "https://me:secret@host/x"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["script"] == str(script)
    assert found["command"][-3:] == [str(script), "--url", "https://***@host/x"]
    assert found["cwd"] == str(tmp_path)
    assert found["git"]["commit"] == git(repository, "rev-parse", "HEAD")
    assert found["git"]["dirty"] is True


def test_a_clean_repository_has_commit_branch_and_remote(repository):
    """The commit names the code that ran; the remote says where, without credentials."""
    git(repository, "remote", "add", "other", "https://elsewhere.example/x.git")
    git(
        repository, "remote", "add", "origin", "https://me:ghp_secret@host.example/a/b.git?t=secret"
    )
    (repository / "untracked.txt").write_text("as a run folder would be")
    assert capture()["git"] == {
        "commit": git(repository, "rev-parse", "HEAD"),
        "branch": "main",
        "dirty": False,
        "remote": "https://host.example/a/b.git",
    }


@pytest.mark.parametrize("staged", [False, True])
def test_a_changed_tracked_file_makes_the_tree_dirty(repository, staged):
    """Changed code is marked, whether staged or not."""
    (repository / "train.py").write_text("print(1)\n")
    if staged:
        git(repository, "add", ".")
    assert capture()["git"]["dirty"] is True


def test_a_detached_head_has_no_branch(repository):
    """A checked-out commit is recorded as such, also from a folder below."""
    git(repository, "checkout", "--detach")
    (repository / "below").mkdir()
    os.chdir(repository / "below")
    found = capture()["git"]
    assert found == {"commit": git(repository, "rev-parse", "HEAD"), "branch": None, "dirty": False}


def test_a_repository_without_commits_has_a_branch_only(tmp_path, monkeypatch):
    """Before the first commit there is none to name."""
    git(tmp_path, "init")
    monkeypatch.chdir(tmp_path)
    assert capture()["git"] == {"commit": None, "branch": "main", "dirty": False}


def test_the_index_of_the_repository_is_left_alone(repository):
    """Looking takes no lock and rewrites no index that the user's own git is about to use."""
    index = repository / ".git/index"
    os.utime(repository / "train.py", (1, 1))  # stale: a plain `git status` would refresh it
    before = index.read_bytes(), index.stat().st_mtime_ns
    assert capture()["git"]["dirty"] is False
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


def test_a_repository_cannot_name_a_program_to_run(repository, tmp_path):
    """A configured file system monitor is not started."""
    started = tmp_path / "started"
    hook = program(tmp_path / "bin", "hook", f"touch '{started}'")
    git(repository, "config", "core.fsmonitor", str(hook))
    assert "git" in capture()
    assert not started.exists()


def test_without_git_or_repository_there_is_no_git(tmp_path, monkeypatch):
    """A missing program, and a folder that is in no repository, leave the key out."""
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    monkeypatch.chdir(tmp_path)
    assert "git" not in capture()
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "git" not in capture()


def test_a_git_that_hangs_is_given_up(repository, tmp_path, monkeypatch):
    """A hanging program, and a grandchild that keeps its output open, cost the time limit."""
    program(tmp_path / "bin", "git", "sleep 60 & exec sleep 60")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(environment, "TIMEOUT", 0.2)
    start = time.monotonic()
    assert "git" not in capture()
    assert time.monotonic() - start < 30


def test_a_tree_too_large_to_compare_still_has_its_commit(repository, tmp_path, monkeypatch):
    """Where `git status` takes too long, commit and branch are recorded without `dirty`."""
    commit = git(repository, "rev-parse", "HEAD")
    real = shutil.which("git")
    script = f'case "$*" in *status*) exec sleep 5;; esac; exec {real} "$@"'
    program(tmp_path / "bin", "git", script)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=os.pathsep)
    monkeypatch.setattr(environment, "TIMEOUT", 0.5)
    assert capture()["git"] == {"commit": commit, "branch": "main"}


@pytest.mark.skipif(not subprocess._USE_POSIX_SPAWN, reason="needs posix_spawn")
def test_no_pipe_is_opened(repository, monkeypatch):
    """A process forked at the wrong moment can hold no end of a pipe that a capture waits for."""

    def refuse(*arguments):
        raise AssertionError("a pipe was opened")

    monkeypatch.setattr(os, "pipe", refuse)
    assert capture()["git"]["branch"] == "main"


@LINUX
def test_a_capture_takes_no_lock_that_a_forked_child_could_wait_for(repository, monkeypatch):
    """The module `tempfile` has a lock that no fork renews: a capture goes without it."""
    monkeypatch.setattr(tempfile, "tempdir", None)
    found = []
    thread = threading.Thread(target=lambda: found.append(capture()), daemon=True)
    with tempfile._once_lock:
        thread.start()
        thread.join(20)
    assert [one["git"]["branch"] for one in found] == ["main"]


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_captures_run_in_threads_while_others_fork(repository):
    """Captures in the background, and forks of the main thread, do not disturb each other."""
    found = []
    threads = [threading.Thread(target=lambda: found.append(capture())) for _ in range(4)]
    for thread in threads:
        thread.start()
    children = []
    while any(thread.is_alive() for thread in threads) and len(children) < 50:
        pid = os.fork()
        if pid == 0:
            signal.alarm(20)
            os._exit(0 if len(children) % 10 or "host" in capture() else 1)
        children.append(pid)
    for thread in threads:
        thread.join()
    assert {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children} <= {0}
    assert len(found) == 4
    assert all(one == found[0] for one in found)
    assert found[0]["git"]["branch"] == "main"


def test_gpu_names_come_from_the_driver(tmp_path, monkeypatch):
    """The driver's own list is read first; no program is started for it."""
    for index, text in enumerate(["Model: \t\t NVIDIA A100\nIRQ: 5\n", "garbage", "Model:  H100"]):
        (tmp_path / f"0000:0{index}:00.0").mkdir()
        (tmp_path / f"0000:0{index}:00.0/information").write_text(text)
    monkeypatch.setattr(environment, "_NVIDIA", tmp_path)
    assert capture()["gpus"] == ["NVIDIA A100", "H100"]


def test_gpu_names_come_from_torch_only_once_it_runs_cuda(tmp_path, monkeypatch):
    """CUDA is never initialised for a name: a process that did so could not fork any more."""

    def initialise(*arguments):
        raise AssertionError("CUDA was initialised")

    idle = SimpleNamespace(
        is_initialized=lambda: False, device_count=initialise, get_device_name=initialise
    )
    active = SimpleNamespace(
        is_initialized=lambda: True, device_count=lambda: 2, get_device_name=lambda n: f"GPU {n}"
    )
    monkeypatch.setattr(environment, "_NVIDIA", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=idle))
    assert environment._gpus() == []
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=active))
    assert environment._gpus() == ["GPU 0", "GPU 1"]
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace())  # half imported
    assert environment._gpus() == []


@pytest.mark.parametrize(
    ("script", "names"),
    [
        ("echo 'Tesla T4'; echo 'Tesla V100'", ["Tesla T4", "Tesla V100"]),
        ("echo broken; exit 9", []),
    ],
)
def test_gpu_names_come_from_nvidia_smi_at_last(tmp_path, monkeypatch, script, names):
    """Where the driver has no list, its program is asked; its error message is no GPU."""
    program(tmp_path, "nvidia-smi", script)
    monkeypatch.setattr(environment, "_NVIDIA", tmp_path / "none")
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert environment._gpus() == names


def test_a_hostile_process_is_described_without_an_exception(tmp_path, monkeypatch):
    """Whatever a program did to its interpreter, the rest of the record is there."""
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    monkeypatch.setattr(sys, "orig_argv", ["python", "bad\udcff", "x" * 10_000, None])
    monkeypatch.setattr(sys, "path", None)
    monkeypatch.setitem(sys.modules, "__main__", SimpleNamespace(__file__=3))
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=3))
    found = capture()
    assert found["host"]
    assert not {"command", "cwd", "packages", "script"} & set(found)
    for arguments in ([], ["a"] * 5000):
        monkeypatch.setattr(sys, "orig_argv", arguments)
        assert len(capture()["command"]) <= environment.MAX_ARGUMENTS + 1


def test_long_and_undecodable_arguments_are_kept_in_bounds(monkeypatch):
    """The record stays UTF-8 and small; a secret is masked before a text is cut."""
    secret = "https://me:" + "s" * 9000 + "@host/x"
    monkeypatch.setattr(sys, "orig_argv", ["bad\udcff", "x" * 10_000, secret])
    bad, long, masked = capture()["command"]
    assert bad == "bad\\udcff"
    assert long == "x" * environment.MAX_TEXT + "… (10000 characters)"
    assert masked == "https://***@host/x"


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("https://me:pass@host/x", "https://***@host/x"),
        ("--url=https://token@host", "--url=https://***@host"),
        ("a=ftp://u:p@h b=s3://k:s@h", "a=ftp://***@h b=s3://***@h"),
        ("https://u:p@ss@host/x", "https://***@host/x"),
        ("postgres://u:p/w?#@host/db", "postgres://***@host/db"),
        ("git+ssh://git:pw@h/x@v1", "git+ssh://***@h/x@v1"),
        ('get("http://u:p@[::1]:80/")', 'get("http://***@[::1]:80/")'),
        ("https://:p@host", "https://***@host"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("https://host/@scope/pkg", "https://host/@scope/pkg"),
        ("git@host:a/b.git", "git@host:a/b.git"),
        ("me@host", "me@host"),
        ("", ""),
    ],
)
def test_credentials_in_urls_are_masked(text, masked):
    """What stands before the @ of a URL is masked, and nothing else."""
    assert without_credentials(text) == masked


def test_masking_takes_time_in_proportion_to_the_text():
    """No argument makes the search for credentials slow."""
    start = time.monotonic()
    for text in (
        "x://a:" * 50_000 + "@",
        "x://a:" * 50_000,
        "x://a:" * 50_000 + " @",
        "@" * 300_000,
    ):
        without_credentials(text)
    assert time.monotonic() - start < 5


def test_a_process_knows_itself():
    """One's own identity is alive, in any order of keys and after a trip through JSON."""
    identity = process_identity()
    assert identity["pid"] == os.getpid()
    assert process_alive(json.loads(json.dumps(identity))) in (True, None)
    if sys.platform == "linux":
        assert process_alive(identity) is True
        assert isinstance(identity["process_start"], int)


@LINUX
def test_a_living_child_is_alive_until_it_is_killed(living):
    """A killed process is dead at once, also before its parent has taken note."""
    identity, process = living
    assert identity["pid"] == process.pid
    assert process_alive(identity) is True
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    assert process_alive(identity) is False
    process.wait()
    assert process_alive(identity) is False


@LINUX
def test_another_process_under_the_same_pid_is_not_it(living):
    """A pid that was given out again does not keep an old session alive."""
    identity, _ = living
    assert process_alive({**identity, "process_start": identity["process_start"] - 1}) is False


@LINUX
def test_an_earlier_boot_of_this_host_is_dead(living):
    """After a reboot no process of before is there."""
    identity, _ = living
    assert process_alive({**identity, "boot_id": "another"}) is False


@LINUX
@pytest.mark.parametrize(
    "change",
    [
        {"host": "another"},
        {"host": None},
        {"pid_namespace": "pid:[1]"},
        {"process_start": None},
        {"process_start": "7"},
        {"pid": None},
        {"pid": "1"},
        {"pid": True},
        {"pid": 1.0},
        {"pid": 0},
        {"pid": -1},
        {"pid": 2**31},
        {"pid": 2**80},
    ],
)
def test_what_cannot_be_told_from_here_is_unknown(living, change):
    """Other hosts and containers, and malformed identities, are neither alive nor dead."""
    identity, _ = living
    assert process_alive({**identity, **change}) is None


@LINUX
def test_missing_boot_and_namespace_are_not_held_against_a_process(living):
    """An identity from a system without them is judged by what it has."""
    identity, _ = living
    assert process_alive({**identity, "boot_id": None, "pid_namespace": None}) is True
    few = {key: identity[key] for key in ("host", "pid", "process_start")}
    assert process_alive(few) is True


@LINUX
def test_a_name_full_of_parentheses_does_not_hide_the_start():
    """The program's name in /proc may hold spaces and parentheses; the fields after it count."""
    name = "open('/proc/self/comm', 'w').write('x) R 9 (');"
    process, identity = child(name + SAY % "process_identity()" + "; import time; time.sleep(60)")
    try:
        assert b" (x) R 9 () " in Path(f"/proc/{process.pid}/stat").read_bytes()
        assert identity["process_start"] >= process_identity()["process_start"]
        assert process_alive(identity) is True
    finally:
        process.kill()
        process.communicate()


@LINUX
def test_hidden_processes_are_unknown_and_absent_ones_dead(living, monkeypatch):
    """Where /proc hides other users' processes, only an absent pid is certain."""
    identity, process = living
    monkeypatch.setattr(environment, "_process_status", lambda pid: None)
    assert process_alive(identity) is None
    monkeypatch.setattr(os, "kill", lambda pid, number: (_ for _ in ()).throw(PermissionError))
    assert process_alive(identity) is None
    monkeypatch.undo()
    process.kill()
    process.wait()
    monkeypatch.setattr(environment, "_process_status", lambda pid: None)
    assert process_alive(identity) is False


@LINUX
def test_a_forked_child_has_an_identity_of_its_own():
    """Nothing of the identity is kept from before the fork."""
    mine = process_identity()
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(process_identity()).encode())
        os._exit(0)
    theirs = json.loads(os.read(reader, 4096))
    assert os.waitpid(pid, 0)[1] == 0
    os.close(reader)
    os.close(writer)
    assert theirs["pid"] == pid
    assert theirs["process_start"] >= mine["process_start"]
    assert process_alive(theirs) is False


ANY = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text("ab1"), st.lists(st.none())
)


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from([*process_identity(), "x"]), ANY))
def test_no_identity_makes_the_question_fail(values):
    """A run folder may hold anything where an identity should be."""
    assert process_alive(values) in (True, False, None)
    assert process_alive({**process_identity(), **values}) in (True, False, None)
