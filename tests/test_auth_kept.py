"""The line of the configuration file that names the server."""

from __future__ import annotations

import stat
import tomllib
from pathlib import Path

import pytest

from ml_dash.auth import forget_server, keep_server, kept_server
from ml_dash.settings import load

URL = "https://dash.test"


def test_a_kept_server_is_the_one_of_the_settings(config: Path) -> None:
    """Until it is forgotten; the file is for its user alone."""
    assert kept_server() is None
    assert keep_server(URL) == config
    assert kept_server() == load().url == URL
    assert stat.S_IMODE(config.stat().st_mode) == 0o600
    keep_server("https://other.test")
    assert kept_server() == "https://other.test"
    forget_server()
    assert kept_server() is None and load().url is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# mine\nroot = '/data' # runs\n",
        "root = '/data'\r\nurl = 'http://old.test'\r\necho = false\r\n",
        "echo = false\n\n[tool]\nurl = 'not this one'\n",
        "  'url'  =  \"http://old.test\" # old\n[a.b]\nc = [1,\n2]\n",
        "root = '/data'",
    ],
)
def test_every_other_line_stays_as_it_is(config: Path, text: str) -> None:
    """With comments, line ends and tables; kept and forgotten, only that line differs."""
    config.parent.mkdir()
    config.write_bytes(text.encode())
    before = tomllib.loads(text)
    keep_server(URL)
    now = config.read_bytes().decode()
    assert tomllib.loads(now) == {**before, "url": URL}
    others = [line for line in text.splitlines(keepends=True) if "old.test" not in line]
    assert all(line in now for line in others)
    forget_server()
    rest = {key: value for key, value in before.items() if key != "url"}
    assert tomllib.loads(config.read_bytes().decode()) == rest
    assert "".join(others) == config.read_bytes().decode()


@pytest.mark.parametrize("text", ["url = [", "url = '''\nhttp://x\n'''\n", "\xff = 1"])
def test_a_file_that_one_line_cannot_change_is_left_alone(config: Path, text: str) -> None:
    """The error names the file."""
    config.parent.mkdir()
    config.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"config\.toml|utf-8"):
        keep_server(URL)
    assert config.read_bytes() == text.encode("latin-1")


def test_a_file_kept_elsewhere_is_changed_there(config: Path, tmp_path: Path) -> None:
    """A link stays a link, and a file that others may read stays readable."""
    real = tmp_path / "dotfiles.toml"
    real.write_text("echo = false\n")
    real.chmod(0o644)
    config.parent.mkdir()
    config.symlink_to(real)
    keep_server(URL)
    assert config.is_symlink()
    assert tomllib.loads(real.read_text()) == {"echo": False, "url": URL}
    assert stat.S_IMODE(real.stat().st_mode) == 0o644
