"""Where a session runs: what is recorded of it, and whether its process is still there.

`capture` is meant for a background thread: it never raises, gives up on another program after two
seconds, and imports nothing heavy. It records no environment variable and masks credentials in
URLs.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ml_dash.ids import boot_id, host_name, pid_namespace
from ml_dash.scratch import scratch_file

TIMEOUT = 2.0
"""Seconds that another program (git, nvidia-smi) is given to answer."""

MAX_TEXT = 4096
"""The longest text kept of one argument, in characters."""

MAX_ARGUMENTS = 1000
"""The most arguments kept of a command line."""

_MAX_OUTPUT = 1 << 16
_NVIDIA = Path("/proc/driver/nvidia/gpus")
# What stands before the last `@` of a URL's authority; or, as passwords hold slashes in practice,
# before any `@` after `user:`, unless what follows the colon is a port.
_USERINFO = r"(?<=://)(?:[^/?#]*@|[^/?#:@\[]*:(?![0-9]+(?:[/?#]|\Z))[^@]*@)"


def capture() -> dict[str, Any]:
    """Describe the host, the program and the interpreter in plain JSON types.

    Returns:
        What could be found out of these, the rest left out:

        - `host`, `user`, `os` (name and release), `distribution`, `architecture`, `cpus`,
          `usable_cpus` (those this process may run on), `memory_bytes`, `gpus` (names);
        - `command` (a list, the interpreter and its options included), `script`, `cwd`;
        - `python`: `version`, `implementation`, `executable`;
        - `packages`: the version of every installed distribution by its name;
        - `git`: `commit` (null before the first), `branch` (null when detached), `dirty` (tracked
          files differ from the commit), `remote`: of the script's repository, else of the
          working directory's.
    """
    found: dict[str, Any] = {}
    for key, question in _QUESTIONS.items():
        try:
            answer = question()
        except Exception:  # noqa: BLE001 - a description must never stop what it describes
            continue
        if answer not in (None, "", [], {}):
            found[key] = answer
    return found


def process_identity() -> dict[str, Any]:
    """What tells this process from any other: kept with a session, asked by `process_alive`.

    Returns:
        `host`, `pid`, and, each `None` where the system has no such thing: `boot_id`,
        `process_start` (clock ticks since boot), `pid_namespace` (containers may share host and
        boot, but not pids).
    """
    status = _process_status("self")
    return {
        "host": _text(host_name()),
        "pid": os.getpid(),
        "boot_id": boot_id(),
        "process_start": status[1] if status else None,
        "pid_namespace": pid_namespace(),
    }


def process_alive(identity: Mapping[str, Any]) -> bool | None:
    """Whether the process that `process_identity` described still runs.

    Returns:
        `True` if its pid is there and began when it did; `False` if it is gone or a zombie, its
        pid is another's, or the host has booted since; `None` if that cannot be told from here:
        another host or container, a system without start times, a malformed identity.
    """
    pid = identity.get("pid")
    if type(pid) is not int or not 0 < pid < 2**31 or identity.get("host") != _text(host_name()):
        return None
    if _differ(identity.get("boot_id"), boot_id()):
        return False
    if _differ(identity.get("pid_namespace"), pid_namespace()):
        return None
    status = _process_status(pid)
    if status is None:
        return None if _pid_exists(pid) else False
    state, start, threads = status
    if state in "ZX" and threads < 2:
        # With other threads left, one may be in the middle of a write that a kill lets finish.
        return False
    began = identity.get("process_start")
    return start == began if type(began) is int else None


def without_credentials(text: str, mask: str = "***@") -> str:
    """Mask what stands before the `@` in the URLs of a text: `https://***@host/path`."""
    words = re.split(r"(\s+)", text)
    for index, word in enumerate(words):
        # Up to the last @ every attempt of the pattern ends at one: no text makes it quadratic.
        before, at, after = word.rpartition("@")
        words[index] = re.sub(_USERINFO, mask, before + at) + after
    return "".join(words)


def _differ(one: Any, other: Any) -> bool:
    """Whether both are known and not the same."""
    return isinstance(one, str) and isinstance(other, str) and one != other


def _process_status(pid: int | str) -> tuple[str, int, int] | None:
    """State (`R`, `S`, `Z`, …), start and number of threads; `None` if `/proc` does not tell."""
    try:
        if Path("/proc/self").readlink().name != str(os.getpid()):
            return None  # the /proc of another namespace: its pids are not ours
        # The second field is the program's name in parentheses, and may hold any character.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return fields[0].decode("ascii"), int(fields[19]), int(fields[17])
    except (OSError, ValueError, IndexError):
        return None


def _pid_exists(pid: int) -> bool:
    if os.name == "nt":
        return True  # signal 0 is Ctrl-C there; who cannot ask does not say that it is gone
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # it is there, and somebody else's
    return True


def _text(value: str) -> str:
    """A string that UTF-8 can hold, credentials masked, of bounded length."""
    text = without_credentials(value.encode("utf-8", "backslashreplace").decode())
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}… ({len(text)} characters)"


def _user() -> str | None:
    # From the file, and not through `pwd` or `getpass`: the first may ask a directory server and
    # wait for it, the second reads environment variables.
    uid = str(os.getuid())
    for line in Path("/etc/passwd").read_text("utf-8", "replace").splitlines():
        fields = line.split(":")
        if len(fields) > 2 and fields[2] == uid:
            return fields[0]
    return None


def _os() -> str:
    if hasattr(os, "uname"):
        return f"{os.uname().sysname} {os.uname().release}"
    import platform

    return platform.platform()


def _distribution() -> str:
    import platform

    return platform.freedesktop_os_release()["PRETTY_NAME"]


def _command() -> list[str]:
    command = [_text(argument) for argument in sys.orig_argv or sys.argv]
    rest = len(command) - MAX_ARGUMENTS
    return command if rest <= 0 else [*command[:MAX_ARGUMENTS], f"… ({rest} more)"]


def _script() -> str | None:
    path = getattr(sys.modules.get("__main__"), "__file__", None)
    return _text(str(Path(path).absolute())) if path else None


def _python() -> dict[str, str]:
    return {
        "version": sys.version.split()[0],
        "implementation": sys.implementation.name,
        "executable": _text(sys.executable),
    }


def _packages() -> dict[str, str]:
    """Every installed distribution, the first on the path winning, as the import system has it.

    Read from the names of the metadata folders: one listing for each entry of the path.
    `importlib.metadata` opens and parses a file for each package instead, which takes fifty times
    as long, holds the interpreter lock, and is slow on a network file system.
    """
    found: dict[str, str] = {}
    for entry in list(sys.path):
        try:
            names = os.listdir(entry or ".")  # noqa: PTH208 - names are wanted, not paths
        except (OSError, TypeError, ValueError):
            continue  # a zip file, a folder that is not there, or no path at all
        for name, version in _distributions(entry, names):
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), _text(version))
    return dict(sorted(found.items()))


def _distributions(entry: str, names: list[str]) -> Iterator[tuple[str, str]]:
    for file in names:
        stem, kind = os.path.splitext(file)  # noqa: PTH122 - thousands of names
        if kind not in (".dist-info", ".egg-info") or file.startswith("~"):
            continue  # pip renames what it could not delete to ~…
        if kind == ".egg-info":
            stem = re.sub(r"-py[0-9.]+.*\Z", "", stem)
        name, _, version = stem.rpartition("-")
        if name:
            yield name, version
        elif version := _egg_version(Path(entry, file, "PKG-INFO")):
            yield stem, version


def _egg_version(path: Path) -> str:
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            found = re.search(r"^Version:[ \t]*(\S+)", file.read(_MAX_OUTPUT), re.MULTILINE)
    except OSError:
        return ""
    return found[1] if found else ""


def _git() -> dict[str, Any] | None:
    program = _which("git")
    if program is None:
        return None
    places = [Path.cwd()]
    script = _script()
    if script and script.endswith(".py") and "site-packages" not in script:
        places.insert(0, Path(script).parent)
    return next(filter(None, (_repository(program, place) for place in places)), None)


def _repository(program: str, place: Path) -> dict[str, Any] | None:
    """What git says of the repository that `place` is in; `None` if it is in none."""
    # An fsmonitor is a program that the repository names; untracked files are left out, because
    # our own run folder would make every tree dirty and looking for them takes longest.
    git = [program, "-C", str(place), "-c", "core.fsmonitor=false"]
    code, status = _output([*git, "status", "--porcelain=v2", "--branch", "--untracked-files=no"])
    if code == 0:
        lines = status.splitlines()
        heads = dict(line[2:].split(" ", 1) for line in lines if line.startswith("# "))
        found: dict[str, Any] = {
            "commit": None if heads["branch.oid"] == "(initial)" else heads["branch.oid"],
            "branch": None if heads["branch.head"] == "(detached)" else heads["branch.head"],
            "dirty": any(not line.startswith("# ") for line in lines),
        }
    elif code is None:  # a huge tree; its commit is to be had without looking at the files
        code, answer = _output([*git, "rev-parse", "HEAD", "--abbrev-ref", "HEAD"])
        if code != 0:
            return None
        commit, branch = answer.splitlines()
        found = {"commit": commit, "branch": None if branch == "HEAD" else branch}
    else:
        return None
    code, answer = _output([*git, "config", "-z", "--get-regexp", r"^remote\..*\.url$"])
    remotes = dict(line.partition("\n")[::2] for line in answer.split("\0") if "\n" in line)
    if remotes:
        url = remotes.get("remote.origin.url") or next(iter(remotes.values()))
        found["remote"] = _text(without_credentials(url, "").partition("?")[0])
    return found


def _gpus() -> list[str]:
    """The names of the GPUs, without ever initialising CUDA: a process that did cannot fork."""
    cards = (file.read_text("utf-8", "replace") for file in sorted(_NVIDIA.glob("*/information")))
    found = (re.search(r"^Model:[ \t]*(.+)", card, re.MULTILINE) for card in cards)
    if names := [_text(model[1].strip()) for model in found if model]:
        return names
    cuda = getattr(sys.modules.get("torch"), "cuda", None)
    if cuda is not None and cuda.is_initialized():
        return [_text(cuda.get_device_name(index)) for index in range(cuda.device_count())]
    program = _which("nvidia-smi")
    if program is None:
        return []
    code, answer = _output([program, "--query-gpu=name", "--format=csv,noheader"])
    return [_text(line.strip()) for line in answer.splitlines() if line.strip()] if not code else []


def _which(program: str) -> str | None:
    import shutil  # and `subprocess` below: loaded by `lazy.storing`, and not by `import ml_dash`

    return shutil.which(program)


def _output(command: list[str]) -> tuple[int | None, str]:
    """Run a program: its exit code, `None` after `TIMEOUT`, and the beginning of its output.

    The output goes to a file and descriptors stay open, by which `subprocess` needs no pipe: a
    process forked by another thread at the wrong moment, or a grandchild, would hold a pipe's other
    end, and reading it would have no end in time.
    """
    import subprocess

    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0"}
    with scratch_file() as sink:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.DEVNULL,
            env=environment,
            close_fds=False,  # Python's own are not inherited anyway
        )
        try:
            code: int | None = process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
            try:
                process.wait(TIMEOUT / 4)
            except subprocess.TimeoutExpired:
                pass  # stuck in the kernel, as on a dead network file system
        sink.seek(0)
        return code, sink.read(_MAX_OUTPUT).decode("utf-8", "backslashreplace")


_QUESTIONS: dict[str, Callable[[], Any]] = {
    "host": lambda: _text(host_name()),
    "user": _user,
    "os": _os,
    "distribution": _distribution,
    "architecture": lambda: os.uname().machine,
    "cpus": os.cpu_count,
    "usable_cpus": lambda: len(os.sched_getaffinity(0)),
    "memory_bytes": lambda: os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
    "command": _command,
    "script": _script,
    "cwd": lambda: _text(str(Path.cwd())),
    "python": _python,
    "packages": _packages,
    "git": _git,
    "gpus": _gpus,
}
