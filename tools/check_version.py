"""Checks that everything that names the version names the same one.

`ml_dash/version.py` is the source. The first heading of CHANGELOG.md names it; so do the documents
wherever they quote what ML-Dash prints of itself.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

import ml_dash

ROOT = Path(__file__).parents[1]
_HEADING = re.compile(r"^## (\S+) \((unreleased|\d{4}-\d\d-\d\d)\)$", re.MULTILINE)
_QUOTED = re.compile(r"\bml[-_]dash[\" :=v/]{1,6}(\d+\.\d+(?:\.\d+)?(?:(?:a|b|rc)\d+)?)\b")
_PRELIMINARY = re.compile(r"\b(\d+\.\d+\.\d+(?:a|b|rc)\d+)\b")


def quoted() -> list[tuple[str, str]]:
    """Where a document names a version of ML-Dash, and which."""
    found = []
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
            named = {*_QUOTED.findall(line), *_PRELIMINARY.findall(line)}
            place = f"{path.relative_to(ROOT)}:{number}"
            # Below 1 was another program of this name, which a page may compare with.
            found += [(place, version) for version in named if not version.startswith("0.")]
    return found


def problems() -> list[str]:
    """What does not agree, one line each."""
    version = ml_dash.__version__
    told = []
    heading = _HEADING.search((ROOT / "CHANGELOG.md").read_text("utf-8"))
    if heading is None or heading[1] != version:
        told.append(f"CHANGELOG.md: its first heading is not `## {version} (unreleased)` or a date")
    for place, named in quoted():
        if named != version:
            told.append(f"{place}: names ml-dash {named}; this is {version}")
    return told


def main() -> None:
    """Say what does not agree, and end with 1."""
    if found := problems():
        sys.exit("\n".join(found))
    heading = _HEADING.search((ROOT / "CHANGELOG.md").read_text("utf-8"))
    assert heading is not None
    dated = "" if heading[2] != "unreleased" else "; CHANGELOG.md calls it unreleased: date it"
    print(f"ml-dash {ml_dash.__version__}: CHANGELOG.md and documents agree{dated}")


if __name__ == "__main__":
    main()
