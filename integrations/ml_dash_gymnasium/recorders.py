"""The recorders that write a stream's rows and frames, one for each format of pictures."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from ml_dash import Experiment
from ml_dash_gymnasium.copies import as_text
from ml_dash_gymnasium.guard import Guard

if TYPE_CHECKING:
    from ml_dash import Moment

Row = Mapping[str, Any]


class Recorders:
    """Writes rows and frames of one moment. Streams may share them.

    Args:
        experiment: a run that was started.
        image_format: `jpg` or `png`.
        quality: of JPEG frames, 1-100.
    """

    def __init__(
        self, experiment: Experiment, *, image_format: str = "jpg", quality: int = 95
    ) -> None:
        options: dict[str, Any] = {"quality": quality, "strict": False}
        self.usual = experiment.recorder(format=image_format, **options)
        self.exact = self.usual
        if image_format != "png":
            self.exact = experiment.recorder(format="png", **options)

    def write(
        self,
        moment: Moment,
        tracks: Mapping[str, Row],
        frames: Mapping[str, Any] | None = None,
        exact: Collection[str] = (),
        metrics: Mapping[str, Row] | None = None,
    ) -> None:
        """Record rows and frames.

        Args:
            moment: that they are of.
            tracks: rows by topic.
            frames: pictures by camera.
            exact: cameras whose frames a JPEG would spoil.
            metrics: rows by name.
        """
        if not frames:
            self.usual.record(moment, tracks=tracks, metrics=metrics)
            return
        if not exact:
            self.usual.record(moment, tracks=tracks, metrics=metrics, frames=frames)
            return
        usual = {camera: frame for camera, frame in frames.items() if camera not in exact}
        others = {camera: frame for camera, frame in frames.items() if camera in exact}
        if not usual:
            self.exact.record(moment, tracks=tracks, metrics=metrics, frames=others)
            return
        self.usual.record(moment, tracks=tracks, metrics=metrics, frames=usual)
        if others:
            self.exact.record(moment, frames=others)

    def write_less(
        self,
        moment: Moment,
        tracks: Mapping[str, Row],
        metrics: Mapping[str, Row] | None,
        guard: Guard,
    ) -> None:
        """Record what can be where `write` has failed: no frames, and if need be values as text."""
        texts = {topic: as_text(row) for topic, row in tracks.items()}
        for rows in (tracks, texts):
            try:
                self.usual.record(moment, tracks=rows, metrics=metrics)
                return
            except Exception as error:  # noqa: BLE001 - recording never ends the training
                reason = error
        guard("a step", reason)
