"""Gymnasium's CartPole, recorded by one line: every transition a row, every episode a metric.

python examples/gymnasium_cartpole.py
"""

from __future__ import annotations

import argparse

import gymnasium
import numpy as np

import ml_dash
from ml_dash import Experiment
from ml_dash_gymnasium import RecordToDash, read_episodes, transitions


def main() -> None:
    """Learn to balance the pole by the cross-entropy method, and look at what was recorded."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--generations", type=int, default=6)
    parser.add_argument("--population", type=int, default=12, help="episodes in a generation")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    with Experiment(project="examples", dash_root=options.root).run as experiment:
        experiment.params.set(vars(options), env="CartPole-v1", method="cross-entropy")
        env = RecordToDash(gymnasium.make("CartPole-v1"), experiment)  # the one line
        learn(env, options)
        env.close()

    run = ml_dash.open_run(experiment.prefix, root=options.root)
    returns = run.metrics["env/episodes"]["return"]
    first, last = returns[: options.population], returns[-options.population :]
    print(f"run      {run.prefix}: {len(returns)} episodes")
    print(f"return   {np.mean(first):.0f} in the first generation, {np.mean(last):.0f} in the last")

    observation, action, reward, following, terminated, truncated = next(transitions(run))
    print(f"(o, a, r, o', terminated, truncated) of the first of {len(list(transitions(run)))}:")
    print(f"         {observation}, {action}, {reward}, {following}, {terminated}, {truncated}")
    best = max(read_episodes(run), key=len)
    print(f"longest  episode {best.number}: {len(best)} steps, seed {best.seed}, {best.ended}")
    print(f"look     ml-dash show {run.prefix} --root {options.root}")


def learn(env: gymnasium.Env, options: argparse.Namespace) -> None:
    """Play generations of random linear policies; each is drawn around the best of the last."""
    rng = np.random.default_rng(options.seed)
    mean, spread = np.zeros(4), np.ones(4)
    for generation in range(options.generations):
        policies = rng.normal(mean, spread, (options.population, 4))
        returns = []
        for i, policy in enumerate(policies):
            observation, _ = env.reset(seed=options.seed + generation * options.population + i)
            total, over = 0.0, False
            while not over:
                action = int(observation @ policy > 0)
                observation, reward, terminated, truncated, _ = env.step(action)
                total, over = total + float(reward), terminated or truncated
            returns.append(total)
        best = policies[np.argsort(returns)[-options.population // 4 :]]
        mean, spread = best.mean(0), best.std(0) + 0.05


if __name__ == "__main__":
    main()
