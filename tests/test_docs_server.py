"""The pages on the server: what they show runs, and what they state holds."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from dash_server import ServerProcess
from documents import FENCE, ROOT, Reader, blocks_of, check_blocks, check_install

from ml_dash import rows, wire
from ml_dash.cli import make_parser
from ml_dash.server import problems, serving, store
from ml_dash.server.accounts import attempts, tokens
from ml_dash.server.app import create_app
from ml_dash.server.limits import SMALL_BODY
from ml_dash.server.runs.fold import MOST
from ml_dash.server.settings import PREFIX, ServerSettings

API = (ROOT / "docs" / "http-api.md").read_text()
SERVER = (ROOT / "docs" / "server.md").read_text()


def lines_of(text: str, first: str) -> list[list[str]]:
    """The rows of the table whose head begins with `first`."""
    found = re.search(rf"^\| {re.escape(first)} \|.*\n\|[-|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert found, f"no table that begins with {first!r}"
    return [[c.strip(" `") for c in line.strip("|").split("|")] for line in found[1].splitlines()]


def fenced(language: str) -> str:
    """The one block of a language in the page on the server."""
    (found,) = (code for name, code in FENCE.findall(SERVER) if name == language)
    return str(found)


@pytest.fixture(scope="module")
def routes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The paths of the OpenAPI document."""
    folder = tmp_path_factory.mktemp("app")
    app = create_app(ServerSettings(folder=str(folder)).settled())
    app.state.database.close()
    return dict(app.openapi()["paths"])


def test_a_program_written_from_the_pages_blocks_works(tmp_path: Path) -> None:
    """All blocks of the API's page run against a server, and print what is shown."""
    with ServerProcess(tmp_path / "server") as server:
        token = server.add_user("anna").token()
        (tmp_path / "work").mkdir()
        check_blocks("docs/http-api.md", Reader(tmp_path / "work", server, token))


def test_every_route_is_in_the_table(routes: dict[str, Any]) -> None:
    """The page lists the methods and paths that the server has, and no others."""
    listed = {(row[0], row[1]) for row in lines_of(API, "method")}
    real = {(m.upper(), path.removeprefix(wire.API)) for path in routes for m in routes[path]}
    assert listed == real


def test_the_codes_of_errors_are_those_of_the_server() -> None:
    """Each status has the word that the table gives."""
    for statuses, code, _ in lines_of(API, "status"):
        for status in statuses.split(", "):
            assert problems.CODES[int(status)] == code


def test_the_limits_of_requests_are_those_of_the_code() -> None:
    """What another program must keep to is written down as it is."""
    listed = [int(row[1].replace(",", "")) for row in lines_of(API, "limit")]
    real = [wire.REQUEST_LIMIT, rows.MAX_LINE, wire.MAX_PIECES, wire.SEND_LIMIT, SMALL_BODY]
    assert listed == real
    assert wire.TAIL == 4096 and "up to 4,096 bytes before" in API
    assert wire.SMALL_BLOB == 1 << 20 and "up to 1 MiB" in API


def test_the_table_of_settings_is_that_of_the_server() -> None:
    """Every variable stands there, with its default, in order."""
    real = []
    for field in fields(ServerSettings):
        default = field.default
        shown = f"{default:g}" if isinstance(default, float) and default < 1e6 else default
        shown = int(default) if isinstance(default, float) else shown
        real.append([PREFIX + field.name.upper(), str(shown)])
    assert [row[:2] for row in lines_of(SERVER, "variable")] == real


def test_the_limits_of_a_server_are_those_of_the_code() -> None:
    """The table of limits has the numbers that hold."""
    text = SERVER.partition("## Limits")[2]
    settings = ServerSettings()
    by_name, by_address, _ = attempts.password_limits("anna", "10.0.0.1")
    codes = attempts.code_limits("1", "10.0.0.1")
    for number in (
        f"{settings.request_limit >> 20} MiB; 413",
        f"forms {SMALL_BODY >> 20} MiB",
        f"{settings.body_memory >> 20} MiB; 503",
        f"| {settings.concurrency}; 503",
        f"| {rows.MAX_LINE >> 20} MiB |",
        f"| {MOST} each",
        f"| {by_name.most} for a name from an address, {by_address.most} from an address |",
        f"| {codes[0].most} for a user, {codes[1].most} from an address |",
        f"| {tokens._MOST} |",
        f"within {attempts.WINDOW / 60:.0f} minutes",
        f"at most {store.AT_ONCE} requests wait, for\n{store.TIMEOUT.total_seconds():.0f} seconds",
    ):
        assert number in text, number
    assert f"for {serving.GRACE} seconds at most" in SERVER


def commands(code: str) -> Iterator[list[str]]:
    """The commands of a block of shell."""
    for line in code.splitlines():
        if words := shlex.split(line, comments=True):
            yield words


def test_the_commands_of_the_page_are_commands() -> None:
    """Each call of ml-dash can be parsed, each pip install has its extra, variables are known."""
    known = {PREFIX + field.name.upper() for field in fields(ServerSettings)}
    for block in blocks_of("docs/server.md"):
        assert block.language == "sh"
        for words in commands(block.code):
            match words:
                case ["ml-dash", *arguments]:
                    assert make_parser().parse_args(arguments).command.name == arguments[0]
                case ["pip", "install", target]:
                    check_install(target)
                case ["export", setting]:
                    assert setting.partition("=")[0] in known
                case [program, *_]:
                    assert program in RUN_ELSEWHERE, words


RUN_ELSEWHERE = {"umask", "curl", "sqlite3", "cp", "mkdir", "rm", "pg_dump", "pg_restore", "aws"}
"""Programs whose lines tests/test_docs_deployment.py really runs."""


def test_the_unit_starts_the_server_with_settings_that_it_has() -> None:
    """The unit's command can be parsed, its variables are known, its time-out outlasts ours."""
    unit = [line.split("=", 1) for line in fenced("ini").splitlines() if "=" in line]
    last = {key: value for key, value in unit if key != "Environment"}
    program, *arguments = last["ExecStart"].split()
    assert Path(program).name == "ml-dash"
    assert make_parser().parse_args(arguments).command.name == "serve"
    set_there = dict(value.split("=", 1) for key, value in unit if key == "Environment")
    assert ServerSettings.load({}, set_there).url == "https://dash.example.org"
    assert set_there.keys() <= {PREFIX + field.name.upper() for field in fields(ServerSettings)}
    assert f"StateDirectory={Path(set_there[PREFIX + 'FOLDER']).name}" in fenced("ini")
    assert int(last["TimeoutStopSec"]) > serving.GRACE
    assert 5 * int(last["RestartSec"]) > 10, "systemd gives up after five starts in ten seconds"
