"""What the figures were measured on."""

from __future__ import annotations

import os
import platform
import time
from importlib import metadata
from pathlib import Path


def describe(folder: Path, scale: str) -> str:
    """One paragraph: processor, memory, file system, versions, load and date."""
    packages = ("numpy", "orjson", "simplejpeg", "Pillow", "deflate")
    versions = ", ".join(f"{name} {found}" for name in packages if (found := _version(name)))
    return (
        f"Measured on {time.strftime('%Y-%m-%d')}: {_processor()}, {cores()} cores, {_memory()},"
        f" {_filesystem(folder)}; {platform.system()} {platform.release()},"
        f" {platform.python_implementation()} {platform.python_version()}, {versions};"
        f" {scale} sizes, load before the start {_load()}."
    )


def cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        return os.cpu_count() or 1


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory() -> str:
    try:
        size = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return "unknown memory"
    return f"{size / 2**30:.0f} GB"


def _filesystem(folder: Path) -> str:
    try:
        lines = Path("/proc/self/mounts").read_text().splitlines()
    except OSError:
        return "unknown file system"
    mounts = [line.split()[1:3] for line in lines]
    above = {str(path) for path in (folder.absolute(), *folder.absolute().parents)}
    return max((m for m in mounts if m[0] in above), key=lambda m: len(m[0]), default=["", "?"])[1]


def _load() -> str:
    try:
        return f"{os.getloadavg()[0]:.1f}"
    except (AttributeError, OSError):
        return "unknown"
