"""A reinforcement-learning loop: Gymnasium's CartPole, learned by the cross-entropy method.

Every step of every episode is a row, every episode a metric, every generation a log line.

python examples/cartpole.py
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy as np

import ml_dash
from ml_dash import Experiment


def main() -> None:
    """Learn to balance the pole, recorded step by step."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--generations", type=int, default=8)
    parser.add_argument("--population", type=int, default=16, help="episodes in a generation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    env = gymnasium.make("CartPole-v1")
    rng = np.random.default_rng(options.seed)
    mean, spread = np.zeros(4), np.ones(4)
    step = 0

    with Experiment(project="examples", dash_root=options.root).run as experiment:
        experiment.params.set(vars(options), env="CartPole-v1", method="cross-entropy")
        transitions = experiment.track("cartpole/transitions")
        for generation in range(options.generations):
            weights = rng.normal(mean, spread, (options.population, 4))
            returns = np.zeros(options.population)
            for i, policy in enumerate(weights):
                episode = generation * options.population + i
                observation, _ = env.reset(seed=options.seed + episode)
                over = False
                while not over:
                    action = int(observation @ policy > 0)
                    following, reward, terminated, truncated, _ = env.step(action)
                    transitions.append(
                        {
                            "step": step,
                            "episode": episode,
                            "observation": observation,
                            "action": action,
                            "reward": reward,
                            "terminated": terminated,
                            "truncated": truncated,
                        }
                    )
                    returns[i] += float(reward)
                    observation, over, step = following, terminated or truncated, step + 1
                experiment.metrics("episodes").log(step=episode, reward=returns[i])
            best = weights[np.argsort(returns)[-options.population // 4 :]]
            mean, spread = best.mean(0), best.std(0) + 0.05
            experiment.log("generation done", generation=generation, reward=returns.mean())
    env.close()

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    track, rewards = run.tracks["cartpole/transitions"], run.metrics["episodes"]["reward"]
    first, last = rewards[: options.population], rewards[-options.population :]
    print(f"run      {run.prefix}: {len(track)} transitions in {len(rewards)} episodes")
    print(f"reward   {np.mean(first):.0f} in the first generation, {np.mean(last):.0f} in the last")
    print(f"arrays   observation {track['observation'].shape}, action {track['action'].shape}")
    print(f"look     ml-dash logs {run.prefix} --root {options.root}")


if __name__ == "__main__":
    main()
