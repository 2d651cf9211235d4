"""The command line as a whole: help, exit codes, pipes and encodings."""

from __future__ import annotations

import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from cli_process import SOURCE, command, environ, experiment, process

import ml_dash
from ml_dash.cli import COMMANDS, Command, main, make_parser

NAMES = [command.name for command in COMMANDS]
PAGES = [SOURCE / "README.md", SOURCE / "docs" / "cli.md"]
DOCUMENTATION = "".join(page.read_text("utf-8") for page in PAGES if page.exists())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root with a run of 3,000 messages, more than a pipe holds."""
    with experiment("robotics/arm", tmp_path, tags=["世界"]).run as run:
        for number in range(3000):
            run.log(f"message {number}", step=number)
    return tmp_path


def test_the_version_is_told_at_once() -> None:
    """`--version` prints the version and loads nothing that it does not need."""
    heavy = "numpy PIL requests orjson dataclasses json ml_dash.reading ml_dash.experiment"
    code = "import sys\nfrom ml_dash.cli import main\nmain(['--version'])\n"
    code += f"print([name for name in {heavy.split()!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ(), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [f"ml-dash {ml_dash.__version__}", "[]"]


def test_without_a_command_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    """No command is a mistake, answered with the commands there are."""
    assert main([]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert all(f"    {name}" in printed.err for name in NAMES)


@pytest.mark.parametrize("shown", COMMANDS, ids=NAMES)
def test_each_command_explains_itself(
    shown: Command, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its help has what it does and examples, and fits a terminal of any encoding."""
    monkeypatch.setenv("COLUMNS", "80")
    assert main([shown.name, "--help"]) == 0
    text = capsys.readouterr().out
    assert max(map(len, text.splitlines())) <= 80
    assert text.isascii()
    assert shown.summary[1:] in text
    assert shown.details in text
    assert all(line in text and remark in text for line, remark in shown.examples)


@pytest.mark.parametrize("shown", COMMANDS, ids=NAMES)
def test_each_example_is_a_command_that_works(shown: Command) -> None:
    """What the help gives as an example is taken by the parser."""
    assert shown.examples
    for line, _ in shown.examples:
        words = shlex.split(line.partition(" | ")[0].partition(" && ")[0])
        assert words[:2] == ["ml-dash", shown.name]
        make_parser().parse_args(words[1:])


@pytest.mark.parametrize("shown", COMMANDS, ids=NAMES)
def test_usage_names_every_option(shown: Command) -> None:
    """The line for the documentation has each option, and each option has a help text."""
    import argparse

    parser = argparse.ArgumentParser(add_help=False)
    shown.arguments(parser)
    for action in parser._actions:
        assert action.help
        assert (action.option_strings or [action.metavar])[-1] in shown.usage


@pytest.mark.skipif(not DOCUMENTATION, reason="a copy without its documentation")
@pytest.mark.parametrize("name", NAMES)
def test_each_command_is_documented(name: str) -> None:
    """No command without a place in the documentation."""
    assert f"ml-dash {name}" in DOCUMENTATION


def test_an_unknown_command_is_a_wrong_argument(capsys: pytest.CaptureFixture[str]) -> None:
    """The exit code of wrong arguments is 2, and the message names what there is."""
    assert main(["lst"]) == 2
    assert "list" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["show", "logs", "check"])
def test_a_run_that_is_not_there_is_told_in_a_line(
    name: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One line on stderr names what is similar; the exit code is 2."""
    capsys.readouterr()
    assert main([name, "robotics/amr", "--root", str(root)]) == 2
    printed = capsys.readouterr()
    assert not printed.out
    assert printed.err.startswith("ml-dash: no run 'robotics/amr'")
    assert "robotics/arm" in printed.err
    assert printed.err.count("\n") == 1


def test_a_hostile_name_cannot_drive_the_terminal_by_an_error(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the user typed is escaped in the message, too."""
    assert main(["show", "\x1b[2J\nforged", "--root", str(root)]) == 2
    error = capsys.readouterr().err
    assert "\x1b" not in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "name",
    [
        *("list", "show x", "check x", "ui --no-browser --port 0"),
        *("sync --all --url http://127.0.0.1:1", "clean --synced --url http://127.0.0.1:1"),
    ],
)
def test_a_wrong_setting_is_told_in_a_line(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that no setting takes stops the command with its name, and no traceback."""
    monkeypatch.setenv("ML_DASH_ENCODERS", "many")
    assert main(name.split()) == 2
    error = capsys.readouterr().err
    assert "ML_DASH_ENCODERS" in error
    assert error.count("\n") == 1


def test_a_reader_that_goes_is_no_error(root: Path) -> None:
    """`ml-dash logs | head -1` ends without a word."""
    with subprocess.Popen(
        command("logs", "robotics/arm", "--root", root),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        assert b"message 0" in running.stdout.readline()
        running.stdout.close()
        assert running.stderr.read() == b""
        assert running.wait() == 141


@pytest.mark.parametrize("arguments", [["list"], ["--help"], ["show", "robotics/arm"]])
def test_a_reader_that_never_came_is_no_error(arguments: list[str], root: Path) -> None:
    """Also where all output fits into one piece, written at the very end."""
    script = f"{shlex.join(command(*arguments))} | true; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(
        ["bash", "-c", script],
        env=environ(ML_DASH_ROOT=str(root)),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "141")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full disk to offer")
def test_output_that_cannot_be_written_is_told_in_a_line(root: Path) -> None:
    """A full disk under stdout: one line on stderr, exit code 2, no traceback."""
    with Path("/dev/full").open("wb") as full:
        done = process("list", "--root", root, stdout=full)
    assert (done.code, done.err) == (2, "ml-dash: No space left on device\n")


def test_no_stdout_at_all_is_no_error(root: Path) -> None:
    """A service may start a command without one."""
    done = subprocess.run(
        ["sh", "-c", f"{shlex.join(command('list', '--root', root))} >&-"],
        env=environ(),
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("encoding", ["ascii", "latin-1"])
def test_any_encoding_of_stdout_will_do(encoding: str, root: Path) -> None:
    """What an encoding lacks is shown as an escape."""
    done = process("list", "--root", root, PYTHONIOENCODING=encoding)
    assert (done.code, done.err) == (0, "")
    assert r"\u4e16\u754c" in done.out


def test_control_c_prints_no_traceback(root: Path) -> None:
    """Interrupted wherever it is, a command ends with 130."""
    code = (
        "import os, signal, sys\nfrom ml_dash.cli import main, screen\n"
        "screen.Screen.line = lambda *_: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.exit(main(['logs', 'robotics/arm', '--root', sys.argv[1]]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], env=environ(), capture_output=True, check=False
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, b"")


@pytest.mark.parametrize("then", ["time.sleep(60)", "pass"])
def test_control_c_in_a_finalizer_ends_a_command(root: Path, then: str) -> None:
    """Where Python drops what is raised: the command went on, as if nobody had pressed it."""
    code = f"""
import os, signal, sys, time, weakref
from ml_dash.cli import main, screen

class Connection:
    pass

def line(*_):
    screen.Screen.line = lambda *_: None
    held = Connection()
    weakref.finalize(held, lambda: os.kill(os.getpid(), signal.SIGINT))
    del held
    {then}

screen.Screen.line = line
sys.exit(main(["logs", "robotics/arm", "--root", sys.argv[1]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)],
        env=environ(),
        capture_output=True,
        check=False,
        timeout=40,
    )
    assert (done.returncode, done.stderr) == (128 + signal.SIGINT, b"")


def test_control_c_while_a_command_begins_is_no_crash(root: Path) -> None:
    """Also within the import of a package that does not expect to be interrupted."""
    code = """
import os, signal, sys
from ml_dash.cli import main

class Interrupt:
    def find_spec(self, name, *rest):
        if name == "uuid":  # which orjson imports
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.exit(main(["list", "--root", sys.argv[1]]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(root)], env=environ(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")


def test_control_c_while_the_program_is_loaded_prints_no_traceback() -> None:
    """As `ml-dash` and as `python -m ml_dash`: there is nothing yet to be ended."""
    code = """
import os, signal, sys
from ml_dash.__main__ import main

class Interrupt:
    def find_spec(self, name, *rest):
        if name == "ml_dash.cli.export":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
sys.exit(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ(), capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (128 + signal.SIGINT, b"", b"")
