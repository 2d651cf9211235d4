"""What holds for every adapter: what it imports, how long it is, what it says when alone."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import ml_dash

FOLDER = Path(__file__).parents[1] / "integrations"
FRAMEWORKS = {
    "ml_dash_gymnasium": ("gymnasium", "gymnasium"),
    "ml_dash_lightning": ("lightning", "lightning", "pytorch_lightning"),
    "ml_dash_mujoco": ("mujoco", "mujoco"),
}
"""By adapter: its extra, and the frameworks of which it needs one."""

MODULES = sorted(FOLDER.rglob("*.py"))
LONGEST_FILE = 360
LONGEST_FUNCTION = 60


def imports_of(path):
    """The modules and names that a module imports, wherever in it: `ml_dash:Experiment`."""
    for node in ast.walk(ast.parse(path.read_text(), str(path))):
        if isinstance(node, ast.Import):
            yield from (f"{alias.name}:" for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports relatively"
            yield from (f"{node.module}:{alias.name}" for alias in node.names)


def test_every_adapter_is_known_here():
    """A new one is held to all of this, too."""
    assert {path.name for path in FOLDER.iterdir() if path.is_dir()} == {*FRAMEWORKS}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_an_adapter_imports_only_the_public_face(path):
    """Of ML-Dash it knows what `ml_dash` exports, of the other adapters nothing."""
    for found in imports_of(path):
        module, _, name = found.partition(":")
        package = module.partition(".")[0]
        if package == "ml_dash":
            assert module == "ml_dash" and (not name or name in ml_dash.__all__), found
        assert package not in FRAMEWORKS or package == path.relative_to(FOLDER).parts[0], found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_module_or_function_of_an_adapter_is_too_long(path):
    """What grows beyond that has more than one noun in it."""
    text = path.read_text()
    assert text.count("\n") <= LONGEST_FILE
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < LONGEST_FUNCTION, node.name


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_an_adapter_is_typed(name):
    """Type checkers look into a package with this mark only."""
    assert (FOLDER / name / "py.typed").exists()


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_without_its_framework_an_adapter_names_the_pip_line(name):
    """An ImportError, at import, of which the text can be pasted into a terminal."""
    extra, *frameworks = FRAMEWORKS[name]
    script = f"""
import sys
for name in {frameworks}:
    sys.modules[name] = None
try:
    import {name}
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert f'pip install "ml-dash[{extra}]"' in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize("name", FRAMEWORKS)
def test_what_an_adapter_exports_is_documented(name):
    """Each name of `__all__` is there and says what it is."""
    script = f"""
import inspect, {name} as adapter
assert adapter.__doc__ and adapter.__all__ == sorted(adapter.__all__)
for name in adapter.__all__:
    assert inspect.getdoc(getattr(adapter, name)), name
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
