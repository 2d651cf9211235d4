"""Behaviour cloning: record somebody who can do it, then learn from the frames to do the same.

A hand moves over a table towards a coin. A scripted expert shows it sixty times; every step
is a frame of the camera and a row with the expert's action. A small network then learns to move the
hand by what the camera sees: from two frames it predicts the next four actions. At last it is tried
on tables that it has never seen.

python examples/behaviour_cloning.py      (needs PyTorch: pip install ".[torch]")
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

import ml_dash
from ml_dash import Experiment

SEEN, AHEAD = 2, 4  # frames that the policy sees, actions that it predicts


class Table:
    """A table from above: a hand (red) and a coin (green), both within [-1, 1]²."""

    size = 32

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def reset(self) -> np.ndarray:
        """Put hand and coin somewhere; what the camera sees, (32, 32, 3) uint8."""
        self.hand, self.coin = self.rng.uniform(-0.9, 0.9, (2, 2))
        return self.see()

    def step(self, action: np.ndarray) -> np.ndarray:
        """Move the hand by an action within [-1, 1]², a tenth of the way; what is seen then."""
        self.hand = np.clip(self.hand + 0.1 * np.clip(action, -1, 1), -1, 1)
        return self.see()

    def see(self) -> np.ndarray:
        """The camera's picture."""
        y, x = np.mgrid[0 : self.size, 0 : self.size] / (self.size - 1) * 2 - 1
        picture = np.full((self.size, self.size, 3), 40.0)
        for channel, place in enumerate((self.hand, self.coin)):
            near = np.exp(-((x - place[0]) ** 2 + (y - place[1]) ** 2) / 0.02)
            picture[..., channel] += 200 * near
        return np.clip(picture, 0, 255).astype(np.uint8)

    @property
    def distance(self) -> float:
        """How far the hand is from the coin."""
        return float(np.linalg.norm(self.hand - self.coin))

    def expert(self) -> np.ndarray:
        """What somebody would do who knows where hand and coin are."""
        return np.clip(4 * (self.coin - self.hand), -1, 1)


class Policy(nn.Module):
    """From (B, SEEN, 3, 32, 32) to (B, AHEAD, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(1, 2),
            nn.Conv2d(3 * SEEN, 16, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(16, 32, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(32 * 8 * 8, 128),
            nn.ReLU(),
            nn.Linear(128, 2 * AHEAD),
            nn.Unflatten(1, (AHEAD, 2)),
        )

    def forward(self, frames: torch.Tensor) -> torch.Tensor:
        """Predict the next actions."""
        return self.layers(frames)


def record(prefix: str, root: str, episodes: int, length: int, seed: int) -> None:
    """Let the expert show it."""
    table = Table(np.random.default_rng(seed))
    with Experiment(prefix, dash_root=root, echo=False).run as experiment:
        experiment.params.set(episodes=episodes, length=length, seed=seed)
        recorder = experiment.recorder(format="png")
        for episode in range(episodes):
            seen = table.reset()
            for t in range(length):
                action = table.expert()
                row = {"episode": episode, "action": action, "distance": table.distance}
                recorder.record(
                    episode * length + t, tracks={"expert": row}, frames={"camera": seen}
                )
                # The hand is jogged a little, so that the policy learns to get back on its way
                seen = table.step(action + table.rng.normal(0, 0.3, 2))


def train(prefix: str, root: str, epochs: int, workers: int, seed: int) -> Policy:
    """Learn from what was recorded; the losses are recorded, too."""
    torch.manual_seed(seed)
    rows = ml_dash.open_run(prefix, root=root).aligned("expert", frames="camera")
    print(f"recorded {rows.report}, {rows.episode_index[-1] + 1} episodes")
    loader = rows.to_torch(
        batch_size=32,
        shuffle=True,
        num_workers=workers,
        columns=["action"],
        obs_horizon=SEEN,
        action_horizon=AHEAD,
    )
    policy = Policy()
    optimizer = torch.optim.Adam(policy.parameters(), lr=1e-3)
    with Experiment(f"{prefix}-training", dash_root=root, echo=False).run as experiment:
        for epoch in range(epochs):
            losses = []
            for batch in loader:
                error = (policy(batch["frame"]) - batch["action"]) ** 2
                loss = error[~batch["action_is_pad"]].mean()  # the filled-up end counts for nothing
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses.append(loss.item())
            experiment.metrics("train").log(step=epoch, loss=float(np.mean(losses)))
            print(f"epoch {epoch + 1:2}  loss {np.mean(losses):.4f}")
    return policy


@torch.no_grad()
def attempt(policy: Policy, tables: int, length: int, seed: int) -> tuple[float, float]:
    """How far the hand is from the coin before and after, on average over new tables."""
    table, before, after = Table(np.random.default_rng(seed)), 0.0, 0.0
    for _ in range(tables):
        seen = [table.reset()] * SEEN
        before += table.distance
        for _ in range(length):
            frames = torch.from_numpy(np.stack(seen[-SEEN:])).permute(0, 3, 1, 2) / 255
            seen.append(table.step(policy(frames[None])[0, 0].numpy()))
        after += table.distance
    return before / tables, after / tables


def main() -> None:
    """Record, learn, try."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", default=".dash", help="the folder that holds the runs")
    parser.add_argument("--episodes", type=int, default=60)
    parser.add_argument("--length", type=int, default=25, help="steps in an episode")
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--workers", type=int, default=0, help="processes that load frames")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    torch.set_num_threads(1)  # more only wait for each other on pictures as small as these
    prefix = f"examples/behaviour-cloning-{time.strftime('%Y%m%d-%H%M%S')}"
    record(prefix, options.root, options.episodes, options.length, options.seed)
    policy = train(prefix, options.root, options.epochs, options.workers, options.seed)
    before, after = attempt(policy, 20, options.length, options.seed + 1)
    print(f"tried    on 20 new tables: {before:.2f} away from the coin before, {after:.2f} after")
    print(f"look     ml-dash show {prefix}-training --root {options.root}")


if __name__ == "__main__":
    main()
