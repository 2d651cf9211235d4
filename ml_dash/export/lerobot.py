"""`lerobot`: a dataset of the LeRobot format v3.0.

    meta/info.json  meta/stats.json  meta/tasks.parquet  meta/episodes/chunk-000/file-000.parquet
    data/chunk-000/file-000.parquet  videos/<feature>/chunk-000/file-000.mp4

The format has a constant rate: sample i of an episode is at i / fps. The times as recorded are kept
in the feature `recorded.timestamp`, in seconds since the first. A sample has every feature, so that
moments at which a track or a camera has nothing are left out, and counted; `hz=` holds the latest
instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_dash.export.extras import need
from ml_dash.export.features import features_of
from ml_dash.export.job import Job
from ml_dash.export.json_text import write_json
from ml_dash.export.lerobot_files import (
    CHUNK,
    DATA_BYTES,
    VIDEO_BYTES,
    DataFiles,
    EpisodeFiles,
    VideoFiles,
)
from ml_dash.export.pictures import Pixels, names_of_cameras
from ml_dash.export.roles import Roles, flat_rows, numbered, roles_of
from ml_dash.export.running import Running
from ml_dash.export.samples import Sample, Samples
from ml_dash.export.video import CRF, check_crf, check_fps

KINDS = (".json", ".parquet", ".mp4")
VERSION = "v3.0"

_BATCH = 256
_PICTURES = 100  # of an episode that count for the statistics
_SIDE = 150  # pixels
_OWN = {
    "timestamp": "float32",
    "frame_index": "int64",
    "episode_index": "int64",
    "index": "int64",
    "task_index": "int64",
}


def write(job: Job, folder: Path) -> None:
    """Write the dataset."""
    arrow = need("pyarrow", "export to lerobot", extra="lerobot")
    need("pyarrow.parquet", "export to lerobot", package="pyarrow", extra="lerobot")
    if job.cameras:
        need("av", "export to lerobot", extra="lerobot")
    _Dataset(job, folder, arrow).write()


class _Dataset:
    """A dataset in the making."""

    def __init__(self, job: Job, folder: Path, arrow: Any) -> None:
        options = job.options
        self.job, self.folder = job, folder
        if not job.topics:
            raise ValueError(f"{job.run.prefix!r} has no tracks, and a dataset is made of them")
        roles = roles_of(job.columns, options.get("observation"), options.get("action"))
        self.roles = _joined(job, roles)
        self.samples = complete(job, self.roles).by_episode()
        self.fps = _fps(job, self.samples)
        self.features = features_of(self.roles, job)
        self.task = str(options.get("task") or job.about.get("description") or job.run.prefix)
        self.cameras = {
            camera: f"observation.images.{name}"
            for camera, name in names_of_cameras(job.cameras).items()
        }
        self.shots = {camera: job.shots(camera) for camera in job.cameras}
        self.videos = {
            key: VideoFiles(folder, key, self.fps, check_crf(options.get("crf", CRF)))
            for key in self.cameras.values()
        }
        self.data = DataFiles(folder, arrow, self._schema(arrow))
        self.episodes = EpisodeFiles(folder, arrow)
        sizes = {
            **dict.fromkeys(_OWN, 1),
            **{f.name: f.size for f in self.features if f.is_numeric},
        }
        self.sizes = {**sizes, **dict.fromkeys(self.videos, 3)}
        self.total = {name: Running(size) for name, size in self.sizes.items()}
        self.index = 0

    def write(self) -> None:
        """Go through all samples once, then say what they were."""
        told = self.job.told(self.samples, len(self.samples))
        count = 0
        files: list[DataFiles | EpisodeFiles | VideoFiles] = [self.data, self.episodes]
        files += self.videos.values()
        try:
            for number, group in numbered(told):
                self._episode(number, group)
                count = number + 1
        except BaseException:  # Ctrl-C, too, closes the files before it goes on
            for file in files:
                with suppress(Exception):  # what went wrong first is what there is to say
                    file.close()
            raise
        for file in files:
            file.close()
        self._meta(count)
        self.job.counts.update(samples=self.index, frames=self.index * len(self.cameras))

    def _episode(self, number: int, group: Iterator[Sample]) -> None:
        begin = self.index
        stats = {name: Running(size) for name, size in self.sizes.items()}
        places = {key: video.begin() for key, video in self.videos.items()}
        place = self.data.begin()
        batch: list[dict[str, Any]] = []
        for sample in group:
            batch.append(self._row(sample, number, self.index - begin))
            self._frames(sample, self.index - begin, stats)
            self.index += 1
            if len(batch) == _BATCH:
                self._put(batch, stats)
        self._put(batch, stats)
        facts: dict[str, Any] = {
            "episode_index": number,
            "tasks": [self.task],
            "length": self.index - begin,
            "data/chunk_index": place[0],
            "data/file_index": place[1],
            "dataset_from_index": begin,
            "dataset_to_index": self.index,
        }
        for key, (chunk, file, first) in places.items():
            facts[f"videos/{key}/chunk_index"] = chunk
            facts[f"videos/{key}/file_index"] = file
            facts[f"videos/{key}/from_timestamp"] = float(first / self.fps)
            facts[f"videos/{key}/to_timestamp"] = float(self.videos[key].frames / self.fps)
        for name, running in stats.items():
            found = self._stats(name, running)
            facts |= {f"stats/{name}/{what}": value for what, value in found.items()}
        self.episodes.add(facts)

    def _row(self, sample: Sample, episode: int, frame: int) -> dict[str, Any]:
        rows = flat_rows(sample)
        found = {feature.name: feature.value(rows, sample) for feature in self.features}
        return {
            **found,
            "timestamp": float(frame / self.fps),
            "frame_index": frame,
            "episode_index": episode,
            "index": self.index,
            "task_index": 0,
        }

    def _frames(self, sample: Sample, frame: int, stats: dict[str, Running]) -> None:
        for camera, key in self.cameras.items():
            pixels = self.shots[camera][sample.frames[camera]]
            self.videos[key].write(pixels)
            # Every frame at first, then ever fewer: some hundred of any episode
            if frame % (1 << (frame // _PICTURES).bit_length()) == 0:
                small = _small(pixels)
                stats[key].update(small)
                self.total[key].update(small)

    def _put(self, batch: list[dict[str, Any]], stats: dict[str, Running]) -> None:
        if not batch:
            return
        self.data.add({name: [row[name] for row in batch] for name in batch[0]})
        for name in stats:
            if name in batch[0]:
                values = np.array([row[name] for row in batch], np.float64).reshape(len(batch), -1)
                stats[name].update(values)
                self.total[name].update(values)
        batch.clear()

    def _stats(self, name: str, running: Running) -> dict[str, Any]:
        found = running.result()
        if name not in self.videos:
            return {what: value.tolist() for what, value in found.items()}
        del found["count"]  # of pixels; LeRobot weighs by pictures
        shades = {what: (value / 255).reshape(3, 1, 1).tolist() for what, value in found.items()}
        return {**shades, "count": [running.updates]}

    def _schema(self, arrow: Any) -> Any:
        fields = [arrow.field(feature.name, feature.arrow(arrow)) for feature in self.features]
        fields += [arrow.field(name, getattr(arrow, kind)()) for name, kind in _OWN.items()]
        return arrow.schema(fields)

    def _meta(self, episodes: int) -> None:
        features: dict[str, Any] = {feature.name: feature.info() for feature in self.features}
        for key, video in self.videos.items():
            features[key] = video.info()
        for name, kind in _OWN.items():
            features[name] = {"dtype": kind, "shape": [1], "names": None}
        fps = self.fps
        info = {
            "codebase_version": VERSION,
            "robot_type": self.job.options.get("robot_type"),
            "total_episodes": episodes,
            "total_frames": self.index,
            "total_tasks": 1,
            "chunks_size": CHUNK,
            "data_files_size_in_mb": DATA_BYTES >> 20,
            "video_files_size_in_mb": VIDEO_BYTES >> 20,
            "fps": int(fps) if fps.denominator == 1 else float(fps),
            "splits": {"train": f"0:{episodes}"},
            "data_path": "data/chunk-{chunk_index:03d}/file-{file_index:03d}.parquet",
            "video_path": "videos/{video_key}/chunk-{chunk_index:03d}/file-{file_index:03d}.mp4"
            if self.videos
            else None,
            "features": features,
        }
        write_json(self.folder / "meta/info.json", info)
        stats = {name: self._stats(name, running) for name, running in self.total.items()}
        write_json(self.folder / "meta/stats.json", stats)
        self.episodes.tasks([self.task])


def _joined(job: Job, roles: Roles) -> Roles:
    """Leave out the tracks that no sample has a row of, for want of steps."""
    timed = [topic for topic in job.samples.topics if topic not in job.untimed]
    if not timed:
        return roles  # nothing would be left
    for role, sources in (("observation", roles.observation), ("action", roles.action)):
        for source in sources:
            if source.topic not in timed:
                raise ValueError(
                    f"{role}={source.name!r}: {source.topic!r} has no steps to join by; hz= or"
                    " on='timestamp' takes it by its time"
                )
    job.topics = timed
    flags = {name: source for name, source in roles.flags.items() if source.topic in timed}
    others = [source for source in roles.others if source.topic in timed]
    return replace(roles, flags=flags, others=others)


def complete(job: Job, roles: Roles) -> Samples:
    """The samples that have a frame of each camera, a row of each track, and an action."""
    samples = job.samples
    kept = np.ones(len(samples), np.bool_)
    for camera in job.cameras:
        kept &= samples.frame_numbers(camera) >= 0
    for topic in job.topics:
        kept &= samples.of(topic) >= 0
    if any(source.column.optional for source in roles.action):
        for sample in samples:
            rows = flat_rows(sample)
            found = (rows[s.topic].get(s.column.name) for s in roles.action)
            if all(value is None for value in found):
                kept[sample.number] = False  # an episode's last observation
    if not kept.all():
        left = int((~kept).sum())
        job.notes.append(f"{left:,} moments without a frame, a row or an action are left out")
    if not kept.any():
        raise ValueError(
            "no sample has a frame of each camera, a row of each track and an action:"
            f" {'; '.join(job.notes)}; hz= holds the latest of each stream"
        )
    return samples.where(kept)


def _fps(job: Job, samples: Samples) -> Fraction:
    given, fixed = check_fps(job.options.get("fps")), check_fps(job.hz)
    if given is not None and fixed is not None and given != fixed:
        raise ValueError(f"fps={given} and hz={job.hz} say different rates; give one of them")
    exact = given or fixed
    if exact is not None:
        return exact
    rate = Fraction(max(1, round(samples.rate or 1.0)))
    job.notes.append(
        f"shown at {rate} frames a second, the usual rate; fps= says otherwise, and"
        " recorded.timestamp has the times as they were"
    )
    return rate


def _small(pixels: Pixels) -> NDArray[Any]:
    """Some of a picture's pixels: shape (pixels, 3)."""
    every = max(1, max(pixels.shape[:2]) // _SIDE)
    return pixels[::every, ::every].reshape(-1, 3)
