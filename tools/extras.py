"""Uses each extra of the installed package for real, and sees what is said where it is missing.

    python tools/extras.py use mcap     in an environment with that extra alone: it has to work
    python tools/extras.py lacking      in one without any: each use has to name its extra

A use first calls ML-Dash and then looks at what came out, with the extra's own reader where there
is one.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from extras_frameworks import gymnasium, lightning, mujoco
from extras_server import refuse, serve

import ml_dash

STEPS = 20
EPISODES = 2
NOT_FOR_USERS = {"dev", "docs"}


class RefusedError(Exception):
    """A command ended with an error; the text is what it said."""


def run() -> ml_dash.RunView:
    """A run of two episodes at 10 Hz: a state, an action and a picture for each step."""
    if not Path(".dash/robotics/arm").exists():
        start = 1_700_000_000.0
        with ml_dash.Experiment("robotics/arm", echo=False).run as experiment:
            for step in range(STEPS):
                at = start + step / 10
                episode = step * EPISODES // STEPS
                row = {"step": step, "episode": episode, "obs": [step / 2, 0.0], "action": [1.0]}
                experiment.track("arm").append(row, timestamp=at)
                pixels = np.full((48, 64, 3), 10 * step, np.uint8)
                name = f"frame_{step:05d}.png"
                experiment.files("camera").save_image(pixels, to=name, timestamp=at)
    return ml_dash.open_run("robotics/arm")


def command(*arguments: str) -> str:
    """What a command of `ml-dash` printed."""
    run()
    done = subprocess.run(
        ["ml-dash", *arguments], capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def load(module: str) -> Any:
    """A package that only one extra brings."""
    return importlib.import_module(module)


# --- what can be done with each ------------------------------------------------------------------


def pandas() -> None:
    """A track as a DataFrame."""
    assert run().tracks["arm"].to_pandas()["step"].tolist() == list(range(STEPS))


def polars() -> None:
    """A track as a DataFrame."""
    assert run().tracks["arm"].to_polars()["step"].to_list() == list(range(STEPS))


def arrow() -> None:
    """A track as a table."""
    assert run().tracks["arm"].to_arrow()["step"].to_pylist() == list(range(STEPS))


def parquet() -> None:
    """Tables that pyarrow reads."""
    run().export("parquet", "tables")
    (table,) = Path("tables").rglob("*.parquet")
    assert load("pyarrow.parquet").read_table(table).num_rows == STEPS


def hdf5() -> None:
    """Episodes that h5py reads."""
    run().export("hdf5", "episodes.hdf5")
    with load("h5py").File("episodes.hdf5") as file:
        assert len(file) == EPISODES


def minari() -> None:
    """The same as a folder for Minari."""
    run().export("minari", "minari")
    (data,) = Path("minari").rglob("*.hdf5")
    with load("h5py").File(data) as file:
        assert len(file) == EPISODES


def mcap() -> None:
    """Messages that mcap reads."""
    run().export("mcap", "arm.mcap")
    with Path("arm.mcap").open("rb") as file:
        found = list(load("mcap.reader").make_reader(file).iter_messages())
    assert len(found) == 2 * STEPS, f"{len(found)} messages for {STEPS} rows and {STEPS} frames"


def frames_of(file: Path | BinaryIO) -> int:
    """How many frames a video has."""
    with load("av").open(str(file) if isinstance(file, Path) else file) as video:
        return sum(1 for _ in video.decode(video=0))


def video() -> None:
    """A video by the command."""
    command("video", "robotics/arm", "-o", "arm.mp4")
    assert frames_of(Path("arm.mp4")) == STEPS


def saved_video() -> None:
    """A video among a run's files."""
    with ml_dash.Experiment("videos", echo=False).run as experiment:
        movie = [np.full((48, 64, 3), 10 * number, np.uint8) for number in range(STEPS)]
        experiment.files("eval").save_video(movie, to="movie.mp4", fps=10)
    with ml_dash.open_run("videos").files.open("eval/movie.mp4") as file:
        assert frames_of(file) == STEPS


def lerobot() -> None:
    """A dataset with its video."""
    run().export("lerobot", "lerobot")
    (table,) = Path("lerobot/data").rglob("*.parquet")
    assert load("pyarrow.parquet").read_table(table).num_rows == STEPS
    (movie,) = Path("lerobot").rglob("*.mp4")
    assert frames_of(movie) == STEPS


def plot() -> None:
    """Curves as a picture."""
    command("plot", "robotics/arm", "--track", "arm", "-o", "curves.png")
    assert Path("curves.png").read_bytes().startswith(b"\x89PNG")


def figure() -> None:
    """matplotlib's current figure among a run's files."""
    with ml_dash.Experiment("figures", echo=False).run as experiment:
        experiment.files("eval").save_fig(to="figure.png")
    saved = ml_dash.open_run("figures").files.read_bytes("eval/figure.png")
    assert saved.startswith(b"\x89PNG")


def torch() -> None:
    """Batches of aligned rows."""
    (batch,) = run().aligned("arm", frames="camera").to_torch(batch_size=STEPS, columns=["obs"])
    assert tuple(batch["frame"].shape) == (STEPS, 3, 48, 64), batch["frame"].shape


def saved_torch() -> None:
    """A checkpoint among a run's files."""
    with ml_dash.Experiment("checkpoints", echo=False).run as experiment:
        experiment.files("models").save_torch({"weights": np.zeros(3)}, to="last.pt")
    with ml_dash.open_run("checkpoints").files.open("models/last.pt") as file:
        found = load("torch").load(file, weights_only=False)
    assert found["weights"].shape == (3,)


def tensorflow() -> None:
    """Batches of aligned rows."""
    batches = run().aligned("arm", frames="camera").to_tensorflow(batch_size=STEPS)
    (batch,) = iter(batches)
    assert len(batch["frame"]) == STEPS, batch["frame"].shape


def keyring() -> None:
    """Tokens are kept by a keyring, and not in our file."""
    os.environ["PYTHON_KEYRING_BACKEND"] = "extras_keyring.Memory"
    from ml_dash.auth.store import Tokens, TokenStore

    store = TokenStore(Path("config"))
    assert "keyring" in store.save("https://dash.example", Tokens("a secret"))
    found = store.load("https://dash.example")
    assert found is not None
    assert found.access == "a secret"
    assert "a secret" not in store.path.read_text()


USES: dict[str, tuple[Callable[[], None], ...]] = {
    "arrow": (arrow, parquet),
    "gymnasium": (gymnasium,),
    "hdf5": (hdf5, minari),
    "keyring": (keyring,),
    "lerobot": (lerobot,),
    "lightning": (lightning,),
    "mcap": (mcap,),
    "mujoco": (mujoco,),
    "pandas": (pandas,),
    "plot": (plot, figure),
    "polars": (polars,),
    "server": (serve,),
    "tensorflow": (tensorflow,),
    "torch": (torch, saved_torch),
    "video": (video, saved_video),
}
SILENT = {"keyring"}
"""Without it something else does as well: here a file that only the user can read."""


def use(extra: str) -> None:
    """Do with an extra what it is for."""
    for each in USES[extra]:
        each()
        print(f"{extra}: {each.__doc__}")


def lacking() -> None:
    """See that each use says, in one error, what to install."""
    for extra in sorted(USES.keys() - SILENT):
        wanted = f'pip install "ml-dash[{extra}]"'
        for each in (refuse,) if extra == "server" else USES[extra]:
            try:
                each()
            except (ImportError, RefusedError) as error:
                assert wanted in str(error), f"{extra}, {each.__name__}: {error}"
                assert len(str(error).strip().splitlines()) == 1, f"{extra}: {error}"
            else:
                raise AssertionError(f"{extra}, {each.__name__}: worked without its extra")
    print(f"without any of {len(USES)} extras each use says which one it needs")


def main() -> None:
    """Fail with the first thing that does not hold."""
    package = Path(ml_dash.__file__).parent
    assert package.is_relative_to(sys.prefix), f"imported {package}, not the installed package"
    offered = set(importlib.metadata.metadata("ml-dash").get_all("Provides-Extra") or ())
    assert offered - NOT_FOR_USERS == USES.keys(), f"extras without a use: {offered ^ USES.keys()}"
    with tempfile.TemporaryDirectory() as place:
        before = Path.cwd()
        os.chdir(place)
        try:
            match sys.argv[1:]:
                case ["use", extra]:
                    use(extra)
                case ["lacking"]:
                    lacking()
                case _:
                    sys.exit(__doc__)
        finally:
            os.chdir(before)


if __name__ == "__main__":
    main()
