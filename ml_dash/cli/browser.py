"""A browser to show a page in, where whoever gave the command sits before a screen."""

from __future__ import annotations

import os
import sys


def has_screen() -> bool:
    """Whether a window that is opened here can be seen."""
    # Conventions of systems, not settings of ours: hence not in `settings`.
    if os.environ.get("SSH_CONNECTION") or os.environ.get("SSH_TTY"):
        return False
    if sys.platform in ("darwin", "win32"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def open_page(address: str) -> bool:
    """Open a page; whether there is a browser that does."""
    import webbrowser

    try:
        return webbrowser.open(address)
    except (webbrowser.Error, OSError):
        return False
