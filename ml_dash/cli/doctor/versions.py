"""Which versions are installed: ML-Dash, Python, what it needs, and what each extra brings."""

from __future__ import annotations

import platform
import re
import sys
from importlib import metadata
from typing import NamedTuple

from ml_dash.cli.doctor.findings import Section
from ml_dash.version import __version__

_DISTRIBUTION = "ml-dash"
_DEVELOPERS = ("dev", "docs")
_REQUIREMENT = re.compile(r"([\w.-]+)(?:\[[^\]]*\])?\s*(?:\(?([^;)]*)\)?)?\s*(?:;\s*(.*))?")
_EXTRA = re.compile(r"""extra\s*==\s*['"]([\w-]+)['"]""")


class Requirement(NamedTuple):
    """One line of what the package says that it needs.

    Attributes:
        package: its distribution.
        least: the least version of it, empty if any will do.
        extra: which extra needs it, empty for the core.
    """

    package: str
    least: str
    extra: str


def examine_versions(section: Section) -> None:
    """Tell the versions of ML-Dash, Python and the packages that ML-Dash always needs."""
    section.tell("ml-dash", __version__)
    build = f"{platform.python_implementation()} {platform.python_version()}"
    section.tell("python", platform.python_version(), f"{build} at {sys.executable}")
    section.tell("platform", platform.platform())
    for needed in requirements():
        if needed.extra:
            continue
        found = installed(needed.package)
        section.tell(needed.package, found, found or "not installed")
        _judge(section, needed, found, f'pip install "{needed.package}>={needed.least}"')
    if not requirements():
        section.note(
            "ml-dash is not installed as a package, so its extras are not known",
            "install it with pip",
        )


def examine_extras(section: Section) -> None:
    """Tell of each extra what of it is installed; none of them has to be."""
    wanted: dict[str, list[Requirement]] = {}
    for needed in requirements():
        if needed.extra not in ("", *_DEVELOPERS):
            wanted.setdefault(needed.extra, []).append(needed)
    for extra, packages in sorted(wanted.items()):
        versions = {needed.package: installed(needed.package) for needed in packages}
        missing = [name for name, version in versions.items() if version is None]
        command = f'pip install "ml-dash[{extra}]"'
        there = ", ".join(f"{name} {version}" for name, version in versions.items() if version)
        if not missing:
            text = there
        elif there and len(missing) < len(versions):
            text = f"not installed: {', '.join(missing)}: {command}"
        else:
            text = f"not installed: {command}"
        section.tell(extra, {"installed": not missing, "packages": versions}, text)
        for needed in packages:
            if versions[needed.package] is not None:
                _judge(section, needed, versions[needed.package], command)


def requirements() -> list[Requirement]:
    """What the installed package says that it needs; nothing if it was not installed."""
    try:
        lines = metadata.requires(_DISTRIBUTION) or []
    except metadata.PackageNotFoundError:
        return []
    found = []
    for line in lines:
        parts = _REQUIREMENT.match(line)
        if parts is None:
            continue
        extra = _EXTRA.search(parts[3] or "")
        least = re.search(r">=\s*([\w.]+)", parts[2] or "")
        found.append(Requirement(parts[1], least[1] if least else "", extra[1] if extra else ""))
    return found


def installed(package: str) -> str | None:
    """The version of a distribution; `None` if it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _judge(section: Section, needed: Requirement, found: str | None, command: str) -> None:
    """Find a package wrong that is missing or too old."""
    if found is None:
        section.problem(f"{needed.package} is not installed; ML-Dash needs it", command)
    elif needed.least and _numbers(found) < _numbers(needed.least):
        section.problem(
            f"{needed.package} {found} is older than {needed.least}, which ML-Dash needs",
            f'pip install --upgrade "{needed.package}>={needed.least}"',
        )


def _numbers(version: str) -> tuple[int, ...]:
    """The release of a version, `1.10.2rc1` as (1, 10, 2), without zeros at its end."""
    release = re.match(r"(?:\d+!)?(\d+(?:\.\d+)*)", version)
    numbers = [int(part) for part in release[1].split(".")] if release else [0]
    while len(numbers) > 1 and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)
