"""Stable-Baselines3: PPO on a recorded CartPole, and on a recorded environment of pixels.

python examples/sb3_ppo.py            # needs: pip install stable-baselines3
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy as np
from catch import Catch

import ml_dash
from ml_dash import Experiment
from ml_dash_gymnasium import RecordToDash, transitions


def main() -> None:
    """Train for a few hundred steps each, and read the transitions back."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--steps", type=int, default=1024, help="steps on CartPole")
    parser.add_argument("--pixels", type=int, default=64, help="steps on pixels")
    options = parser.parse_args()
    try:
        from stable_baselines3 import PPO
    except ImportError:
        raise SystemExit("this example needs: pip install stable-baselines3") from None

    with Experiment(project="examples", dash_root=options.root).run as experiment:
        experiment.params.set(vars(options), algorithm="PPO")
        cartpole = RecordToDash(gymnasium.make("CartPole-v1"), experiment, topic="cartpole")
        model = PPO("MlpPolicy", cartpole, n_steps=256, seed=0, device="cpu")
        model.learn(options.steps)
        cartpole.close()

        pixels = RecordToDash(Catch(), experiment, topic="catch")
        model = PPO(
            "CnnPolicy", pixels, n_steps=32, n_epochs=1, batch_size=32, seed=0, device="cpu"
        )
        model.learn(options.pixels)
        pixels.close()

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    print(f"run      {run.prefix}: {run.status}")
    for topic in ("cartpole", "catch"):
        steps = list(transitions(run, topic))
        lengths = run.metrics[f"{topic}/episodes"]["length"]
        print(
            f"{topic:8} {len(steps)} transitions in {len(lengths)} episodes; observations of shape"
        )
        print(f"         {np.shape(steps[0].observation)}, {lengths.mean():.0f} steps an episode")
    print(f"look     ml-dash show {run.prefix} --root {options.root}")


if __name__ == "__main__":
    main()
