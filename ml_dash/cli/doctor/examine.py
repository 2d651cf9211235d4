"""All examinations: which ones there are, in which order they are told, and how long each may take.

Those that need nothing from others begin at once, and beside each other.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ml_dash.cli.doctor import machine, places, runs, server, settings_in_force, versions
from ml_dash.cli.doctor.findings import Examination, Section
from ml_dash.settings import place_of

if TYPE_CHECKING:
    from ml_dash.remote import RemoteClient


def examine(options: Namespace, progress: Callable[[str], None]) -> Iterator[Section]:
    """Look at everything.

    Args:
        options: `root` and `url` as the user gave them, `None` where not.
        progress: told what is waited for.

    Yields:
        A section after the other, each as soon as it is known.
    """
    settings = Section("settings")
    arguments = {"root": options.root, "url": options.url}
    found = settings_in_force.settings_in_force(settings, arguments)
    root, url = Path(found["root"].value), found["url"].value
    clients: list[RemoteClient] = []

    def ask(section: Section) -> None:
        place = "--url" if found["url"].source == "argument" else place_of("url")
        client = server.examine_server(section, url, place)
        if client is not None:
            clients.append(client)

    begun = [
        Examination("versions", versions.examine_versions, 15),
        Examination("extras", versions.examine_extras, 15),
        Examination("places", lambda section: places.examine_places(section, root), 15),
        Examination("machine", machine.examine_machine, 30),
        Examination("opengl", machine.examine_opengl, 3 * machine.ATTEMPT + 5),
        Examination("server", ask, 40),
    ]
    *first, opengl, answer = begun
    for examination in first[:3]:
        progress("looking round")
        yield examination.result()
    yield settings
    progress("encoding pictures")
    yield first[3].result()
    progress("drawing with OpenGL")
    yield opengl.result()
    progress("asking the server")
    yield answer.result()
    progress("looking at the runs")
    client = clients[0] if clients else None
    limit = runs.LOCAL + runs.REMOTE + 30
    yield Examination(
        "runs", lambda section: runs.examine_runs(section, root, client), limit
    ).result()
