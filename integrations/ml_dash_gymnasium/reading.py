"""Episodes and transitions again, from a run."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_dash import open_run
from ml_dash_gymnasium.cameras import OBSERVATIONS
from ml_dash_gymnasium.descriptions import space_from
from ml_dash_gymnasium.images import EARLIER
from ml_dash_gymnasium.spaces import Layout
from ml_dash_gymnasium.topics import ABOUT

Array = NDArray[Any]

_CUT = ("reset", "close", "exception")  # what ends an episode that the environment has not ended


class Transition(NamedTuple):
    """One step of an environment.

    Attributes:
        observation: before it, in the types of the observation space.
        action: in the types of the action space.
        reward: a float, or a list where it was an array.
        next_observation: after it; the last one of the episode included.
        terminated: whether the task ended the episode.
        truncated: whether something else did: a time limit; a reset, a close or an exception in
            mid-episode.
    """

    observation: Any
    action: Any
    reward: Any
    next_observation: Any
    terminated: bool
    truncated: bool


@dataclass(slots=True)
class RecordedEpisode:
    """One episode as it was recorded.

    Attributes:
        number: of it in its stream, from 0.
        observations: one more than there are actions; the last may be missing, see `complete`.
        actions, rewards, terminated, truncated, infos: one for each step, as the environment gave
            them; an info that was empty is `{}`.
        seed, options, reset_info: of the reset that began it.
        begun: `reset`; `step` after the end of the last one; `autoreset`; `exception` by a step
            after one, or after Ctrl-C: its first observation is not known.
        ended: `terminated`, `truncated`; `reset`, `close` or `exception` in mid-episode; `None` if
            the process was gone before it was known.
        steps: the step of each observation.
        ignored: the action and the reward of the step that was an autoreset.
    """

    number: int
    observations: list[Any] = field(default_factory=list)
    actions: list[Any] = field(default_factory=list)
    rewards: list[Any] = field(default_factory=list)
    terminated: list[bool] = field(default_factory=list)
    truncated: list[bool] = field(default_factory=list)
    infos: list[dict[str, Any]] = field(default_factory=list)
    seed: Any = None
    options: Any = None
    reset_info: dict[str, Any] = field(default_factory=dict)
    begun: str = "reset"
    ended: str | None = None
    steps: list[int] = field(default_factory=list)
    ignored: tuple[Any, Any] | None = None

    def __len__(self) -> int:
        return len(self.actions)

    @property
    def complete(self) -> bool:
        """Whether it has its last observation."""
        return len(self.observations) > len(self.actions)

    def transitions(self) -> Iterator[Transition]:
        """Its steps. One whose observations are not both known is left out, not guessed.

        The last one is truncated if the episode was cut off, by a reset or otherwise.
        """
        for t in range(len(self.observations) - 1):
            before, after = self.observations[t], self.observations[t + 1]
            if before is None or after is None:
                continue
            last = t == len(self.actions) - 1
            cut = last and self.ended in _CUT and not self.terminated[t]
            yield Transition(
                before,
                self.actions[t],
                self.rewards[t],
                after,
                self.terminated[t],
                self.truncated[t] or cut,
            )


def transitions(run: Any, topic: str = "env", *, autoresets: bool = False) -> Iterator[Transition]:
    """All steps of an environment that was recorded, as `(o, a, r, o', terminated, truncated)`.

    Args:
        run: what `ml_dash.open_run` gives, or a prefix or folder, which is opened.
        topic: of the environment; `env/0` and so on of a vector environment.
        autoresets: give a step that has reset the environment, whose action was ignored, as a
            transition too, from the last observation of one episode to the first of the next. So
            does Minari's collector. Nothing can be learned from it.

    Raises:
        FileNotFoundError: there is no such run.
        KeyError: there is no such environment in the run.
    """
    last = None
    for episode in read_episodes(run, topic):
        if autoresets and episode.ignored is not None and last is not None:
            yield Transition(last, *episode.ignored, episode.observations[0], False, False)
        yield from episode.transitions()
        last = episode.observations[-1] if episode.complete else None


def read_episodes(run: Any, topic: str = "env") -> Iterator[RecordedEpisode]:
    """The episodes of an environment in the order they were played. Arguments as `transitions`."""
    if isinstance(run, (str, os.PathLike)):
        run = open_run(run)
    about = read_about(run, topic)
    read = _Reader(run, topic, about)
    episode: RecordedEpisode | None = None
    steps = f"{topic}/steps"
    for row in run.tracks[steps].rows() if steps in run.tracks else ():
        number = row.get("episode")
        if number is None:
            continue  # left by Ctrl-C in a reset: of which episode is not known
        if episode is None or episode.number != number or "begun" in row:
            if episode is not None:
                yield episode
            episode = RecordedEpisode(number)
            for name in ("seed", "options", "reset_info", "begun"):
                if name in row:
                    setattr(episode, name, row[name])
            if "ignored_reward" in row:
                episode.ignored = read.ignored(row), row["ignored_reward"]
        read.add(episode, row)
    if episode is not None:
        yield episode


def read_about(run: Any, topic: str) -> dict[str, Any]:
    """What the file `spaces.json` of a topic says.

    Raises:
        KeyError: no environment was recorded under this topic; those there are, are named.
    """
    try:
        return dict(run.files.read_json(f"{topic}/{ABOUT}"))
    except (FileNotFoundError, KeyError):
        raise KeyError(f"no environment was recorded as {topic!r}; {_known(run)}") from None


def _known(run: Any) -> str:
    """The topics of the environments that a run has."""
    paths = [file["path"] for file in run.files.list(f"*{ABOUT}")]
    topics = sorted(path.removesuffix(f"/{ABOUT}") for path in paths)
    return f"there are {', '.join(map(repr, topics))}" if topics else "there are none in this run"


class _Reader:
    """Adds rows to episodes."""

    def __init__(self, run: Any, topic: str, about: Mapping[str, Any]) -> None:
        self._observations = Layout(space_from(about["observation_space"]), OBSERVATIONS)
        self._actions = Layout(space_from(about["action_space"]), "action", pictures=False)
        self._ignored = Layout(self._actions.space, "ignored_action", pictures=False)
        self._frames: dict[str, tuple[Any, dict[str, int]]] = {}
        known = set(run.cameras)
        places = {camera: f"{topic}/{camera}" for camera in self._observations.cameras}
        for camera, earlier in self._observations.earlier.items():
            if places[earlier] not in known:  # earlier runs have them below the camera
                places[earlier] = f"{topic}/{camera}/{EARLIER}"
        for camera, folder in places.items():
            if folder in known:
                frames = run.frames(folder)
                stems = {_stem(name): index for index, name in enumerate(frames.names)}
                self._frames[camera] = (frames, stems)

    def add(self, episode: RecordedEpisode, row: Mapping[str, Any]) -> None:
        has = any(key == OBSERVATIONS or key.startswith(f"{OBSERVATIONS}.") for key in row)
        pictures = self._pictures(row)
        known = has or bool(pictures) or self._observations.empty
        episode.observations.append(self._observations.value(row, pictures) if known else None)
        episode.steps.append(row["step"])
        if "ended" in row:
            episode.ended = row["ended"]
        if "reward" in row:
            episode.actions.append(self._actions.value(row))
            episode.rewards.append(row["reward"])
            episode.terminated.append(row["terminated"])
            episode.truncated.append(row["truncated"])
            episode.infos.append(row.get("info", {}))

    def ignored(self, row: Mapping[str, Any]) -> Any:
        """The action of a step that was an autoreset."""
        return self._ignored.value(row)

    def _pictures(self, row: Mapping[str, Any]) -> dict[str, Array]:
        name = row.get("frame")
        if not isinstance(name, str):
            return {}
        found = {}
        for camera, (frames, stems) in self._frames.items():
            if (index := stems.get(_stem(name))) is not None:
                found[camera] = np.asarray(frames[index])
        return found


def _stem(name: str) -> str:
    return name.rpartition(".")[0]
