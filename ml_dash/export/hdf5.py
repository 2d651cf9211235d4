"""`hdf5` and `minari`: episodes, in the layout of Minari.

    episode_0/observations (N+1, ...)  actions (N, ...)  rewards  terminations  truncations (N,)

Row t of an episode has the observation at t, the action taken then, and what came of it. The last
row has the last observation and no action. Where that was not recorded, the observation before a
terminated episode's end stands for it; any other episode is without its last action, and truncated.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from ml_dash.export.extras import need
from ml_dash.export.hdf5_episode import EpisodeWriter
from ml_dash.export.hdf5_file import new_hdf5
from ml_dash.export.job import Job
from ml_dash.export.json_text import dumps, write_json
from ml_dash.export.roles import BOOKKEEPING, Roles, Source, flat_rows, numbered, roles_of
from ml_dash.export.samples import Sample
from ml_dash.export.spaces import Found, Space, described, space_of_columns

KINDS = (".hdf5", ".json")
MINARI_VERSION = "0.5.3"
"""Whose layout it is: what Minari 0.5.3 and newer read."""


def write(job: Job, path: Path) -> None:
    """Write one file, with the spaces as JSON among its attributes."""
    h5py = need("h5py", "export to hdf5", extra="hdf5")
    with new_hdf5(h5py, path) as (file, sink):
        episodes = Episodes(job, file, sink.check)
        episodes.write()
        for key, value in {**episodes.facts, **_about(job)}.items():
            file.attrs[key] = value if isinstance(value, (int, str)) else dumps(value).decode()


def write_minari(job: Job, folder: Path) -> None:
    """Write a folder that `minari.load_dataset` takes, below `MINARI_DATASETS_PATH`."""
    h5py = need("h5py", "export to minari", extra="hdf5")
    data = folder / "data"
    data.mkdir()
    with new_hdf5(h5py, data / "main_data.hdf5") as (file, sink):
        episodes = Episodes(job, file, sink.check)
        episodes.write()
    size = (data / "main_data.hdf5").stat().st_size / 1e6
    identity = {"dataset_id": _dataset_id(job), "minari_version": MINARI_VERSION}
    stored = {"data_format": "hdf5", "jpeg_encoding": False, "dataset_size": round(size, 1)}
    facts = {**episodes.facts, **identity, **stored}
    facts["description"] = job.about.get("description") or f"The run {job.run.prefix}"
    write_json(data / "metadata.json", {**facts, "ml_dash": job.about})


class Episodes:
    """The episodes of a track, written into a group.

    Args:
        job: what to export.
        file: the group.
        check: raises when the file could not be written.

    Attributes:
        facts: `total_episodes`, `total_steps`, and the spaces as Minari writes them.
    """

    def __init__(self, job: Job, file: Any, check: Callable[[], None]) -> None:
        self.job, self._file, self._check = job, file, check
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
        self._without_end = self._before_first = 0
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
        samples = job.samples.where(job.samples.of(self._topic) >= 0).by_episode()
        for _, group in numbered(job.told(samples, len(samples))):
            steps = self._episode(group)
            self.facts["total_steps"] += steps
            self.facts["total_episodes"] += steps > 0
        if not self.facts["total_episodes"]:
            raise ValueError(f"no episode of {self._topic!r} has a step{self._unfilmed()}")
        if self._without_end:
            job.notes.append(
                f"{self._without_end:,} episodes were recorded without their last observation"
            )
        if self._before_first:
            job.notes.append(
                f"left out as before the first frame of their episode: {self._before_first:,} rows"
            )
        job.counts["samples"] = self.facts["total_steps"]
        job.counts["frames"] = (len(samples) - self._before_first) * len(self._shots)

    def _episode(self, group: Iterator[Sample]) -> int:
        """Write one episode; how many steps it has. One without any leaves nothing."""
        name = f"episode_{self.facts['total_episodes']}"
        writer = EpisodeWriter(
            self._file.create_group(name), self._observed, self._done, self._others
        )
        seed, filmed = None, False
        for sample in group:
            row = flat_rows(sample)[self._topic]
            seed = row.get("seed", seed)
            filmed = filmed or all(sample.frames[camera] >= 0 for camera in self._shots)
            if not filmed:
                self._before_first += 1
                continue
            writer.add(row, self._frames(sample), self._flags(row))
            self._check()
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

    def _unfilmed(self) -> str:
        """What helps where frames, which are observed, belong to no row."""
        if not self._before_first:
            return ""
        rate = "" if self.job.hz else ": hz= takes frames without steps by their times, or"
        return (
            f" from the first frame of {', '.join(map(repr, self._shots))} on{rate or ':'} leave"
            " the camera out, or choose others with observation="
        )

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
                held = "" if self.job.hz else " hz= holds the latest frame, or"
                raise ValueError(
                    f"the row at step {sample.step} has no frame of {camera!r}; an observation"
                    f" needs one in each row:{held} leave the camera out, or choose others with"
                    " observation="
                )
            found[camera] = shots[number]
        return found


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
