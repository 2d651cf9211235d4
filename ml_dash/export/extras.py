"""Packages that some formats need and the core does not have."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ml_dash.errors import missing_extra


def need(module: str, what: str, *, package: str | None = None, extra: str) -> Any:
    """Import a module of an extra.

    Args:
        module: what to import.
        what: what needs it, for the message.
        package: what it is called where it is installed from; by default the module's first part.
        extra: the extra that brings it.

    Raises:
        ImportError: it is not installed; the text is the pip line.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise missing_extra(package or module.partition(".")[0], what, extra) from error
