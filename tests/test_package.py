"""What is published: the version, the extras, and that the checks of the packages can fail."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from types import ModuleType

import pytest

import ml_dash

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
FOR_USERS = EXTRAS.keys() - {"dev", "docs"}
NOT_INSTALLED_FOR_TESTS = {"tensorflow"}
"""For its size."""

NAMED = re.compile(r"""(?:ml-dash|["`]\.)\[([\w,]+)\]""")


def tool(name: str) -> ModuleType:
    """A module of the folder tools, which is no package."""
    spec = importlib.util.spec_from_file_location(f"tool_{name}", ROOT / f"tools/{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_everything_that_names_the_version_names_the_same() -> None:
    """The changelog begins with it, and documents quote no other."""
    assert tool("check_version").problems() == []


def test_another_version_in_a_document_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in a line of JSON; that of the earlier program of this name may stand there."""
    check = tool("check_version")
    monkeypatch.setattr(check, "ROOT", tmp_path)
    (tmp_path / "CHANGELOG.md").write_text("# Changelog\n\n## 0.9 (2020-01-01)\n")
    (tmp_path / "README.md").write_text("ml-dash 9.9.9\nml-dash 0.6.2\nnumpy 2.0.0\n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/a.md").write_text('{"version": "9.9.9rc1"}\n')
    places = [problem.partition(": ")[0] for problem in check.problems()]
    assert places == ["CHANGELOG.md", "README.md:1", "docs/a.md:1"]


def test_the_version_has_one_source() -> None:
    """What is imported is what is built."""
    assert "version" in PROJECT["dynamic"]
    assert ml_dash.__version__ in (ROOT / "ml_dash/version.py").read_text()


def test_every_extra_is_used_for_real_before_a_release() -> None:
    """By `make release`; and `make package` sees that its absence is told."""
    code = "import json, extras; print(json.dumps([*extras.USES]))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT / "tools",
        capture_output=True,
        text=True,
        check=True,
    )
    assert set(json.loads(done.stdout)) == FOR_USERS
    listed = re.search(
        r"^all=\((.*)\)$", (ROOT / "tools/check_release.sh").read_text(), re.MULTILINE
    )
    assert listed is not None
    assert {*listed[1].split()} == FOR_USERS - NOT_INSTALLED_FOR_TESTS


def test_every_extra_is_there_for_the_tests() -> None:
    """What users may install is installed where the suite runs."""
    for extra in EXTRAS.keys() - NOT_INSTALLED_FOR_TESTS:
        assert {*EXTRAS[extra]} <= {*EXTRAS["dev"]}, extra


def test_every_extra_that_is_named_exists() -> None:
    """In messages, in documents and in examples; the README's table names all."""
    for folder in ("ml_dash", "integrations", "examples", "docs", "benchmarks"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in (".py", ".md"):
                for found in NAMED.findall(path.read_text("utf-8")):
                    assert {*found.split(",")} <= EXTRAS.keys(), f"{path} names {found}"
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.partition("| extra | for |\n|---|---|\n")[2].partition("\n\n")[0]
    cells = "".join(line.split("|")[1] for line in table.splitlines())
    assert {*re.findall(r"`(\w+)`", cells)} == FOR_USERS


def wheel(folder: Path, changes: dict[str, bytes | None]) -> Path:
    """A wheel as it should be, but for some files that are others or missing."""
    info = f"ml_dash-{ml_dash.__version__}.dist-info/"
    files: dict[str, bytes | None] = {
        **tool("check_contents").sources(),
        f"{info}METADATA": b"Name: ml-dash\n\n",
        f"{info}RECORD": b"",
        f"{info}WHEEL": b"",
        f"{info}entry_points.txt": b"[console_scripts]\nml-dash = ml_dash.__main__:main\n",
        f"{info}licenses/LICENSE": (ROOT / "LICENSE").read_bytes(),
    }
    path = folder / "ml_dash.whl"
    with zipfile.ZipFile(path, "w") as made:
        for name, content in (files | changes).items():
            if content is not None:
                made.writestr(name, content)
    return path


def test_a_whole_wheel_passes(tmp_path: Path) -> None:
    """Which shows that the tests below fail for their own reason."""
    check = tool("check_contents")
    assert check.check_wheel(wheel(tmp_path, {}), ml_dash.__version__)["Name"] == "ml-dash"


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("ml_dash_mujoco/py.typed", None, "missing or too much"),
        ("tests/test_a.py", b"", "missing or too much"),
        ("ml_dash/__pycache__/a.pyc", b"", "missing or too much"),
        ("ml_dash/server/pages/static/player.js", b"//", "not that of the sources"),
    ],
)
def test_a_wheel_with_something_missing_or_too_much_is_refused(
    tmp_path: Path, name: str, content: bytes | None, said: str
) -> None:
    """The message names the file."""
    check = tool("check_contents")
    with pytest.raises(check.ContentsError, match=said) as caught:
        check.check_wheel(wheel(tmp_path, {name: content}), ml_dash.__version__)
    assert name in str(caught.value)


def test_metadata_without_a_field_is_refused(tmp_path: Path) -> None:
    """An index shows it, or pip decides by it."""
    check = tool("check_contents")
    told = check.check_wheel(wheel(tmp_path, {}), ml_dash.__version__)
    with pytest.raises(check.ContentsError, match="License-Expression"):
        check.check_metadata(told, ml_dash.__version__)
