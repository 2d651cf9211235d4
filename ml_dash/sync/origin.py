"""Where a downloaded run came from: noted in its folder, so that it goes back there alone.

What was recorded may say `robotics/arm`, which is another run for each user of a server. The file
`.buffer/origin.json` says which one this is: `{"url": …, "prefix": "anna/robotics/arm"}`.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from ml_dash.backends.blobs import write_in
from ml_dash.run_folder import prefix_in

PLACE = ".buffer/origin.json"


class Origin(NamedTuple):
    """The server that a run was downloaded from, and its whole prefix there."""

    url: str
    prefix: str


def keep_origin(folder: Path, origin: Origin) -> None:
    """Note in a run's folder where it came from.

    Raises:
        OSError: it cannot be written.
    """
    write_in(folder, PLACE, json.dumps(origin._asdict()).encode() + b"\n")


def origin_of(folder: Path) -> Origin | None:
    """Where a run was downloaded from; `None` if it was recorded here.

    Raises:
        ValueError: the note cannot be read.
    """
    path = folder / PLACE
    try:
        found = json.loads(path.read_text("utf-8"))
        url, prefix = found["url"], found["prefix"]
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError):
        url = prefix = None
    if not (isinstance(url, str) and isinstance(prefix, str) and prefix):
        # Taken for a recorded one, it would become another run of whoever sends it.
        raise ValueError(f"{path} does not say where the run came from; download the run again")
    return Origin(url, prefix)


def key_of(folder: Path) -> str:
    """What a server knows a run by: the whole prefix of a downloaded one, else what was recorded.

    Raises:
        ValueError: as `origin_of` does.
    """
    origin = origin_of(folder)
    return origin.prefix if origin is not None else prefix_in(folder)
