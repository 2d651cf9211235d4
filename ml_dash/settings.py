"""Every setting: its argument, its environment variable, its key in the file, its default.

Argument over environment over configuration file over default. This module alone reads the
environment. The configuration file is TOML: `ML_DASH_CONFIG`, else `ml-dash/config.toml` in the
user's configuration folder.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

MEGABYTE = 1 << 20


def default_encoders() -> int:
    """One encoder for each core but one, which is left to the training loop."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on this platform
        cores = os.cpu_count() or 1
    return max(1, min(8, cores - 1))


class Setting(NamedTuple):
    """One line of the table in the documentation."""

    name: str
    variable: str
    default: Any
    meaning: str


SETTINGS = (
    Setting("root", "ML_DASH_ROOT", ".dash", "the folder that runs are kept in"),
    Setting("url", "ML_DASH_URL", None, "the server that runs are replicated to"),
    Setting(
        "buffer_enabled",
        "ML_DASH_BUFFER_ENABLED",
        True,
        "false: what a call records is in its file before the call returns",
    ),
    Setting(
        "flush_interval",
        "ML_DASH_FLUSH_INTERVAL",
        5.0,
        "seconds after which gathered rows are sent to the server",
    ),
    Setting("log_batch_size", "ML_DASH_LOG_BATCH_SIZE", 100, "log rows gathered in a request"),
    Setting("metric_batch_size", "ML_DASH_METRIC_BATCH_SIZE", 100, "metric rows in a request"),
    Setting("track_batch_size", "ML_DASH_TRACK_BATCH_SIZE", 100, "track rows in a request"),
    Setting(
        "frame_buffer_mb",
        "ML_DASH_FRAME_BUFFER_MB",
        256,
        "megabytes of frames in flight; beyond them the caller encodes, too",
    ),
    Setting(
        "encoders",
        "ML_DASH_ENCODERS",
        None,
        "threads that encode images; by default the cores less one, at most 8",
    ),
    Setting("echo", "ML_DASH_ECHO", True, "print log messages to the terminal, too"),
    Setting(
        "environment",
        "ML_DASH_ENVIRONMENT",
        True,
        "record packages, git state, command line and hardware at start",
    ),
    Setting("close_timeout", "ML_DASH_CLOSE_TIMEOUT", 30.0, "seconds that closing waits at most"),
)


OTHER_VARIABLES = ("ML_DASH_TOKEN", "ML_DASH_CONFIG")
"""Variables that are read and are no settings."""


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of one experiment. See `SETTINGS` for what each one means."""

    root: str = ".dash"
    url: str | None = None
    buffer_enabled: bool = True
    flush_interval: float = 5.0
    log_batch_size: int = 100
    metric_batch_size: int = 100
    track_batch_size: int = 100
    frame_buffer_mb: int = 256
    encoders: int | None = None
    echo: bool = True
    environment: bool = True
    close_timeout: float = 30.0


class Settled(NamedTuple):
    """A setting as it holds.

    Attributes:
        setting: which one.
        value: what holds; the default where there is a problem.
        source: `argument`, `environment`, `file` or `default`.
        problem: why what was given is no value of it; empty if it is one.
    """

    setting: Setting
    value: Any
    source: str
    problem: str = ""


def load(
    arguments: Mapping[str, Any] | None = None, environ: Mapping[str, str] | None = None
) -> Settings:
    """Settle every setting.

    Args:
        arguments: settings given in code; those that are `None` count as not given.
        environ: the environment, `os.environ` by default.

    Raises:
        ValueError: a variable or a line of the file has no such value; the message names it.
    """
    values: dict[str, Any] = {}
    for settled in settle(arguments, environ):
        if settled.problem:
            raise ValueError(settled.problem)
        if settled.source != "default":
            values[settled.setting.name] = settled.value
    return Settings(**values)


def settle(
    arguments: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    use_file: bool = True,
) -> Iterator[Settled]:
    """Every setting with where its value comes from, in the order of `SETTINGS`.

    Args:
        arguments: as for `load`.
        environ: as for `load`.
        use_file: look into the configuration file, too.

    Raises:
        ValueError: the configuration file cannot be understood.
    """
    environ = os.environ if environ is None else environ
    file, path = _read_file(environ) if use_file else ({}, config_path(environ))
    types = {field.name: str(field.type) for field in fields(Settings)}
    for setting in SETTINGS:
        text = environ.get(setting.variable)
        value, source, problem = setting.default, "default", ""
        try:
            if arguments and arguments.get(setting.name) is not None:
                value, source = arguments[setting.name], "argument"
            elif text is not None and text != "":
                source = "environment"
                value = _parse(text, types[setting.name], setting.variable)
            elif setting.name in file:
                source, place = "file", f"{setting.name} in {path}"
                kind = types[setting.name]
                value = _parse(_scalar(file[setting.name], kind, place), kind, place)
        except ValueError as error:
            problem = str(error)
        if setting.name == "root" and not problem:
            if not value:  # the working folder, which nobody means by it
                where = f"root in {path}" if source == "file" else "dash_root"
                problem = f"the folder for runs ({where}) is empty; give one, such as '.dash'"
            value = str(_expanded(value))
        yield Settled(setting, value, source, problem)


def place_of(name: str) -> str:
    """What says the value of a setting, for those who must change it."""
    found = next(settled for settled in settle() if settled.setting.name == name)
    return found.setting.variable if found.source == "environment" else f"{name} in {config_path()}"


def unknown_keys(environ: Mapping[str, str] | None = None) -> list[str]:
    """Keys of the configuration file that are no settings; its tables are others' affair.

    Raises:
        ValueError: the configuration file cannot be understood.
    """
    file, _ = _read_file(os.environ if environ is None else environ)
    known = {setting.name for setting in SETTINGS}
    return sorted(
        key for key, value in file.items() if key not in known and not isinstance(value, dict)
    )


def unknown_variables(environ: Mapping[str, str] | None = None) -> list[str]:
    """Variables that are called like settings and are none; those of a server are its affair."""
    known = {setting.variable for setting in SETTINGS} | {*OTHER_VARIABLES}
    return sorted(
        name
        for name in (os.environ if environ is None else environ)
        if name.startswith("ML_DASH_")
        and not name.startswith("ML_DASH_SERVER_")
        and name not in known
    )


def token(environ: Mapping[str, str] | None = None) -> str | None:
    """What shows a server who the user is, where nobody logs in: `ML_DASH_TOKEN`.

    No field of `Settings`, which are shown, pickled and taken to other processes.
    """
    environ = os.environ if environ is None else environ
    return environ.get("ML_DASH_TOKEN", "").strip() or None


def token_server(environ: Mapping[str, str] | None = None) -> str | None:
    """The server that this token is for, where that is said: `ML_DASH_URL` as a variable."""
    environ = os.environ if environ is None else environ
    return environ.get("ML_DASH_URL", "").strip() or None


def config_path(environ: Mapping[str, str] | None = None) -> Path:
    """Where the configuration file is looked for."""
    environ = os.environ if environ is None else environ
    if given := environ.get("ML_DASH_CONFIG"):
        return Path(given)
    if sys.platform == "win32":
        base = environ.get("APPDATA") or str(Path.home() / "AppData" / "Roaming")
    else:
        base = environ.get("XDG_CONFIG_HOME") or str(Path(environ.get("HOME") or "~") / ".config")
    return _expanded(base) / "ml-dash" / "config.toml"


def _expanded(path: str) -> Path:
    """A path with `~` replaced, where the user has a home: not every container's has one."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        return Path(path)


def _read_file(environ: Mapping[str, str]) -> tuple[dict[str, Any], Path]:
    path = config_path(environ)
    try:
        data = path.read_bytes()
    except OSError:
        return {}, path
    import tomllib

    try:
        return tomllib.loads(data.decode()), path
    except ValueError as error:  # of TOML, or of UTF-8
        raise ValueError(f"{path} is not valid TOML: {error}") from None


def _scalar(value: Any, kind: str, source: str) -> str:
    """A value of the file as an environment variable would have it."""
    if isinstance(value, (dict, list)):
        raise ValueError(f"{source} is {value!r}; it must be one value")
    if kind.startswith("str") and not isinstance(value, str):
        raise ValueError(f"{source} is {value!r}; it must be a text, in quotes")
    return str(value)


def _parse(text: str, kind: str, source: str) -> Any:
    parse, expected = _PARSERS[kind.split(" ")[0]]
    try:
        return parse(text.strip())
    except ValueError:
        raise ValueError(f"{source} is {text!r}; it must be {expected}") from None


def _boolean(text: str) -> bool:
    try:
        return _BOOLEANS[text.lower()]
    except KeyError:
        raise ValueError(text) from None


def _positive(convert: Callable[[str], Any]) -> Callable[[str], Any]:
    def parse(text: str) -> Any:
        value = convert(text)
        if not 0 < value < 1e12:  # also refuses NaN
            raise ValueError(text)
        return value

    return parse


_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}
_PARSERS: dict[str, tuple[Callable[[str], Any], str]] = {
    "str": (str, "a text"),
    "bool": (_boolean, "true or false"),
    "int": (_positive(int), "a positive integer"),
    "float": (_positive(float), "a positive number"),
}
