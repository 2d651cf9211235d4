"""Settings: argument over environment over file over default, and what is refused by name."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import ml_dash
from ml_dash import Experiment, settings
from ml_dash.settings import SETTINGS, Settings, config_path, load

NOTHING = {"ML_DASH_CONFIG": os.devnull}
OTHER = {
    "root": ("runs", "runs"),
    "url": ("https://dash.example", "https://dash.example"),
    "buffer_enabled": ("off", False),
    "flush_interval": ("0.5", 0.5),
    "log_batch_size": ("7", 7),
    "metric_batch_size": ("8", 8),
    "track_batch_size": ("9", 9),
    "frame_buffer_mb": ("64", 64),
    "encoders": ("3", 3),
    "echo": ("No", False),
    "environment": ("0", False),
    "close_timeout": ("2.5", 2.5),
}
"""For each setting a text that is not its default, and the value it stands for."""


def config(folder: Path, text: str | bytes) -> dict[str, str]:
    """An environment whose configuration file has this text."""
    path = folder / "config.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return {"ML_DASH_CONFIG": str(path)}


def test_the_table_has_every_setting_with_its_default() -> None:
    """What the documentation shows is what is used where nothing is set."""
    assert [setting.name for setting in SETTINGS] == [field.name for field in fields(Settings)]
    for setting in SETTINGS:
        assert setting.variable == f"ML_DASH_{setting.name.upper()}"
        assert setting.meaning
        assert getattr(Settings(), setting.name) == setting.default
    assert load(environ=NOTHING) == Settings()
    assert set(OTHER) == {setting.name for setting in SETTINGS}


@pytest.mark.parametrize("name", OTHER)
def test_each_setting_follows_argument_environment_file_and_default(
    tmp_path: Path, name: str
) -> None:
    """In this order, whichever of them are given."""
    text, value = OTHER[name]
    default = getattr(Settings(), name)
    written = f'{name} = "{text}"'
    variable = f"ML_DASH_{name.upper()}"
    in_file = config(tmp_path, written)
    assert getattr(load(environ=in_file), name) == value
    assert getattr(load({name: None}, environ=in_file), name) == value
    if default is not None:
        both = {**in_file, variable: str(default)}
        assert getattr(load(environ=both), name) == default
        assert getattr(load({name: default}, environ=in_file), name) == default
    assert getattr(load(environ={**NOTHING, variable: f" {text} "}), name) == value
    assert getattr(load({name: value}, environ={**NOTHING, variable: "nonsense"}), name) == value
    assert getattr(load(environ={**NOTHING, variable: ""}), name) == default


def test_the_file_takes_toml_values(tmp_path: Path) -> None:
    """Numbers and truth values need no quotes there."""
    found = load(environ=config(tmp_path, "echo = false\nclose_timeout = 3\nencoders = 2\n"))
    assert (found.echo, found.close_timeout, found.encoders) == (False, 3.0, 2)
    assert type(found.close_timeout) is float


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("TRUE", True), ("yes", True), ("On", True), ("0", False), ("False", False)],
)
def test_truth_has_several_spellings(text: str, value: bool) -> None:
    """As people write it, in any case."""
    assert load(environ={**NOTHING, "ML_DASH_BUFFER_ENABLED": text}).buffer_enabled is value


@pytest.mark.parametrize(
    ("variable", "text", "expected"),
    [
        ("ML_DASH_BUFFER_ENABLED", "maybe", "true or false"),
        ("ML_DASH_FLUSH_INTERVAL", "soon", "a positive number"),
        ("ML_DASH_FLUSH_INTERVAL", "-1", "a positive number"),
        ("ML_DASH_FLUSH_INTERVAL", "nan", "a positive number"),
        ("ML_DASH_CLOSE_TIMEOUT", "inf", "a positive number"),
        ("ML_DASH_TRACK_BATCH_SIZE", "0", "a positive integer"),
        ("ML_DASH_TRACK_BATCH_SIZE", "1.5", "a positive integer"),
        ("ML_DASH_ENCODERS", "many", "a positive integer"),
    ],
)
def test_a_wrong_variable_is_refused_by_name(variable: str, text: str, expected: str) -> None:
    """The error names the variable, its value and what it must be."""
    with pytest.raises(ValueError, match=f"{variable} is '{re.escape(text)}'.*{expected}"):
        load(environ={**NOTHING, variable: text})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("echo = maybe", "not valid TOML"),
        (b'root = "\xff"', "not valid TOML"),
        ('echo = "maybe"', "echo in .*config.toml is 'maybe'; it must be true or false"),
        ("encoders = true", "encoders in .*config.toml is 'True'"),
        ('root = ["a", "b"]', r"root in .*config.toml is \['a', 'b'\]; it must be one value"),
        ("[root]\na = 1", "root in .*config.toml"),
    ],
)
def test_a_wrong_file_is_refused_by_its_path(
    tmp_path: Path, text: str | bytes, problem: str
) -> None:
    """The error says which file, and which line of it."""
    with pytest.raises(ValueError, match=problem) as caught:
        load(environ=config(tmp_path, text))
    assert "config.toml" in str(caught.value)


def test_a_file_that_is_not_there_says_nothing(tmp_path: Path) -> None:
    """Nobody needs one; other keys in it are others' affair."""
    assert load(environ={"ML_DASH_CONFIG": str(tmp_path / "none.toml")}) == Settings()
    assert load(environ={"ML_DASH_CONFIG": str(tmp_path)}) == Settings()
    assert load(environ=config(tmp_path, "[server]\ntoken = 'x'\n")) == Settings()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has other folders")
def test_the_file_is_looked_for_where_users_keep_theirs() -> None:
    """A variable, else the user's configuration folder, else below the home."""
    assert config_path({"ML_DASH_CONFIG": "/a/b.toml"}) == Path("/a/b.toml")
    assert config_path({"XDG_CONFIG_HOME": "/c"}) == Path("/c/ml-dash/config.toml")
    assert config_path({"HOME": "/h"}) == Path("/h/.config/ml-dash/config.toml")


@pytest.mark.skipif(sys.platform == "win32", reason="no pwd there")
def test_a_container_without_a_home_is_no_obstacle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user without an entry and without `HOME` has no file, and a `~` stays as it is."""

    def homeless(_: object) -> object:
        raise KeyError("getpwuid(): uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", homeless)
    assert load(environ={}) == Settings()
    assert load({"root": "~/runs"}, environ={}).root == "~/runs"


def test_a_home_in_the_root_is_the_users(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` from a variable, the file or an argument, which no shell has replaced."""
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load(environ={**NOTHING, "ML_DASH_ROOT": "~/runs"}).root == str(tmp_path / "runs")
    assert Experiment("a/b", dash_root="~/runs").folder == tmp_path / "runs/a/b"


def test_an_experiment_takes_its_settings_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """At the time that it is made; its arguments go first."""
    monkeypatch.setenv("ML_DASH_ROOT", str(tmp_path / "env"))
    monkeypatch.setenv("ML_DASH_ECHO", "false")
    experiment = Experiment("a/b", dash_url=False)
    assert experiment.folder == tmp_path / "env/a/b"
    assert experiment.settings.echo is False
    given = Experiment("a/b", dash_root=tmp_path / "arg", echo=True)
    assert given.folder == tmp_path / "arg/a/b"
    assert given.settings.echo is True
    monkeypatch.setenv("ML_DASH_ECHO", "loud")
    with pytest.raises(ValueError, match="ML_DASH_ECHO is 'loud'"):
        Experiment("a/b")


def test_an_empty_root_is_refused() -> None:
    """It would be the working folder; an empty variable only counts as not set."""
    with pytest.raises(ValueError, match=r"\(dash_root\) is empty"):
        Experiment("p/e", dash_root="")
    assert load(environ={"ML_DASH_ROOT": ""}).root == ".dash"


def test_encoders_leave_a_core_to_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """One for each core but one, at least one, at most eight."""
    for cores, expected in ((1, 1), (2, 1), (4, 3), (64, 8)):
        monkeypatch.setattr(
            os, "sched_getaffinity", lambda _, n=cores: set(range(n)), raising=False
        )
        assert settings.default_encoders() == expected


def test_one_module_reads_the_settings_from_the_environment() -> None:
    """No other one asks for an `ML_DASH_…` variable."""
    package = Path(ml_dash.__file__).parent
    reading = re.compile(r"""(environ|getenv).*ML_DASH""")
    found = [
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if reading.search(path.read_text("utf-8"))
    ]
    assert found in ([], ["settings.py"])


def test_a_wrong_variable_does_not_break_the_import(tmp_path: Path) -> None:
    """It is told when an experiment is made, not by `import`."""
    script = "import ml_dash, ml_dash.auto_start; ml_dash.Experiment"
    environ = {**os.environ, "ML_DASH_ECHO": "loud", "ML_DASH_CONFIG": str(tmp_path)}
    subprocess.run([sys.executable, "-c", script], check=True, env=environ)


@pytest.mark.parametrize("url", ["dash.example", "ftp://dash.example"])
def test_a_wrong_address_is_told_with_what_says_it(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The variable, or the file and its key; an argument needs no name."""
    file = tmp_path / "config.toml"
    monkeypatch.setenv("ML_DASH_CONFIG", str(file))
    monkeypatch.setenv("ML_DASH_URL", url)
    with pytest.raises(ValueError, match=f"^ML_DASH_URL: '{url}' is not the address of a server"):
        Experiment("p/e")
    monkeypatch.delenv("ML_DASH_URL")
    file.write_text(f'url = "{url}"\n')
    with pytest.raises(ValueError, match=f"^url in .*config.toml: '{url}' is not the address"):
        Experiment("p/e")
    with pytest.raises(ValueError, match=f"^'{url}' is not the address of a server"):
        Experiment("p/e", dash_url=url)


@pytest.mark.parametrize("line", ["root = true", "root = 5", "url = 7"])
def test_a_text_of_the_file_is_in_quotes(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody means a folder of the name `True`."""
    file = tmp_path / "config.toml"
    file.write_text(f"{line}\n")
    monkeypatch.setenv("ML_DASH_CONFIG", str(file))
    name, value = line.split(" = ")
    with pytest.raises(ValueError, match=rf"{name} in .*config.toml is {value.title()}; .* text"):
        Experiment("p/e")
    file.write_text('root = ""\n')
    with pytest.raises(ValueError, match=r"root in .*config.toml\) is empty"):
        Experiment("p/e")
