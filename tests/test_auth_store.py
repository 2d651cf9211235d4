"""Where tokens are kept, and who can read them."""

from __future__ import annotations

import os
import pickle
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import orjson
import pytest
from cli_process import environ

from ml_dash.auth import store
from ml_dash.auth.private import LockedError, locked, write_whole
from ml_dash.auth.store import Tokens, TokenStore
from ml_dash.auth.tokens import Credentials
from ml_dash.remote.transport import Hidden

URL = "https://dash.test"
OTHER = "https://other.test"
TOKENS = Tokens(Hidden("canary-access"), Hidden("canary-refresh"), 1.5, f"{URL}/t", f"{URL}/r")


class Keyring:
    """A keyring that keeps, refuses, forgets or breaks."""

    priority = 5.0
    name = "a test's"

    def __init__(self, way: str = "keeps") -> None:
        self.way = way
        self.kept: dict[tuple[str, str], str] = {}

    def set_password(self, service: str, user: str, text: str) -> None:
        """Keep a text."""
        if self.way == "refuses":
            raise RuntimeError("locked")
        if self.way == "keeps":
            self.kept[service, user] = text

    def get_password(self, service: str, user: str) -> str | None:
        """What was kept."""
        return self.kept.get((service, user))

    def delete_password(self, service: str, user: str) -> None:
        """Forget it."""
        del self.kept[service, user]


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> TokenStore:
    """A store without a keyring."""
    monkeypatch.setattr(store, "_keyring", lambda: None)
    return TokenStore(tmp_path / "config")


def use(monkeypatch: pytest.MonkeyPatch, keyring: Keyring) -> Keyring:
    """Let there be this keyring."""
    monkeypatch.setattr(store, "_keyring", lambda: keyring)
    return keyring


def mode(path: Path) -> int:
    """Who may do what with a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_tokens_come_back_as_they_were_kept(kept: TokenStore) -> None:
    """By server; those of another stay when one is forgotten."""
    kept.save(URL, TOKENS)
    kept.save(OTHER, Tokens(Hidden("b")))
    assert kept.load(URL) == TOKENS
    assert kept.servers() == [URL, OTHER]
    kept.delete(URL)
    kept.delete(URL)
    assert kept.load(URL) is None
    assert kept.load(OTHER) == Tokens(Hidden("b"))


def test_nobody_else_can_read_the_file_at_any_moment(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under a careless umask each file is made for its user alone, before a byte is in it."""
    made: list[tuple[Path, int, int]] = []
    real = os.open

    def spy(path: Any, flags: int, mode: int = 0o777, **options: Any) -> int:
        handle = real(path, flags, mode, **options)
        if flags & os.O_CREAT:
            status = os.fstat(handle)
            made.append((Path(path), stat.S_IMODE(status.st_mode), status.st_size))
        return handle

    monkeypatch.setattr(os, "open", spy)
    before = os.umask(0)
    try:
        kept.save(URL, TOKENS)
        kept.save(URL, TOKENS)
    finally:
        os.umask(before)
    assert len(made) >= 4
    assert {(modes, size) for _, modes, size in made} == {(0o600, 0)}
    assert mode(kept.path) == 0o600
    assert mode(kept.path.parent) == 0o700
    # Nothing else was made by another way
    assert {path.name for path in kept.path.parent.iterdir()} == {
        "credentials.json",
        "credentials.lock",
    }


def test_a_file_that_others_could_read_is_closed_and_told(
    kept: TokenStore, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a copy from elsewhere; the token is in no message."""
    kept.save(URL, TOKENS)
    kept.path.chmod(0o644)
    assert kept.load(URL) == TOKENS
    assert mode(kept.path) == 0o600
    assert "could be read by others" in caplog.text


def test_where_a_file_system_knows_no_permissions_nothing_is_claimed(
    kept: TokenStore, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on some mounts, and on Windows: the tokens are read, and not said to be safe now."""
    kept.save(URL, TOKENS)
    kept.path.chmod(0o644)
    monkeypatch.setattr(Path, "chmod", lambda self, mode: None)
    assert kept.load(URL) == TOKENS
    assert not caplog.records
    assert "canary" not in caplog.text


def test_a_draft_is_never_written_through_a_link(tmp_path: Path) -> None:
    """And a link in the place of the file is replaced, not followed."""
    target = tmp_path / "public"
    target.write_text("public")
    link = tmp_path / "secret"
    link.symlink_to(target)
    write_whole(link, b"secret")
    assert target.read_text() == "public"
    assert not link.is_symlink()


def test_a_file_that_cannot_be_written_stays_as_it_was(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk leaves the old tokens and no draft."""
    kept.save(URL, TOKENS)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        kept.save(URL, Tokens(Hidden("b")))
    assert kept.load(URL) == TOKENS
    assert not list(kept.path.parent.glob(".*"))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", '{"https://dash.test": 7}', '{"https://dash.test": {}}', "\xff"]
)
def test_a_file_of_something_else_has_no_tokens(kept: TokenStore, text: str) -> None:
    """Broken or another's, it is as if nobody were logged in, and the next login replaces it."""
    kept.path.parent.mkdir()
    kept.path.write_bytes(text.encode("latin-1"))
    assert kept.load(URL) is None
    kept.save(URL, TOKENS)
    assert kept.load(URL) == TOKENS


def test_a_keyring_has_them_and_the_file_has_not(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file only names the server; forgetting empties both."""
    keyring = use(monkeypatch, Keyring())
    assert kept.save(URL, TOKENS) == "the keyring (a test's)"
    assert kept.load(URL) == TOKENS
    assert orjson.loads(kept.path.read_bytes()) == {URL: {"keyring": True}}
    kept.delete(URL)
    assert not keyring.kept
    assert kept.load(URL) is None


def test_a_keyring_that_cannot_be_opened_is_told_once(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """As over SSH, where a desktop's is not there: else a login that is good looks like none."""
    use(monkeypatch, Keyring())
    kept.save(URL, TOKENS)
    assert not kept.is_shut(URL) and not kept.is_shut("https://other.test")
    monkeypatch.setattr(store, "_keyring", lambda: None)
    monkeypatch.delenv("ML_DASH_TOKEN", raising=False)
    credentials = Credentials(URL, store=kept)
    assert credentials.header() is None and credentials.header() is None
    (told,) = [record.getMessage() for record in caplog.records]
    assert "is in the keyring, which cannot be opened here" in told


@pytest.mark.parametrize("way", ["refuses", "forgets"])
def test_a_keyring_that_does_not_keep_leaves_it_to_the_file(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Locked, as over SSH, or one that only says that it did."""
    use(monkeypatch, Keyring(way))
    assert kept.save(URL, TOKENS) == str(kept.path)
    assert kept.load(URL) == TOKENS


def test_nobody_asks_a_keyring_who_never_logged_in(
    kept: TokenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some ask their user for a password."""

    def asked() -> Any:
        raise AssertionError("the keyring was asked")

    monkeypatch.setattr(store, "_keyring", asked)
    assert kept.load(URL) is None
    kept.delete(URL)


def test_a_secret_shows_itself_to_nobody() -> None:
    """Neither tokens nor their store have it in their repr."""
    shown = f"{TOKENS!r} {TOKENS.access!r} {TokenStore(Path('x'))!r}"
    assert "canary" not in shown
    assert "canary" not in repr({"a": TOKENS.to_json()})


def test_hidden_texts_are_pickled_as_texts() -> None:
    """What one is in another process is up to who sends it there; it stays the same text."""
    assert pickle.loads(pickle.dumps(TOKENS.access)) == "canary-access"


def test_a_lock_keeps_other_processes_out_until_it_is_left(tmp_path: Path) -> None:
    """Whoever waits too long says so; a process that is killed leaves no lock behind."""
    path = tmp_path / "lock"
    holder = (
        "import sys\nfrom pathlib import Path\nfrom ml_dash.auth.private import locked\n"
        "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", holder, str(path)],
        env=environ(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(LockedError), locked(path, patience=0.0):
            pass
        process.kill()
    with locked(path, patience=5.0), pytest.raises(LockedError), locked(path, patience=0.0):
        pass


def test_a_lock_that_was_let_go_is_free_though_a_child_was_forked_meanwhile(tmp_path: Path) -> None:
    """The child has the file open, too, for as long as it lives."""
    path = tmp_path / "x.lock"
    reading, writing = os.pipe()
    with locked(path):
        child = os.fork()
        if child == 0:
            os.close(writing)
            os.read(reading, 1)
            os._exit(0)
    os.close(reading)
    try:
        with locked(path, patience=0.0):
            pass
    finally:
        os.close(writing)
        os.waitpid(child, 0)
