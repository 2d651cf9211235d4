"""`hdf5` and `minari`: episodes, in the layout of Minari.

    episode_0/observations (N+1, ...)  actions (N, ...)  rewards  terminations  truncations (N,)

Row t of an episode has the observation at t, the action taken then, and what came of it. The last
row has the last observation and no action. Where that was not recorded, the observation before a
terminated episode's end stands for it; any other episode is without its last action, and truncated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.extras import need
from ml_dash.export.job import Job
from ml_dash.export.json_text import dumps, write_json
from ml_dash.export.roles import BOOKKEEPING, Roles, Source, flat_rows, numbered, roles_of
from ml_dash.export.samples import Sample
from ml_dash.export.spaces import Found, Leaf, Space, described, space_of_columns

KINDS = (".hdf5", ".json")
MINARI_VERSION = "0.5.3"
"""Whose layout it is: what Minari 0.5.3 and newer read."""

_BATCH = 128
_CELLS = 1 << 18


def write(job: Job, path: Path) -> None:
    """Write one file, with the spaces as JSON among its attributes."""
    h5py = need("h5py", "export to hdf5", extra="hdf5")
    with h5py.File(path, "w", track_order=True) as file:
        episodes = Episodes(job, file)
        episodes.write()
        for key, value in {**episodes.facts, **_about(job)}.items():
            file.attrs[key] = value if isinstance(value, (int, str)) else dumps(value).decode()


def write_minari(job: Job, folder: Path) -> None:
    """Write a folder that `minari.load_dataset` takes, below `MINARI_DATASETS_PATH`."""
    h5py = need("h5py", "export to minari", extra="hdf5")
    data = folder / "data"
    data.mkdir()
    with h5py.File(data / "main_data.hdf5", "w", track_order=True) as file:
        episodes = Episodes(job, file)
        episodes.write()
    size = (data / "main_data.hdf5").stat().st_size / 1e6
    identity = {"dataset_id": _dataset_id(job), "minari_version": MINARI_VERSION}
    stored = {"data_format": "hdf5", "jpeg_encoding": False, "dataset_size": round(size, 1)}
    facts = {**episodes.facts, **identity, **stored}
    facts["description"] = job.about.get("description") or f"The run {job.run.prefix}"
    write_json(data / "metadata.json", {**facts, "ml_dash": job.about})


class Episodes:
    """The episodes of a track, written into a group.

    Attributes:
        facts: `total_episodes`, `total_steps`, and the spaces as Minari writes them.
    """

    def __init__(self, job: Job, file: Any) -> None:
        self.job, self._file = job, file
        self._topic, self._roles = _topic(job)
        self._observed, self._done = _spaces(job, self._topic, self._roles)
        if not self._done.leaves:
            raise ValueError(
                f"{self._topic!r} has no action among {_columns(job, self._topic)}; say which"
                " columns are with action="
            )
        leaves = [*self._observed.leaves, *self._done.leaves]
        self._shots = {
            leaf.camera: job.shots(leaf.camera) for leaf in leaves if leaf.camera is not None
        }
        job.topics = [self._topic]
        job.cameras = list(self._shots)
        self._without_end = 0
        self.facts: dict[str, Any] = {
            "total_episodes": 0,
            "total_steps": 0,
            # With Infinity as Python's json writes it, which Minari reads
            "observation_space": json.dumps(self._observed.json),
            "action_space": json.dumps(self._done.json),
        }

    def write(self) -> None:
        """Go through all rows once."""
        job = self.job
        samples = job.samples.where(job.samples.of(self._topic) >= 0)
        episode = self._roles.flags.get("episode")
        for _, group in numbered(job.told(samples, len(samples)), episode):
            steps = self._episode(group)
            self.facts["total_steps"] += steps
            self.facts["total_episodes"] += steps > 0
        if not self.facts["total_episodes"]:
            raise ValueError(f"no episode of {self._topic!r} has a step")
        if self._without_end:
            job.notes.append(
                f"{self._without_end:,} episodes were recorded without their last observation"
            )
        job.counts["samples"] = self.facts["total_steps"]
        job.counts["frames"] = len(samples) * len(self._shots)

    def _episode(self, group: Iterator[Sample]) -> int:
        """Write one episode; how many steps it has. One without any leaves nothing."""
        name = f"episode_{self.facts['total_episodes']}"
        writer = _Writer(self._file.create_group(name), self._observed, self._done, self._others)
        seed = None
        for sample in group:
            rows = flat_rows(sample)
            row = rows[self._topic]
            seed = row.get("seed", seed)
            writer.add(row, self._frames(sample), self._flags(row))
        steps, whole = writer.end()
        if not steps:
            del self._file[name]
            return 0
        self._without_end += not whole
        attributes = self._file[name].attrs
        attributes["id"] = self.facts["total_episodes"]
        attributes["total_steps"] = steps
        if type(seed) is int and abs(seed) < 2**63:
            attributes["seed"] = seed
        return steps

    @property
    def _others(self) -> list[Source]:
        sources = self._roles.others
        names = (*BOOKKEEPING, "step", "seed", "options", "begun", "ended")
        return [s for s in sources if s.column.is_numeric and s.column.name not in names]

    def _flags(self, row: Mapping[str, Any]) -> tuple[float, bool, bool]:
        reward = row.get("reward")
        return (
            float(reward) if isinstance(reward, (int, float)) else 0.0,
            row.get("terminated") is True,
            row.get("truncated") is True,
        )

    def _frames(self, sample: Sample) -> dict[str, NDArray[Any]]:
        found = {}
        for camera, shots in self._shots.items():
            number = sample.frames[camera]
            if number < 0:
                raise ValueError(
                    f"the row at step {sample.step} has no frame of {camera!r}; an observation"
                    " needs one in each row: leave the camera out, or choose others with"
                    " observation="
                )
            found[camera] = shots[number]
        return found


class _Writer:
    """One episode on its way into its group."""

    def __init__(self, group: Any, observed: Space, done: Space, others: list[Source]) -> None:
        self._group = group
        self._observed = [_Array(group, "observations", leaf) for leaf in observed.leaves]
        self._done = [_Array(group, "actions", leaf) for leaf in done.leaves]
        infos = [
            Leaf(_info(s.column.name), "float64", s.column.shape or (), source=s) for s in others
        ]
        self._infos = [_Array(group, "infos", leaf) for leaf in infos]
        self._rewards = _Array(group, "rewards", Leaf("", "float64", ()))
        self._ends = [
            _Array(group, name, Leaf("", "bool", ())) for name in ("terminations", "truncations")
        ]
        self._last: tuple[dict[str, Any], dict[str, NDArray[Any]]] | None = None
        self._flags: tuple[float, bool, bool] = (0.0, False, False)

    def add(
        self,
        row: dict[str, Any],
        frames: dict[str, NDArray[Any]],
        flags: tuple[float, bool, bool],
    ) -> None:
        """Add a row. What the row before it said of its action is now known to lead somewhere."""
        if self._last is not None:
            self._put_action()
        for array in (*self._observed, *self._infos):
            array.add(row, frames)
        self._last = row, frames
        self._flags = flags

    def end(self) -> tuple[int, bool]:
        """End the episode: how many steps it has, and whether its last observation is there."""
        assert self._last is not None
        row, frames = self._last
        acted = self._acted(row)
        if acted and self._flags[1]:
            self._put_action()
            for array in (*self._observed, *self._infos):
                array.add(row, frames)
        for array in (*self._observed, *self._infos, *self._done, self._rewards, *self._ends):
            array.flush()
        steps = self._rewards.count
        if steps:
            ended = any(bool(array.data[-1]) for array in self._ends)
            self._ends[1].data[-1] = bool(self._ends[1].data[-1]) or not ended
        return steps, not acted

    def _put_action(self) -> None:
        assert self._last is not None
        row, frames = self._last
        for array in self._done:
            array.add(row, frames)
        for array, value in zip((self._rewards, *self._ends), self._flags, strict=True):
            array.put(value)

    def _acted(self, row: Mapping[str, Any]) -> bool:
        sources = (array.leaf.source for array in self._done)
        return any(s is not None and row.get(s.column.name) is not None for s in sources)


class _Array:
    """A dataset that grows."""

    def __init__(self, group: Any, name: str, leaf: Leaf) -> None:
        self.leaf = leaf
        self.count = 0
        self._most = max(1, min(_BATCH, _CELLS // max(1, int(np.prod(leaf.shape)))))
        self.data = group.create_dataset(
            f"{name}/{leaf.path}".rstrip("/"),
            shape=(0, *leaf.shape),
            maxshape=(None, *leaf.shape),
            dtype=leaf.dtype,
            chunks=(self._most, *(max(1, side) for side in leaf.shape)),
        )
        self._waiting: list[Any] = []

    def add(self, row: Mapping[str, Any], frames: Mapping[str, NDArray[Any]]) -> None:
        """Add the value that a row, or a frame of it, has."""
        leaf = self.leaf
        if leaf.source is not None:
            value = row.get(leaf.source.column.name)
            self.put(_missing(leaf) if value is None else value)
        elif leaf.camera is not None:
            self.put(as_shape(frames[leaf.camera], leaf.shape))

    def put(self, value: Any) -> None:
        """Add a value."""
        self._waiting.append(value)
        if len(self._waiting) >= self._most:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if self._waiting:
            values = np.array(self._waiting, self.leaf.dtype).reshape(-1, *self.leaf.shape)
            self.data.resize(self.count + len(values), 0)
            self.data[self.count :] = values
            self.count += len(values)
            self._waiting.clear()


def as_shape(pixels: NDArray[Any], shape: tuple[int, ...]) -> NDArray[Any]:
    """A frame (H, W, 3) as an observation of this shape: gray, or channels first.

    Raises:
        ValueError: it has other sides.
    """
    gray = len(shape) == 2 or 1 in (shape[0], shape[-1])
    picture = pixels[:, :, :1] if gray else pixels
    if len(shape) == 3 and picture.shape != shape:
        picture = np.moveaxis(picture, -1, 0)
    if picture.size != int(np.prod(shape)):
        raise ValueError(f"a frame of {pixels.shape} is no observation of shape {shape}")
    return picture.reshape(shape)


def _info(column: str) -> str:
    """Where a column is among an episode's infos: those of the environment by their own names."""
    return column.removeprefix("info.").replace(".", "/")


def _missing(leaf: Leaf) -> NDArray[Any]:
    return np.full(leaf.shape, np.nan if np.dtype(leaf.dtype).kind == "f" else 0, leaf.dtype)


def _topic(job: Job) -> tuple[str, Roles]:
    """The track that has the episodes, and its columns by what they are for."""
    observation, action = job.options.get("observation"), job.options.get("action")
    if len(job.topics) == 1 or observation or action:
        roles = roles_of(job.columns, observation, action)
        topics = list(dict.fromkeys(s.topic for s in (*roles.observation, *roles.action)))
        if len(topics) > 1:
            raise ValueError(
                f"observation and action are in {', '.join(map(repr, topics))}; these formats take"
                " episodes of one track"
            )
        topic = (topics or job.topics)[0]
        return topic, roles_of({topic: job.columns[topic]}, observation, action)
    found = {}
    for topic in job.topics:
        roles = roles_of({topic: job.columns[topic]})
        if roles.action:
            found[topic] = roles
    if len(found) != 1:
        listed = ", ".join(map(repr, found or job.topics)) or "none"
        raise ValueError(
            f"episodes are in one track that has a column action; pass topics=, one of: {listed}"
        )
    return next(iter(found.items()))


def _spaces(job: Job, topic: str, roles: Roles) -> tuple[Space, Space]:
    """What observations and actions are."""
    options = job.options
    chosen = options.get("observation") or options.get("action")
    known = None if chosen or job.cameras else described(job.run.files, topic)
    sources = [Source(topic, column) for column in job.columns[topic].values()]
    if known is not None:
        base, facts = known
        found = Found(sources, job.run.cameras, base)
        observed = found.space(facts["observation_space"], "obs")
        return observed, found.space(facts["action_space"], "action")
    cameras = {camera: (*job.shots(camera).shape(0), 3) for camera in job.cameras}
    if not roles.observation and not cameras:
        raise ValueError(
            f"{topic!r} has no observation among {_columns(job, topic)}; say which columns are with"
            " observation=, or pass frames="
        )
    return (
        space_of_columns(roles.observation, cameras, ("obs", "observation")),
        space_of_columns(roles.action, {}, ("action",)),
    )


def _columns(job: Job, topic: str) -> str:
    return ", ".join(map(repr, job.columns[topic]))


def _dataset_id(job: Job) -> str:
    given = job.options.get("dataset_id")
    name = given or f"{re.sub(r'[^-_a-zA-Z0-9]', '_', job.name)}-v0"
    if not re.fullmatch(r"(?:[-_\w]+/)*[-_\w]+-v\d+", str(name)):
        raise ValueError(f"dataset_id={name!r}: it is written name-v0, or group/name-v0")
    return str(name)


def _about(job: Job) -> dict[str, Any]:
    return {f"ml_dash_{key}": value for key, value in job.about.items()}
