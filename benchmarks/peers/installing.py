"""A virtual environment for each logger, made once and kept."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from pathlib import Path


def python_of(name: str, packages: Sequence[str], say: Callable[[str], None]) -> Path:
    """The interpreter that has some packages; its environment is made when there is none yet.

    Args:
        name: of the environment.
        packages: what pip installs; this very interpreter is enough for none.
        say: told what is installed.

    Raises:
        OSError: the environment cannot be made.
        subprocess.SubprocessError: pip did not install it.
    """
    if not packages:
        return Path(sys.executable)
    folder = _cache() / name
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    stamp = folder / "installed"
    wanted = "\n".join([sys.version, *packages])
    if stamp.exists() and stamp.read_text() == wanted:
        return python
    say(f"installing {', '.join(packages)} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    venv.create(folder, with_pip=True)
    command = [python, "-m", "pip", "install", "--quiet", "--no-input", "numpy", "pillow"]
    subprocess.run([*command, *packages], check=True, capture_output=True, text=True, timeout=900)
    stamp.write_text(wanted)
    return python


def told(error: Exception) -> str:
    """The last thing that a process said, or the error."""
    said = getattr(error, "stderr", None) or ""
    lines = (said if isinstance(said, str) else said.decode(errors="replace")).strip().splitlines()
    return (lines[-1] if lines else f"{type(error).__name__}: {error}")[:300]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "ml-dash-benchmarks"
