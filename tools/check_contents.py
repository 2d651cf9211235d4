"""Checks what is in an sdist and a wheel, and what they say of themselves.

    python tools/check_contents.py FOLDER          the folder that `python -m build` wrote to

The wheel holds the sources of the four packages, whole, and nothing else. The sdist holds what the
wheel is built from and what its tests need. Nothing names the machine that it was built on.
"""

from __future__ import annotations

import email
import sys
import tarfile
import tomllib
import zipfile
from email.message import Message
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).parents[1]
PACKAGES = {
    "ml_dash": "ml_dash",
    "ml_dash_gymnasium": "integrations/ml_dash_gymnasium",
    "ml_dash_lightning": "integrations/ml_dash_lightning",
    "ml_dash_mujoco": "integrations/ml_dash_mujoco",
}
SOURCES = {"", ".py", ".css", ".html", ".js", ".mako", ".svg"}
"""How files in the wheel may end; `py.typed` has its own line."""

INDISPENSABLE = (
    *(f"{package}/py.typed" for package in PACKAGES),
    "ml_dash/server/migrations/script.py.mako",
    "ml_dash/server/migrations/env.py",
    "ml_dash/server/accounts/templates/login.html",
    "ml_dash/server/pages/page.html",
    "ml_dash/server/pages/static/player.js",
    "ml_dash/server/pages/static/base.css",
)
TOLD = {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"}
"""What stands in the wheel beside the packages."""

OF_THE_SDIST = (
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "constraints.txt"),
    *("pyproject.toml", "PKG-INFO", ".ci/run", "tools/setup.sh", "examples/robot.py"),
    *("examples/arm.xml", "docs/format.md", "docs/images/player.png", "tests/conftest.py"),
    *("benchmarks/README.md", "integrations/ml_dash_mujoco/py.typed"),
)
LEFTOVERS = {"__pycache__", ".git", ".dash", ".hypothesis", ".mypy_cache", ".ruff_cache", "build"}
FIELDS = {
    "Name": "ml-dash",
    "License-Expression": "MIT",
    "License-File": "LICENSE",
    "Requires-Python": ">=3.11",
    "Description-Content-Type": "text/markdown",
}


class ContentsError(Exception):
    """Something is missing, or too much."""


def demand(holds: bool, text: str) -> None:
    """Stop with a text unless something holds."""
    if not holds:
        raise ContentsError(text)


def sources() -> dict[str, bytes]:
    """What belongs into the wheel: each file of the packages, by its name there."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                name = PurePosixPath(package, path.relative_to(ROOT / folder).as_posix())
                found[str(name)] = path.read_bytes()
    return found


def check_wheel(path: Path, version: str) -> Message:
    """Compare a wheel with the sources; what it says of itself."""
    with zipfile.ZipFile(path) as wheel:
        files = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    info = f"ml_dash-{version}.dist-info/"
    told = {name.removeprefix(info): files.pop(name) for name in [*files] if name.startswith(info)}
    demand(told.keys() == TOLD, f"{path.name}: beside the packages {sorted(told.keys() ^ TOLD)}")
    demand(told["licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes(), "the licence is another")
    entry = told["entry_points.txt"].decode().split()
    wanted = ["[console_scripts]", "ml-dash", "=", "ml_dash.__main__:main"]
    demand(entry == wanted, f"commands: {entry}")
    wanted = sources()
    demand(
        files.keys() == wanted.keys(),
        f"{path.name}: missing or too much: {sorted(files.keys() ^ wanted.keys())}",
    )
    for name, content in files.items():
        demand(content == wanted[name], f"{path.name}: {name} is not that of the sources")
        suffix = PurePosixPath(name).suffix
        known = suffix in SOURCES or PurePosixPath(name).name == "py.typed"
        demand(
            known, f"{path.name}: {name} is no source; if it belongs there, say so in {__file__}"
        )
    for name in INDISPENSABLE:
        demand(name in files, f"{path.name}: {name} is missing")
    no_paths(path, files | told)
    return email.message_from_bytes(told["METADATA"])


def check_sdist(path: Path, version: str) -> None:
    """See that an sdist is whole and clean, and has the sources as they are."""
    with tarfile.open(path) as archive:
        files = {}
        for member in archive:
            demand(member.isfile(), f"{path.name}: {member.name} is no plain file")
            content = archive.extractfile(member)
            assert content is not None
            files[member.name.removeprefix(f"ml_dash-{version}/")] = content.read()
    for name in OF_THE_SDIST:
        demand(name in files, f"{path.name}: {name} is missing")
    for name, content in files.items():
        left = LEFTOVERS.intersection(PurePosixPath(name).parts)
        demand(not left, f"{path.name}: {name} does not belong there")
        demand(not name.startswith("/") and ".." not in name, f"{path.name}: {name}")
        if name != "PKG-INFO":
            demand(content == (ROOT / name).read_bytes(), f"{path.name}: {name} is another")
    no_paths(path, files)


def no_paths(path: Path, files: dict[str, bytes]) -> None:
    """See that no file names the folder it was built in, or the user's."""
    for place in (ROOT, Path.home()):
        if len(place.parts) < 3:  # such as /src: too short to be told from what files say anyway
            continue
        for name, content in files.items():
            demand(f"{place}/".encode() not in content, f"{path.name}: {name} names {place}")


def check_metadata(told: Message, version: str) -> None:
    """See that nothing is missing of what an index shows and pip decides by."""
    for field, value in FIELDS.items():
        demand(told[field] == value, f"{field} is {told[field]!r}, not {value!r}")
    demand(told["Version"] == version, f"the wheel is {told['Version']}, the sources {version}")
    demand(len(told["Summary"] or "") > 20, "there is no summary")
    demand(bool(told["Keywords"]), "there are no keywords")
    readme = (ROOT / "README.md").read_bytes()
    demand(told.get_payload(decode=True) == readme, "the description is not README.md")
    named = told.get_all("Classifier") or []
    for wanted in ("Typing :: Typed", "Operating System :: POSIX :: Linux"):
        demand(wanted in named, f"the classifier {wanted} is missing")
    demand(not any("License ::" in name for name in named), "a classifier repeats the licence")
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = set(told.get_all("Provides-Extra") or ())
    demand(extras == project["optional-dependencies"].keys(), f"extras: {sorted(extras)}")


def main() -> None:
    """Check both; say what is wrong, and end with 1."""
    folder = Path(sys.argv[1])
    namespace: dict[str, str] = {}
    exec((ROOT / "ml_dash/version.py").read_text(), namespace)
    version = namespace["__version__"]
    try:
        (wheel,) = folder.glob("*.whl")
        (sdist,) = folder.glob("*.tar.gz")
        check_metadata(check_wheel(wheel, version), version)
        check_sdist(sdist, version)
    except ContentsError as error:
        sys.exit(str(error))
    for path in (sdist, wheel):
        print(f"{path.name}: {path.stat().st_size / 1e6:.1f} MB, contents and metadata are whole")


if __name__ == "__main__":
    main()
