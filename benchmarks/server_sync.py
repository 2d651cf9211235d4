"""What the client that users have sends to a server: a run of rows, and one of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.calls import ROW, make_row
from benchmarks.frames import Pixels, render, stamp
from benchmarks.recording import Bench, DataLost, check_frames, check_rows
from benchmarks.serving import KINDS, Site, site
from benchmarks.table import Result, count, duration
from benchmarks.timing import Stretch, interleave, median, repeat, stretch
from ml_dash import Experiment
from ml_dash.remote import RemoteClient
from ml_dash.sync.download import download
from ml_dash.sync.replicate import replicate
from tests.server.serving import Token

_TOPIC = "robot/position"
_ROWS, _FRAMES = 200_000, 200

Check = Callable[[Path], object]


def replicated_rows(bench: Bench) -> Iterator[Result]:
    """`ml-dash sync` of a long run of rows."""
    many = bench.scale.read_rows
    with bench.place() as root:
        with _experiment(root).run as experiment:
            repeat(f"e.track({_TOPIC!r}).append({ROW})", many, e=experiment)

        def check(run: Path) -> None:
            check_rows(run, f"tracks/{_TOPIC}", many, make_row)

        for kind, name in KINDS.items():
            yield _sent(bench, root, kind, f"{name}: rows/s by `ml-dash sync`", many, _ROWS, check)


def replicated_frames(bench: Bench) -> Iterator[Result]:
    """`ml-dash sync` of JPEG frames."""
    many, picture = bench.scale.jpegs, render()
    with bench.place() as root:
        with _experiment(root).run as experiment:
            _save_frames(experiment, picture, many)

        def check(run: Path) -> None:
            check_frames(run, "f", many, picture, "jpg")

        for kind, name in KINDS.items():
            title = f"{name}: JPEG frames/s by `ml-dash sync`, 480x640"
            yield _sent(bench, root, kind, title, many, _FRAMES, check)


def _experiment(root: Path) -> Experiment:
    return Experiment("a/sent", dash_root=root, echo=False, environment=False)


def _save_frames(experiment: Experiment, picture: Pixels, number: int) -> None:
    for i in range(number):
        experiment.files("f").save_image(stamp(picture.copy(), i), to=f"{i:06d}.jpg")


def _sent(
    bench: Bench, root: Path, kind: str, name: str, things: int, target: int, check: Check
) -> Result:
    servers: list[float] = []
    with site(bench, kind) as server:

        def once(number: int) -> Stretch:
            before = server.cpu()
            taken = _replicated(bench, server, root / "a" / "sent", f"sent/{number}", check)
            servers.append(server.cpu() - before)
            return taken

        (found,) = interleave(bench.scale.rounds, once)
    speed = median([things / s.wall for s in found])
    return Result(
        name,
        f"at least {count(target)}/s",
        "",
        f"{count(speed)}/s",
        met=speed >= target,
        note=f"{duration(median([s.cpu for s in found]) / things)} of the client's CPU for each,"
        f" {duration(median(servers) / things)} of the server's, reading back included",
    )


def _replicated(bench: Bench, server: Site, folder: Path, prefix: str, check: Check) -> Stretch:
    """Send a run under a new name, and hold what the server gives back against the original."""
    client = RemoteClient(server.url, Token(server.person.token))
    with stretch() as taken:
        report = replicate(folder, client, prefix)
    if not report.ok:
        raise DataLost(f"not all was sent: {report}")
    found = client.json("POST", "/runs", json={"prefix": prefix, "create": False})
    with bench.place() as place:
        download(str(found["run"]["id"]), client, place / "copy")
        check(place / "copy")
    return taken
