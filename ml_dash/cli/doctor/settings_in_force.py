"""Which settings hold, and where each one comes from."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any

from ml_dash.cli.doctor.findings import Section
from ml_dash.remote.address import server_url
from ml_dash.settings import (
    OTHER_VARIABLES,
    SETTINGS,
    Settled,
    config_path,
    default_encoders,
    settle,
    token,
    unknown_keys,
    unknown_variables,
)


def settings_in_force(section: Section, arguments: Mapping[str, Any]) -> dict[str, Settled]:
    """Tell of each setting what holds and why; those that cannot be understood are problems.

    Args:
        section: where to.
        arguments: what the user gave to the command.

    Returns:
        The settings by name, with the default where there is a problem.
    """
    use_file, keys = True, []
    try:
        keys = unknown_keys()
    except ValueError as error:  # everything else still holds
        use_file = False
        section.problem(str(error), f"repair or remove {config_path()}")
    settings = settle(arguments, use_file=use_file)
    found = {settled.setting.name: settled for settled in settings}
    for name, settled in found.items():
        value = _shown(settled)
        held = {"value": value, "source": settled.source}
        section.tell(name, held, f"{_written(value)}  ({_source(settled)})")
        if settled.problem:
            section.problem(settled.problem, f"give {_place(settled)} another value, or none")
    given = token() is not None
    section.tell(
        "token",
        {"value": None, "source": "environment" if given else None},
        "set, and not shown  (ML_DASH_TOKEN)" if given else "ML_DASH_TOKEN is not set",
    )
    _tell_unknown(section, keys, unknown_variables())
    return found


def _shown(settled: Settled) -> Any:
    value = settled.value
    if settled.setting.name == "encoders" and value is None:
        return default_encoders()
    if settled.setting.name == "url" and value is not None:
        return _address(str(value))
    return value


def _address(text: str) -> str:
    """The address of a server as it may be shown. What is none may have a password in it."""
    try:
        return server_url(text)
    except ValueError:
        return "not an address, and not shown"


def _written(value: Any) -> str:
    if value is None:
        return "not set"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _source(settled: Settled) -> str:
    match settled.source:
        case "environment":
            return settled.setting.variable
        case "argument":
            return f"--{settled.setting.name}"
        case "file":
            return "configuration file"
    return "default"


def _place(settled: Settled) -> str:
    if settled.source == "environment":
        return settled.setting.variable
    return f"`{settled.setting.name}` in {config_path()}"


def _tell_unknown(section: Section, keys: list[str], variables: list[str]) -> None:
    """Tell of names that look like settings; never of what they are set to."""
    known = [setting.name for setting in SETTINGS]
    for key in keys:
        section.note(f"`{key}` in {config_path()} is no setting", _meant(key, known))
    known = [*(setting.variable for setting in SETTINGS), *OTHER_VARIABLES]
    for variable in variables:
        section.note(f"the variable {variable} is no setting", _meant(variable, known))


def _meant(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    return f"is {near[0]} meant?" if near else "docs/settings.md lists those there are"
