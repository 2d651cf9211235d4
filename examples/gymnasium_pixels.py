"""An environment of pixels, recorded: each picture a frame, each transition a row beside it.

python examples/gymnasium_pixels.py
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from catch import BALL, PADDLE, Catch
from PIL import Image

import ml_dash
from ml_dash import Experiment
from ml_dash_gymnasium import RecordToDash, read_episodes


def main() -> None:
    """Play with eyes only, record it, and read pictures and actions back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--episodes", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    with Experiment(project="examples", dash_root=options.root).run as experiment:
        experiment.params.set(vars(options), env="Catch")
        env = RecordToDash(Catch(), experiment, image_format="png")  # every pixel as it was
        rng = np.random.default_rng(options.seed)
        for episode in range(options.episodes):
            picture, _ = env.reset(seed=options.seed + episode)
            over = False
            while not over:
                clumsy = rng.random() < 0.2
                action = int(rng.integers(3)) if clumsy else towards_the_ball(picture)
                picture, _, terminated, truncated, _ = env.step(action)
                over = terminated or truncated
        env.close()

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    rows = run.aligned("env/steps", frames="env/obs")
    returns = run.metrics["env/episodes"]["return"]
    print(f"run      {run.folder}")
    print(f"return   {returns.mean():.1f} on average in {len(returns)} episodes")
    print(f"rows     {len(rows)}, with a frame each: {rows.report}")
    best = max(read_episodes(run), key=lambda episode: sum(episode.rewards))
    picture, action = best.observations[0], best.actions[0]
    print(f"best     episode {best.number}: {len(best)} steps; it began with a picture of shape")
    print(f"         {picture.shape}, {picture.dtype}, and action {action}")
    sheet = Path(options.root) / f"{run.folder.name}.png"
    strip(best.observations, sheet)
    print(f"look     {sheet}: the best episode")


def towards_the_ball(picture: np.ndarray) -> int:
    """The action that brings the paddle under the ball, as far as one picture tells."""
    ball = np.argwhere((picture == BALL).all(-1))[:, 1]
    paddle = np.argwhere((picture == PADDLE).all(-1))[:, 1]
    return 1 if not len(ball) else 1 + int(np.sign((ball.mean() - paddle.mean()).round() // 3))


def strip(pictures: list[np.ndarray], path: Path) -> None:
    """Draw at most 24 of the pictures, evenly spaced, in three rows."""
    chosen = np.linspace(0, len(pictures) - 1, 24).round().astype(int)
    framed = [np.pad(pictures[i], ((2, 2), (2, 2), (0, 0)), constant_values=255) for i in chosen]
    rows = [np.concatenate(framed[k : k + 8], axis=1) for k in (0, 8, 16)]
    sheet = Image.fromarray(np.concatenate(rows))
    sheet.resize((sheet.width * 2, sheet.height * 2), Image.Resampling.NEAREST).save(path)


if __name__ == "__main__":
    main()
