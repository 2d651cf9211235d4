"""What it costs to have ML-Dash: its import, its size on disk, and the start of a run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from benchmarks.memory import REPOSITORY
from benchmarks.recording import PREFIX, Bench
from benchmarks.table import Result, duration, megabytes
from benchmarks.timing import Stretch, interleave, median, ratio, stretch
from ml_dash import Experiment

HEAVY = ("numpy", "PIL", "requests", "simplejpeg", "deflate", "pandas", "torch")
"""Modules that `import ml_dash` must leave for first use."""

_LIMIT = 60e6


def import_time(bench: Bench) -> Iterator[Result]:
    """Whole interpreters, started one after the other."""
    for code in ("import ml_dash", "from ml_dash import Experiment", "import numpy"):
        _python(code)  # which compiles what was changed since; installed packages come compiled
    floors, modules, names, numpys = interleave(
        bench.scale.starts,
        lambda _: _python("pass"),
        lambda _: _python("import ml_dash"),
        lambda _: _python("from ml_dash import Experiment"),
        lambda _: _python("import numpy"),
    )
    loaded = _modules("from ml_dash import Experiment") - _modules("pass")
    ours = {name for name in loaded if name.partition(".")[0] == "ml_dash"}
    others = sorted({name.partition(".")[0] for name in loaded - ours} - sys.stdlib_module_names)
    early = sorted(loaded & set(HEAVY))
    counted = all(s.cpu for s in floors)
    for what, found in (("import ml_dash", modules), ("from ml_dash import Experiment", names)):
        share = ratio([s.wall for s in found], [s.wall for s in floors])
        yield Result(
            f"`python -c '{what}'`",
            "at most 4 × `python -c pass`",
            duration(median([s.wall for s in floors])),
            duration(median([s.wall for s in found])),
            share,
            ratio([s.cpu for s in found], [s.cpu for s in floors]) if counted else None,
            share <= 4 and not early,
            ""
            if found is modules
            else f"loads {len(ours)} modules of ours, {len(loaded - ours)} others, of which not of"
            f" the standard library: {', '.join(others) or 'none'}"
            + (f"; **too early: {', '.join(early)}**" if early else "")
            + f". `import numpy` alone takes {duration(median([s.wall for s in numpys]))}",
        )


def install_size(bench: Bench) -> Iterator[Result]:
    """The files of the package and of all that a plain `pip install` brings along."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    sizes = {"ml-dash": _size_of_tree(REPOSITORY / "ml_dash")}
    wanted = [_name(line) for line in project["dependencies"]]
    missing = []
    while wanted:
        name = wanted.pop()
        if name in sizes or name in missing:
            continue
        try:
            distribution = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            missing.append(name)
            continue
        sizes[name] = sum(
            Path(str(file.locate())).stat().st_size
            for file in distribution.files or ()
            if Path(str(file.locate())).is_file()
        )
        wanted += [_name(line) for line in distribution.requires or () if "extra ==" not in line]
    total = sum(sizes.values())
    parts = sorted(sizes.items(), key=lambda item: -item[1])
    yield Result(
        "core install, byte code included",
        f"under {megabytes(_LIMIT)}",
        "",
        megabytes(total),
        total / _LIMIT,
        met=total < _LIMIT,
        note=", ".join(f"{name} {megabytes(size)}" for name, size in parts)
        + (f"; not installed and not counted: {', '.join(missing)}" if missing else "")
        + "; ratio is to the limit",
    )


def run_start(bench: Bench) -> Iterator[Result]:
    """Starting and ending an empty run, with the environment recorded and without."""

    def ours(environment: bool) -> tuple[float, float]:
        with bench.place() as root:
            experiment = Experiment(PREFIX, dash_root=root, echo=False, environment=environment)
            begin = time.perf_counter()
            experiment.run.start()
            started = time.perf_counter()
            experiment.run.complete()
            return started - begin, time.perf_counter() - started

    plain, full = interleave(bench.scale.starts, lambda _: ours(False), lambda _: ours(True))
    start, end = (median([times[i] for times in full]) for i in (0, 1))
    yield Result(
        "start of a run, the environment recorded",
        "",
        f"{duration(median([times[0] for times in plain]))} (`environment=False`)",
        duration(start),
        note=f"ending the empty run at once: {duration(end)},"
        f" {duration(median([times[1] for times in plain]))} without the environment",
    )


def _python(code: str) -> Stretch:
    before = _children()
    with stretch() as taken:
        subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, env=_plain(), check=True)
    taken.cpu = _children() - before
    return taken


def _plain() -> dict[str, str]:
    """The environment without Python's own variables, some of which forbid to keep byte code."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}


def _children() -> float:
    """CPU seconds of all processes that have ended."""
    try:
        import resource
    except ImportError:  # Windows, which does not count them either
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _modules(code: str) -> set[str]:
    text = f"{code}\nimport sys\nprint(*sys.modules)"
    command = [sys.executable, "-c", text]
    done = subprocess.run(
        command, cwd=REPOSITORY, env=_plain(), check=True, capture_output=True, text=True
    )
    return set(done.stdout.split())


def _name(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def _size_of_tree(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
