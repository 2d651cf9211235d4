"""The database's version: made from nothing, brought forward, and refused where it is newer."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from ml_dash.server import migrations
from ml_dash.server.accounts.users import create_user
from ml_dash.server.database import Database
from ml_dash.server.serving import OutdatedError, prepare, upgrade
from ml_dash.server.settings import ServerSettings
from ml_dash.server.tables import File, Namespace, Project, Run, Table

from .serving import KINDS, Machines, Served

NEWER = "9999"

ANEW = """
import sqlalchemy as sa
from alembic import op

revision = "9998"
down_revision = "{before}"


def upgrade() -> None:
    with op.batch_alter_table("runs") as table:
        table.alter_column("name", type_=sa.String(1200))
    op.execute("UPDATE runs SET name = 'anew'")
"""
"""A version for which SQLite makes a table anew."""


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, machines: Machines, tmp_path: Path) -> ServerSettings:
    """Of a server over an empty database of each kind."""
    return machines.settings(request.param, tmp_path)


@pytest.fixture
def data(settings: ServerSettings) -> Iterator[Database]:
    """That database."""
    found = Database(settings.database)
    yield found
    found.close()


def set_version(data: Database, version: str) -> None:
    """Let a database be of another version."""
    with data.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :v"), {"v": version})


def command(settings: ServerSettings, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`ml-dash server …` in a process of its own."""
    options = ["--folder", settings.folder, "--database", settings.database]
    return subprocess.run(
        [sys.executable, "-m", "ml_dash", "server", *arguments, *options],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_an_empty_database_comes_to_have_the_tables_of_this_program(data: Database) -> None:
    """Column by column, as Alembic compares them, and not one table more or less."""
    assert migrations.current(data) is None
    migrations.upgrade(data)
    assert migrations.current(data) == migrations.newest()
    assert migrations.differences(data) == []
    assert set(inspect(data.engine).get_table_names()) == {
        "alembic_version",
        *Table.metadata.tables,
    }


def test_the_migrations_know_every_index_and_key(
    data: Database, machines: Machines, tmp_path: Path
) -> None:
    """Indexes, unique and foreign keys are those that the metadata makes."""
    migrations.upgrade(data)
    beside = f"sqlite:///{tmp_path / 'other.sqlite'}"
    other = Database(beside if data.is_sqlite else machines.postgres.new_database())
    with other.engine.begin() as connection:
        Table.metadata.create_all(connection)
        expected = describe(connection)
    with data.engine.connect() as connection:
        found = describe(connection)
    other.close()
    assert found == expected


def describe(connection: object) -> dict[str, set[str]]:
    """What an inspector finds of each table, without the names that the database chose."""
    looking = inspect(connection)
    found: dict[str, set[str]] = {}
    for table in Table.metadata.tables:
        facts = {f"index {i['name']} {i['column_names']}" for i in looking.get_indexes(table)}
        unique = looking.get_unique_constraints(table)
        facts |= {f"unique {sorted(u['column_names'])}" for u in unique}
        for key in looking.get_foreign_keys(table):
            facts.add(f"key {key['constrained_columns']} {key['referred_table']} {key['options']}")
        for column in looking.get_columns(table):
            facts.add(f"column {column['name']} {column['type']!s} {column['nullable']}")
        facts.add(f"primary {looking.get_pk_constraint(table)['constrained_columns']}")
        found[table] = facts
    return found


def test_an_upgrade_may_be_repeated(settings: ServerSettings, data: Database) -> None:
    """`ml-dash server upgrade` twice: the second one changes nothing."""
    for _ in range(2):
        done = command(settings, "upgrade")
        assert done.returncode == 0, done.stderr
        assert migrations.current(data) == migrations.newest()
    assert migrations.differences(data) == []


def test_a_database_of_before_the_sizes_of_files_is_brought_forward(
    settings: ServerSettings, data: Database
) -> None:
    """The server asks for the upgrade, SQLite has it at the start; all is there, and counted."""
    migrations.upgrade(data)
    run_id = data.transaction(recorded)
    with data.engine.begin() as connection:
        for column in ("file_bytes", "active"):
            connection.execute(text(f"ALTER TABLE runs DROP COLUMN {column}"))
    set_version(data, "0001")
    if data.is_sqlite:
        prepare(settings)
    else:
        with pytest.raises(OutdatedError, match=r"0001.*needs.*`ml-dash server upgrade`"):
            prepare(settings)
        done = command(settings, "upgrade")
        assert done.returncode == 0, done.stderr
    assert migrations.current(data) == migrations.newest()
    assert migrations.differences(data) == []
    with data.reading() as session:
        assert session.get_one(Run, run_id).file_bytes == 5
        assert session.query(File).count() == 2


def test_a_database_of_before_the_durations_is_brought_forward(data: Database) -> None:
    """For how long runs went on is counted from what was kept of their sessions."""
    migrations.upgrade(data)
    run_id = data.transaction(recorded)
    ended = {"start": 100.0, "end": 110.0, "seen": 110.0, "heard": 9000.0}
    killed = {"start": 500.0, "seen": 530.0, "heard": 9400.0}
    sessions = {"sessions": {"w": ended, "x": killed, "joined": {"seen": 900.0}}}

    def kept(session: Session) -> None:
        run = session.get_one(Run, run_id)
        run.folded, run.heartbeat = sessions, 9407.5  # rows came for so long after its last sign

    data.transaction(kept)
    with data.engine.begin() as connection:
        connection.execute(text("ALTER TABLE runs DROP COLUMN active"))
    set_version(data, "0002")
    migrations.upgrade(data)
    assert migrations.differences(data) == []
    with data.reading() as session:
        run = session.get_one(Run, run_id)
        assert run.active == 47.5
        assert run.folded["stamps"] == {"x": [537.5, 9407.5]}


def test_a_table_that_is_made_anew_takes_nothing_with_it(
    settings: ServerSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SQLite drops the old one, at which its foreign keys would delete all that refers to it."""
    home = tmp_path / "migrations"
    shutil.copytree(Path(migrations.__file__).parent, home)
    (home / "versions/v9998_anew.py").write_text(ANEW.format(before=migrations.newest()))
    data = Database(settings.database)
    migrations.upgrade(data)
    run_id = data.transaction(recorded)
    monkeypatch.setattr(migrations, "__file__", str(home / "__init__.py"))
    prepare(settings) if data.is_sqlite else upgrade(data)
    assert migrations.current(data) == "9998"
    with data.reading() as session:
        assert session.get_one(Run, run_id).name == "anew"
        assert session.query(File).count() == 2
    with pytest.raises(IntegrityError), data.engine.begin() as connection:
        connection.execute(text("UPDATE files SET run_id = 'none'"))
    data.close()


def recorded(session: Session) -> str:
    """A run with one file and another that was deleted."""
    create_user(session, "anna", None)
    own = session.scalars(select(Namespace.id)).one()
    session.add(Project(id="1", namespace_id=own, name="arm", created=1.0))
    session.flush()
    session.add(Run(id="2", project_id="1", name="first", created=1.0, updated=1.0))
    session.flush()
    for path, at in (("kept", "kept"), ("deleted", None)):
        session.add(File(run_id="2", path=path, timestamp=1.0, place=at, size=5, row={}))
    return "2"


def test_a_newer_database_is_refused(settings: ServerSettings, data: Database) -> None:
    """By the server and by the upgrade, with what to do, and nothing in it is changed."""
    migrations.upgrade(data)
    set_version(data, NEWER)
    with pytest.raises(OutdatedError, match=f"{NEWER}.*newer.*upgrade"):
        upgrade(data)
    with pytest.raises(OutdatedError, match=f"{NEWER}.*newer.*upgrade this program"):
        prepare(settings)
    done = command(settings, "upgrade")
    assert done.returncode != 0 and NEWER in done.stderr and "Traceback" not in done.stderr
    assert migrations.current(data) == NEWER


def test_tables_without_a_version_are_left_alone(settings: ServerSettings, data: Database) -> None:
    """Another program's, or what a backup gave back in part: one line says so, and no traceback."""
    with data.engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE users (id VARCHAR(9))")
    for work in (lambda: prepare(settings), lambda: upgrade(data)):
        with pytest.raises(OutdatedError, match="another program's, or was restored in part"):
            work()
    done = command(settings, "upgrade")
    assert done.returncode != 0 and "restored in part" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_older_database_waits_for_the_upgrade(settings: ServerSettings, data: Database) -> None:
    """One that others may use is not changed by a mere start; a folder of one's own is."""
    migrations.upgrade(data)
    set_version(data, "0000")
    if data.is_sqlite:
        with pytest.raises(OutdatedError):  # there is no way from a version that never was
            prepare(settings)
    else:
        with pytest.raises(OutdatedError, match="ml-dash server upgrade"):
            prepare(settings)
    assert migrations.current(data) == "0000"


def test_processes_that_start_at_once_over_an_empty_database_make_it_once(
    settings: ServerSettings, data: Database, tmp_path: Path
) -> None:
    """Three of them: all come up, over one set of tables and one administrator."""
    several = [Served(replace(settings, folder=str(tmp_path / str(number)))) for number in range(3)]
    try:
        for each in several:
            each.begin()
        for each in several:
            each.wait()
        assert migrations.differences(data) == []
        with data.reading() as session:
            assert session.scalar(text("SELECT count(*) FROM users")) == 1
    finally:
        for each in several:
            each.kill()


def test_threads_that_upgrade_at_once_wait_for_each_other(data: Database) -> None:
    """Four at a time, each with a connection of its own."""

    def work(_: int) -> None:
        own = Database(data.url.render_as_string(hide_password=False))
        try:
            migrations.upgrade(own)
        finally:
            own.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(work, range(4)))
    assert migrations.differences(data) == []
