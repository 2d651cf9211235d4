"""`ml-dash doctor`: what it finds, what it says of it, and what it never shows."""

from __future__ import annotations

import errno
import json
import os
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from answers import answer
from cli_process import Line, Printed, experiment, isolate, killed_run, process
from dash_server import Person, ServerProcess

from ml_dash.auth.store import Tokens, TokenStore
from ml_dash.cli.doctor import findings, machine, places, server, versions
from ml_dash.remote.transport import Hidden
from ml_dash.settings import SETTINGS
from ml_dash.sync import replicate
from ml_dash.version import __version__

CANARY = "canary-3f9d1c"
PARTS = ["versions", "extras", "places", "settings", "machine", "opengl", "server", "runs"]


@pytest.fixture(scope="module", name="served")
def _served(server: ServerProcess) -> ServerProcess:
    """A real server; here `server` is a module."""
    return server


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the configuration is; nothing is configured, and this machine is a good one."""
    monkeypatch.setattr(machine, "draws", lambda name: True)
    monkeypatch.setattr(places, "LOW_SPACE", 0)
    monkeypatch.setattr(places, "LOW_FILES", 0)
    return isolate(monkeypatch, tmp_path)


@pytest.fixture
def cli(config: Path, capsys: pytest.CaptureFixture[str]) -> Line:
    """Runs a command in this process."""
    return Line(capsys)


@pytest.fixture
def nobody() -> str:
    """An address at which nothing listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{taken.getsockname()[1]}"


def told(done: Printed) -> dict[str, Any]:
    """What `--json` printed."""
    found: dict[str, Any] = json.loads(done.out)
    assert found["ok"] == (done.code == 0) == (not found["problems"]), done.out
    return found


def messages(found: dict[str, Any], kind: str = "problems") -> str:
    """All findings as one text."""
    return "\n".join(f"{one['message']}: {one['remedy']}" for one in found[kind])


def keep(config: Path, url: str, **tokens: Any) -> None:
    """Be logged in to a server."""
    made = Tokens(Hidden(CANARY), **tokens)
    TokenStore(config.parent).save(url, made)


def test_with_nothing_configured_nothing_is_wrong(cli: Line, tmp_path: Path) -> None:
    """It tells of every part, says so, and leaves no trace."""
    done = cli("doctor")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1] == "nothing is wrong"
    for part in PARTS:
        assert f"\n{part}\n" in f"\n{done.out}"
    assert f"ml-dash     {__version__}\n" in done.out
    assert list(tmp_path.iterdir()) == []


def test_json_has_all_of_it(cli: Line, tmp_path: Path) -> None:
    """Every part is an object of facts by name; every setting has value and source."""
    found = told(cli("doctor", "--json"))
    assert [*found] == ["ok", *PARTS, "problems", "notes"]
    assert found["versions"]["ml-dash"] == __version__
    assert found["places"]["root"] == str(tmp_path / ".dash")
    assert found["places"]["root_writable"] is True and found["places"]["free"] > 0
    settings = found["settings"]
    assert [*settings] == [*(setting.name for setting in SETTINGS), "token"]
    assert settings["frame_buffer_mb"] == {"value": 256, "source": "default"}
    assert (found["machine"]["jpg"], found["machine"]["png"]) == ("simplejpeg", "deflate")
    assert found["server"] == {"url": None}
    assert (found["runs"]["runs"], found["runs"]["interrupted"]) == (0, [])


def test_the_core_alone_is_enough(cli: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extra that is not installed is no problem, and the line that brings it is told."""
    needed = [versions.Requirement("numpy", "1.26", ""), versions.Requirement("av", "14", "video")]
    monkeypatch.setattr(versions, "requirements", lambda: needed)
    monkeypatch.setattr(versions, "installed", {"numpy": "2.0"}.get)
    monkeypatch.setattr(machine, "find_spec", lambda name: None)
    done = cli("doctor")
    assert done.code == 0, done.out
    assert 'video  not installed: pip install "ml-dash[video]"\n' in done.out
    assert 'mp4    not installed: pip install "ml-dash[video]"\n' in done.out
    assert "mujoco  not installed\n" in done.out


def test_a_package_that_is_missing_or_old_is_a_problem(
    cli: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the core needs must be there; what an extra has must be new enough."""
    needed = [
        versions.Requirement("orjson", "3.10", ""),
        versions.Requirement("gymnasium", "1.0", "gymnasium"),
        versions.Requirement("numpy", "1.26", ""),
    ]
    monkeypatch.setattr(versions, "requirements", lambda: needed)
    monkeypatch.setattr(versions, "installed", {"gymnasium": "0.29.1", "numpy": "1.26.4"}.get)
    done = cli("doctor", "--json")
    assert done.code == 1
    assert messages(told(done)).splitlines() == [
        'orjson is not installed; ML-Dash needs it: pip install "orjson>=3.10"',
        "gymnasium 0.29.1 is older than 1.0, which ML-Dash needs:"
        ' pip install --upgrade "gymnasium>=1.0"',
    ]


@pytest.mark.parametrize(
    ("older", "newer"), [("1.9", "1.10"), ("2.0", "2.0.1"), ("14rc1", "15"), ("1.26.4", "2")]
)
def test_versions_are_compared_by_number(older: str, newer: str) -> None:
    """1.10 is after 1.9."""
    assert versions._numbers(older) < versions._numbers(newer)
    assert versions._numbers("2.0") == versions._numbers("2")


def test_the_requirements_are_those_of_the_package() -> None:
    """What is installed says what it needs, with versions and extras."""
    found = versions.requirements()
    if not found:
        pytest.skip("not installed as a package")
    assert versions.Requirement("numpy", "1.26", "") in found
    assert versions.Requirement("mujoco", "3.2", "mujoco") in found


def test_each_setting_says_where_it_comes_from(
    cli: Line, config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Option over variable over file over default."""
    config.parent.mkdir()
    config.write_text("echo = false\nencoders = 3\nroot = '/elsewhere'\n")
    monkeypatch.setenv("ML_DASH_ENCODERS", "2")
    settings = told(cli("doctor", "--json", "--root", tmp_path / "runs"))["settings"]
    assert settings["root"] == {"value": str(tmp_path / "runs"), "source": "argument"}
    assert settings["encoders"] == {"value": 2, "source": "environment"}
    assert settings["echo"] == {"value": False, "source": "file"}
    assert settings["flush_interval"] == {"value": 5.0, "source": "default"}


def test_a_setting_that_cannot_be_understood_hides_no_other(
    cli: Line, config: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All are told at once, and what looks like a setting and is none is noted."""
    config.parent.mkdir()
    config.write_text("flush_interval = -1\nrooot = '/x'\n[another]\nname = 1\n")
    monkeypatch.setenv("ML_DASH_ECHO", "perhaps")
    monkeypatch.setenv("ML_DASH_BUFER_ENABLED", "secret-value")
    done = cli("doctor", "--json")
    found = told(done)
    assert "ML_DASH_ECHO is 'perhaps'; it must be true or false" in messages(found)
    assert "it must be a positive number" in messages(found)
    notes = messages(found, "notes")
    assert f"`rooot` in {config} is no setting: is root meant?" in notes
    assert "ML_DASH_BUFER_ENABLED is no setting: is ML_DASH_BUFFER_ENABLED meant?" in notes
    assert "secret-value" not in done.out and "another" not in notes


def test_a_broken_configuration_file_is_told(cli: Line, config: Path) -> None:
    """Everything else is still looked at."""
    config.parent.mkdir()
    config.write_text("echo = \n")
    found = told(cli("doctor", "--json"))
    assert "is not valid TOML" in messages(found)
    assert found["settings"]["echo"] == {"value": True, "source": "default"}
    assert found["runs"]["runs"] == 0


def test_a_root_that_cannot_be_written_is_a_problem(cli: Line, tmp_path: Path) -> None:
    """Below a file there are no folders, whoever one is."""
    (tmp_path / "file").touch()
    done = cli("doctor", "--json", "--root", tmp_path / "file" / "runs")
    found = told(done)
    assert done.code == 1 and found["places"]["root_writable"] is False
    assert "cannot be written" in messages(found) and "ML_DASH_ROOT" in messages(found)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_root_that_is_read_only_is_a_problem(cli: Line, tmp_path: Path) -> None:
    """A folder of somebody else."""
    folder = tmp_path / "runs"
    folder.mkdir(mode=0o500)
    found = told(cli("doctor", "--json", "--root", folder))
    assert found["places"]["root_writable"] is False


def test_a_full_disk_asks_for_room_and_tells_what_is_free(
    cli: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for permission, which is there."""

    def full(**_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    found = told(cli("doctor", "--json"))
    assert found["places"]["root_writable"] is False and found["places"]["free"] > 0
    assert "No space left on device: make room there, or take another folder" in messages(found)


def test_a_disk_that_is_nearly_full_is_a_problem(
    cli: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By bytes, and by the files that can still be made."""
    monkeypatch.setattr(places, "LOW_SPACE", 1 << 62)
    monkeypatch.setattr(places, "LOW_FILES", 1 << 62)
    found = messages(told(cli("doctor", "--json")))
    assert "are free on the disk of the root: make room: `ml-dash clean --synced`" in found


def test_file_systems_have_their_names() -> None:
    """The mount that a path is on, and not one above it."""
    if not Path("/proc/self/mountinfo").exists():
        pytest.skip("a system that does not tell")
    assert places.file_system(Path("/proc/self")) == "proc"


def test_runs_that_broke_off_are_told_and_left_alone(cli: Line, tmp_path: Path) -> None:
    """The buffer file of a killed process is still there afterwards."""
    root = tmp_path / "runs"
    killed_run("arm/killed", root)
    with experiment("arm/whole", root).run as run:
        run.log("hello")
    done = cli("doctor", "--json", "--root", root)
    found = told(done)
    assert done.code == 0 and found["runs"]["runs"] == 2
    assert found["runs"]["interrupted"] == ["arm/killed"]
    assert found["runs"]["left_in_buffers"] == ["arm/killed"]
    assert "`ml-dash show RUN` writes them where they belong" in messages(found, "notes")
    assert len(list((root / "arm/killed/.buffer").glob("*.ring"))) == 1
    assert cli("show", "arm/killed", "--root", root).code == 0
    assert told(cli("doctor", "--json", "--root", root))["runs"]["left_in_buffers"] == []


def test_a_server_that_is_down_is_told_with_what_to_do(
    cli: Line, config: Path, nobody: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is kept of the login is told all the same."""
    monkeypatch.setenv("ML_DASH_URL", nobody)
    keep(config, nobody, refresh=Hidden(CANARY), expires=4e9)
    done = cli("doctor", "--json")
    found = told(done)
    assert done.code == 1 and found["server"]["reachable"] is False
    assert f"nothing listens at {nobody}" in messages(found)
    assert "`ml-dash sync --all` sends them later" in messages(found)
    assert found["server"]["token"] == {"from": "login", "expires": 4e9, "renewable": True}
    assert CANARY not in done.out + done.err


def test_a_login_that_ended_is_told_without_the_server(
    cli: Line, config: Path, nobody: str
) -> None:
    """Its end is known here."""
    keep(config, nobody, expires=1.7e9)
    found = messages(told(cli("doctor", "--json", "--url", nobody)))
    assert f"the login to {nobody} has ended" in found and f"`ml-dash login {nobody}`" in found


def test_who_is_logged_in_is_told(
    cli: Line, config: Path, served: ServerProcess, anna: Person
) -> None:
    """By name, for what and how long; the server tells its version, and its clock is compared."""
    anna.login(config.parent)
    done = cli("doctor", "--json", "--url", served.url)
    found = told(done)["server"]
    assert done.code == 0, done.out
    assert (found["reachable"], found["ready"], found["version"]) == (True, True, __version__)
    assert abs(found["clock_difference"]) < 5
    token = found["token"]
    assert (token["user"], token["from"], token["accepted"]) == ("anna", "login", True)
    assert token["renewable"] is True and token["expires"] > 0 and "write" in token["scopes"]
    text = cli("doctor", "--url", served.url).out
    assert "anna, by login, for " in text and ", renewed by itself\n" in text


def test_nobody_being_logged_in_is_a_problem(cli: Line, served: ServerProcess) -> None:
    """With the command that logs in."""
    found = messages(told(cli("doctor", "--json", "--url", served.url)))
    assert found == (
        f"nobody is logged in to {served.url}: `ml-dash login {served.url}`, or set ML_DASH_TOKEN"
    )


def test_a_token_that_has_expired_is_a_problem(
    cli: Line, config: Path, served: ServerProcess
) -> None:
    """What was kept, could not be renewed, and is not taken."""
    keep(config, served.url, expires=1.7e9)
    done = cli("doctor", "--json", "--url", served.url)
    found = told(done)
    assert found["server"]["token"]["accepted"] is False
    assert "from login, ended 2023-11-" in messages(found)
    assert f"`ml-dash login {served.url}`" in messages(found)
    assert CANARY not in done.out + done.err


def test_a_token_of_the_environment_that_was_revoked_is_named(
    cli: Line, served: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A login would not help while the variable is set."""
    monkeypatch.setenv("ML_DASH_URL", served.url)
    monkeypatch.setenv("ML_DASH_TOKEN", CANARY)
    found = messages(told(cli("doctor", "--json")))
    assert "from ML_DASH_TOKEN, is not taken" in found and "or remove it and" in found


def test_a_token_that_only_reads_is_a_problem(
    cli: Line, served: ServerProcess, anna: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No run gets there by it; and it is told that nobody renews it."""
    monkeypatch.setenv("ML_DASH_URL", served.url)
    monkeypatch.setenv("ML_DASH_TOKEN", anna.token("read"))
    found = told(cli("doctor", "--json"))
    assert "is not for writing" in messages(found)
    assert found["server"]["token"]["renewable"] is False


def test_runs_that_the_server_lacks_are_noted(
    cli: Line, config: Path, served: ServerProcess, anna: Person, tmp_path: Path
) -> None:
    """Those that are not there, and those of which rows or files are missing."""
    root = tmp_path / "runs"
    for name in ("all", "rows", "blob", "none"):
        with experiment(f"sent/{name}", root).run as run:
            run.track("a").append({"step": 1})
            run.files("camera").save_image(np.zeros((8, 8), np.uint8), to="frame_1.png")
    for name in ("all", "rows", "blob"):
        assert replicate(root / "sent" / name, anna.client(), f"sent/{name}").ok
    with experiment("sent/rows", root).run as run:
        run.track("a").append({"step": 2})
    # As if the server had lost the bytes of another file, whose row it has
    (index,) = (root / "sent/blob/files/index").glob("*.jsonl")
    row = json.loads(index.read_bytes())
    other = index.read_bytes().replace(row["sha256"].encode(), b"0" * 64)
    index.write_bytes(other)
    anna.login(config.parent)
    done = cli("doctor", "--json", "--root", root, "--url", served.url)
    found = told(done)
    assert done.code == 0, done.out
    assert sorted(found["runs"]["not_on_the_server"]) == ["sent/blob", "sent/none", "sent/rows"]
    assert "`ml-dash sync --all` sends what is missing" in messages(found, "notes")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_no_token_is_ever_shown(
    options: tuple[str, ...],
    cli: Line,
    config: Path,
    nobody: str,
    served: ServerProcess,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of the variable, the login, or in an address; the server up, down, or no address at all."""
    without = f"{served.url}?token={CANARY}"
    with_user = served.url.replace("//", f"//anna:{CANARY}@")
    config.parent.mkdir(exist_ok=True)
    config.write_text(f'url = "{with_user}"\n')
    for url in (served.url, nobody):
        keep(config, url, refresh=Hidden(CANARY), expires=1.7e9)
    addresses = (served.url, nobody, without, with_user, f"anna:{CANARY}@host", f"#{CANARY}")
    shown = [cli("doctor", *options)]
    shown += [cli("doctor", "--url", url, *options) for url in addresses]
    monkeypatch.setenv("ML_DASH_TOKEN", CANARY)
    for url in (served.url, nobody, with_user, without):
        monkeypatch.setenv("ML_DASH_URL", url)
        shown.append(cli("doctor", *options))
    for done in shown:
        assert done.code == 1 and done.out
        for piece in (CANARY, CANARY[:8], CANARY[-6:]):
            assert piece not in done.out + done.err


def test_what_is_no_server_is_told(
    cli: Line, served: ServerProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TLS where there is none, a page, and a text that is no address."""
    there = served.url.removeprefix("http://")
    found = messages(told(cli("doctor", "--json", "--url", f"https://{there}")))
    assert f"https://{there} does not speak TLS" in found
    found = messages(told(cli("doctor", "--json", "--url", f"{served.url}/elsewhere")))
    assert f"{served.url}/elsewhere" in found
    found = messages(told(cli("doctor", "--json", "--url", "dash.example")))
    assert found.startswith("what is set as the server, by --url, is not the address of one")
    monkeypatch.setenv("ML_DASH_URL", "dash.example")
    found = messages(told(cli("doctor", "--json")))
    assert found.startswith("what is set as the server, by ML_DASH_URL, is not the address")


def test_a_server_that_never_answers_holds_nothing_up(
    cli: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the connection, and is given up in time."""
    monkeypatch.setattr(server, "TIMEOUT", (0.2, 0.2))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        found = told(cli("doctor", "--json", "--url", url))
    assert f"{url} took too long to answer" in messages(found)


def test_what_never_ends_is_named_and_left() -> None:
    """A disk or a keyring may hang: the facts until then are kept."""
    never = threading.Event()

    def hang(section: findings.Section) -> None:
        section.tell("before", 1)
        section.doing = "asking the keyring"
        never.wait(60)

    found = findings.Examination("places", hang, 0.05).result()
    never.set()
    assert found.to_json() == {"before": 1}
    (problem,) = found.findings
    assert problem.message == "asking the keyring took longer than 0.05 s, and was given up"


def test_a_defect_of_one_part_hides_no_other(cli: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told in a sentence, without the text of the exception, which may hold anything."""

    def fail() -> str:
        raise LookupError(CANARY)

    monkeypatch.setattr(places, "keyring_name", fail)
    done = cli("doctor", "--json")
    assert "failed with LookupError" in messages(told(done))
    assert CANARY not in done.out + done.err and "Traceback" not in done.err


def test_clocks_that_differ_are_a_problem() -> None:
    """By more than the seconds that a server rounds off."""
    date = "Tue, 14 Nov 2023 22:13:20 GMT"  # 1,700,000,000
    for now, wrong in ((1_700_000_000.7, 0), (1_700_003_600.5, 1)):
        section = findings.Section("server")
        server._tell_clock(section, answer(200, {}, Date=date), now)
        assert len(section.findings) == wrong
    assert "1h 00m ahead of the server's" in section.findings[0].message


def test_drawing_is_given_up_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver that hangs is killed; one that crashes draws nothing."""
    monkeypatch.setattr(machine, "ATTEMPT", 0.5)
    for code in ("import threading; threading.Event().wait()", "import os; os.abort()"):
        monkeypatch.setattr(machine, "_DRAW", code)
        assert machine.draws("egl") is False
    monkeypatch.setattr(machine, "ATTEMPT", 60.0)
    monkeypatch.setattr(machine, "_DRAW", "import os; assert os.environ['MUJOCO_GL'] == 'egl'")
    assert machine.draws("egl") is True


def test_a_machine_that_cannot_draw_is_told(cli: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the libraries that help, and with what the user has chosen."""
    monkeypatch.setattr(machine, "draws", lambda name: False)
    monkeypatch.setattr(machine, "find_spec", lambda name: object() if name == "mujoco" else None)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    found = messages(told(cli("doctor", "--json")))
    assert "MuJoCo cannot draw here with MUJOCO_GL=osmesa" in found and "apt-get install" in found


def test_it_works_as_a_program(tmp_path: Path) -> None:
    """In a process of its own, without a home: an exit code and no traceback."""
    done = process("doctor", "--root", tmp_path, HOME="", PYTHON_KEYRING_BACKEND="")
    assert done.code in (0, 1), done.err
    assert "runs\n" in done.out and "Traceback" not in done.err


@pytest.mark.parametrize("text", ["{", "[]", "\x00"])
def test_a_file_of_logins_that_cannot_be_read_is_a_problem(
    cli: Line, config: Path, text: str
) -> None:
    """Else it looks as if nobody had ever logged in."""
    config.parent.mkdir(parents=True, exist_ok=True)
    (config.parent / "credentials.json").write_text(text)
    found = messages(told(cli("doctor", "--json")))
    assert "which keeps the logins, cannot be read: " in found
    assert "remove it, and log in again" in found
