"""The house: what stands on which floor, what `import ml_dash` costs, how long things may be.

Imports go downward only, those inside functions and for type checkers among them. A module that
another one loads by its name, as a string, counts as imported.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).parents[1] / "ml_dash"

# From the ground up. What ends in a slash is a package: its modules may import each other, without
# a ring. All others on one floor do not know each other.
FLOORS = (
    "clock decorate dotted errors hints ids names scratch settings steps values version wakeup",
    "exits turns",
    "environment moment pace rows run_paths wire",
    "remote/",
    "auth/",
    "backends/ configs image/",
    "details lazy run_folder",
    "buffer/",
    "loaders/",
    "export/",
    "reading/",
    "files/ frame_names log metrics/ params track_slice",
    "session/ track",
    "server/ sync/",
    "recorder run_end run_rows",
    "run",
    "experiment",
    "__init__ auto_start",
    "cli/",
    "__main__",
)
LONGEST_FILE = 360  # lines
LONGEST_FUNCTION = 60  # lines, its docstring included
ALLOWED_AT_IMPORT = {"orjson"}
HEAVY = ("numpy", "PIL", "requests", "simplejpeg", "deflate")
SELDOM = {"decimal", "fractions", "hashlib", "random", "secrets", "subprocess", "tempfile"}
FRAMEWORKS = (
    *("torch", "tensorflow", "jax", "lightning", "gymnasium", "mujoco"),
    *("pandas", "polars", "pyarrow", "matplotlib"),
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Import(NamedTuple):
    """One module imports another; `checked` is for type checkers only."""

    importer: str
    imported: str
    line: int
    checked: bool


def module_of(path: Path) -> str:
    """The name of a module inside the package: `buffer.ring`, and `buffer` for its `__init__`."""
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts if parts[-1] != "__init__" else parts[:-1]) or "__init__"


FILES = {module_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
MODULES = {f"ml_dash.{name}" for name in FILES}
TREES = {name: ast.parse(path.read_text(), str(path)) for name, path in FILES.items()}


def room_of(module: str) -> str:
    """What has a floor: the module itself, or the package that it is in."""
    head, _, _ = module.partition(".")
    return f"{head}/" if (PACKAGE / head).is_dir() else head


def floors() -> dict[str, int]:
    """The floor of each room, counted from the ground."""
    return {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms.split()}


def imports_of(module: str) -> Iterator[Import]:
    """What a module imports of the package, wherever in the module it does."""
    checked = {
        id(node)
        for block in ast.walk(TREES[module])
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(TREES[module]):
        for name in _named(node):
            if name != module:
                yield Import(module, name, getattr(node, "lineno", 0), id(node) in checked)


def _named(node: ast.AST) -> Iterator[str]:
    """The modules of the package that a node of the tree names."""
    match node:
        case ast.Import(names=aliases):
            full = [alias.name for alias in aliases]
        case ast.ImportFrom(module=base, names=aliases):
            full = [f"{base}.{alias.name}" for alias in aliases]
            full = [name if name in MODULES else str(base) for name in full]
        case ast.Constant(value=str(text)) if text in MODULES:
            full = [text]
        case _:
            full = []
    for name in full:
        if name == "ml_dash" or name.startswith("ml_dash."):
            yield _inside(name)


def _inside(name: str) -> str:
    return name.removeprefix("ml_dash").removeprefix(".") or "__init__"


IMPORTS = [found for module in FILES for found in imports_of(module)]


def test_every_module_has_a_floor() -> None:
    """The table names all rooms of the package, each once, and no others."""
    named = [room for rooms in FLOORS for room in rooms.split()]
    assert len(named) == len(set(named))
    assert set(named) == {room_of(module) for module in FILES}


def test_imports_go_downward_only() -> None:
    """Nobody imports from their own floor, outside their own package, or from above."""
    height = floors()
    wrong = [
        f"{found.importer}:{found.line} imports {found.imported}"
        for found in IMPORTS
        if room_of(found.importer) != room_of(found.imported)
        and height.get(room_of(found.importer), 0) <= height.get(room_of(found.imported), 0)
    ]
    assert wrong == []


def test_no_module_imports_itself_round_a_ring() -> None:
    """Within a package, too, modules can be put into an order. Imports for types do not count."""
    graph: dict[str, set[str]] = {module: set() for module in FILES}
    for found in IMPORTS:
        if not found.checked:
            graph[found.importer].add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a ring: {' -> '.join(error.args[1])}")


def test_the_floors_would_notice_an_import_upward() -> None:
    """The rules above see the imports that there are, of every kind."""
    kinds = {
        ("cli.check", "reading"): False,  # inside a function
        ("log", "buffer"): True,  # for types
        ("lazy", "image"): False,  # by name
        ("reading.source", "buffer.recovery"): False,
    }
    seen = {(found.importer, found.imported): found.checked for found in IMPORTS}
    assert {pair: seen[pair] for pair in kinds} == kinds


def loaded_by(code: str) -> set[str]:
    """The packages that are loaded once `code` has run in a fresh interpreter."""
    code += "\nimport sys; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_package_loads_next_to_nothing() -> None:
    """Of other people's packages only orjson, once everything public has been looked up as well."""
    before = loaded_by("pass")
    bare = loaded_by("import ml_dash")
    # Who loads a session wants its arrays at once.
    public = loaded_by(
        "import ml_dash\n"
        "for name in {*ml_dash.__all__} - {'Session', 'load_session'}: getattr(ml_dash, name)"
    )
    assert bare - before - sys.stdlib_module_names == {"ml_dash"}
    assert public - before - sys.stdlib_module_names == {"ml_dash", *ALLOWED_AT_IMPORT}
    assert not public & set(HEAVY)


def test_importing_the_front_door_loads_no_standard_module_for_nothing() -> None:
    """What few programs need, or none before the first file, is loaded when it is needed."""
    assert not loaded_by("from ml_dash import Experiment") & SELDOM


def test_no_module_loads_a_framework() -> None:
    """Frameworks are looked at when a user hands over something of theirs, never loaded."""
    started = {"__init__", "__main__", "server.migrations.env"}  # by Python, and by Alembic
    names = [name for name in FILES if name not in started]
    client = [name for name in names if room_of(name) != "server/"]
    loaded = loaded_by("\n".join(f"import ml_dash.{name}" for name in client))
    assert "numpy" in loaded, "some modules do load numpy"
    assert not loaded & {*FRAMEWORKS, "fastapi", "sqlalchemy"}
    loaded = loaded_by("\n".join(f"import ml_dash.{name}" for name in names))
    assert loaded & set(FRAMEWORKS) == {"pyarrow"}, "the server compresses with it"


@pytest.mark.parametrize("module", FILES)
def test_a_module_is_short_and_says_what_it_is(module: str) -> None:
    """It begins with a docstring, and neither it nor a function of it is too long to take in."""
    assert ast.get_docstring(TREES[module]), "no docstring"
    lines = FILES[module].read_text().count("\n")
    assert lines <= LONGEST_FILE, f"{lines} lines; split it by noun"
    long = {
        f"{node.name}: {length} lines"
        for node in ast.walk(TREES[module])
        if isinstance(node, Function)
        and (length := (node.end_lineno or 0) - node.lineno + 1) > LONGEST_FUNCTION
    }
    assert long == set()
