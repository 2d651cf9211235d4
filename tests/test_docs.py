"""What the pages of docs/ say in tables and lists, held against the code."""

from __future__ import annotations

import argparse
import inspect
import re
import shlex
from pathlib import Path

import pytest

from ml_dash import Experiment, names, rows, settings
from ml_dash.buffer import ring
from ml_dash.cli import COMMANDS, make_parser
from ml_dash.cli.command import BROKEN_PIPE, DONE, FAILED, INTERRUPTED, WRONG
from ml_dash.log import LEVELS
from ml_dash.reading.merge import EXPLICIT
from ml_dash.reading.source import ROOMS
from ml_dash.run import HEARTBEAT

DOCS = Path(__file__).parents[1] / "docs"
ARGUMENTS = {"root": "dash_root", "url": "dash_url"}  # others are called as in the file


def page(name: str) -> str:
    """The text of a page."""
    return (DOCS / name).read_text()


def table(text: str, first: str) -> list[list[str]]:
    """The rows of the Markdown table whose head begins with the cell `first`."""
    found = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"no table that begins with {first!r}"
    return [[c.strip(" `") for c in line.strip("|").split("|")] for line in found[1].splitlines()]


def section(text: str, title: str) -> str:
    """What stands below a heading, up to the next one of its kind."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    assert found, f"no section {title!r}"
    return found[1]


def test_the_table_of_settings_is_that_of_the_code() -> None:
    """Every setting stands there with its variable, argument, default and meaning, in order."""
    taken = inspect.signature(Experiment).parameters
    expected = []
    for setting in settings.SETTINGS:
        argument = ARGUMENTS.get(setting.name, setting.name)
        default = setting.default
        shown = "" if default is None else str(default).lower()
        expected.append(
            [
                setting.name,
                setting.variable,
                argument if argument in taken else "",
                shown,
                setting.meaning,
            ]
        )
    assert table(page("settings.md"), "in the file") == expected


@pytest.mark.parametrize("field", settings.SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_has_the_default_that_the_table_says(field: settings.Setting) -> None:
    """What `load` gives without any source is what is documented."""
    empty = {"HOME": "/nowhere", "XDG_CONFIG_HOME": "/nowhere"}
    assert getattr(settings.load(environ=empty), field.name) == field.default


def test_every_command_has_a_section_of_its_own() -> None:
    """The command line's page has all commands, in the order of the help, and no others."""
    titles = re.findall(r"^## ml-dash (\w+)$", page("cli.md"), re.MULTILINE)
    assert titles == [command.name for command in COMMANDS]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_section_tells_of_usage_and_every_argument(command) -> None:
    """Usage stands there as the help has it, and each argument is explained in the list."""
    text = section(page("cli.md"), f"ml-dash {command.name}")
    assert f"\n`ml-dash {command.name} {command.usage}`\n" in text
    listed = {
        word
        for item in re.findall(r"^- (.+?):", text, re.MULTILINE)
        for word in re.findall(r"`(-[-\w]*|[A-Z]+)", item)
    }
    assert listed == {name for name in _arguments(command) if name != "RUN"}


def _arguments(command) -> set[str]:
    parser = argparse.ArgumentParser(add_help=False)
    command.arguments(parser)
    return {
        name
        for action in parser._actions
        for name in (action.option_strings or [str(action.metavar or action.dest)])
    }


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_the_examples_of_the_help_are_commands(command) -> None:
    """Each example that `--help` gives is parsed as a call of its command."""
    for line, _ in command.examples:
        words = shlex.split(re.split(r" (?:\||&&) ", line)[0])
        assert words[:2] == ["ml-dash", command.name]
        assert make_parser().parse_args(words[1:]).command is command


def test_the_exit_codes_are_those_of_the_code() -> None:
    """All are listed."""
    codes = [int(row[0]) for row in table(page("cli.md"), "exit code")]
    assert codes == [DONE, WRONG, FAILED, INTERRUPTED, BROKEN_PIPE]


def test_the_numbers_of_a_ring_are_those_of_the_code() -> None:
    """What another program needs to read a ring is written down as it is."""
    for name, value in table(page("format.md"), "number"):
        real = getattr(ring, name)
        shown = real.decode() if isinstance(real, bytes) else f"{real:,}"
        assert shown == value, name
    text = page("format.md")
    assert f"0x{ring.RECORD_MAGIC:x} XOR position" in text
    assert f"`0x{ring.SLOT_MAGIC:x}`" in text
    assert (ring.RECORD.size, ring.SLOT_HEAD.size) == (32, 24), "the tables of fields"


def test_the_format_tells_of_every_stream_level_and_reserved_key() -> None:
    """Rooms, levels, limits and ML-Dash's own keys stand in the page."""
    text = page("format.md")
    folders = {line.split("/<")[0].strip() for line in text.splitlines() if "<segment>" in line}
    assert {*ROOMS} <= folders
    wanted = [f"`{level}`" for level in LEVELS]
    wanted += [f"| `{key}` |" for key in (rows.NONFINITE, rows.BIG_INTEGER, EXPLICIT)]
    missing = [name for name in wanted if name not in text]
    assert missing == []
    assert rows.MAX_LINE == 16 << 20 and "at most 16 MiB" in text
    assert names.MAX_COMPONENT == 255 and names.MAX_PATH == 1024 and "more than 1,024" in text
    assert HEARTBEAT == 15 and "every 15 seconds" in text


def test_every_event_of_a_run_is_in_the_table() -> None:
    """The code writes no kind of row into `run` that the format does not tell of."""
    code = "".join(path.read_text() for path in (DOCS.parent / "ml_dash").rglob("*.py"))
    written = set(re.findall(r'(?:"event": |put_event\(buffer, )"(\w+)"', code))
    assert written == {row[0] for row in table(page("format.md"), "event")}
