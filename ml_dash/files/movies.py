"""Saving frames as one video."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ml_dash.files.place import Metadata, Place
from ml_dash.files.serializers import PathLike


class Movies(Place):
    """Turns frames into a video of a run."""

    def save_video(
        self,
        frames: Iterable[Any],
        *,
        to: PathLike,
        fps: float = 30,
        crf: int | None = None,
        size: tuple[int, int] | None = None,
        layout: str | None = None,
        step: int | None = None,
        timestamp: float | None = None,
    ) -> Metadata:
        """Save frames as an MP4 (H.264), which any player and browser opens.

        They are taken one by one and encoded here and now, so that a generator of any length does.
        For frames of a run that is recorded anyway, `ml-dash video` makes one afterwards.

        Args:
            frames: images as `save_image` takes them, all of one size: a list, a generator, or an
                array (N, H, W[, C]). Colours are kept at half resolution; an odd side is made even.
            to: ends in `.mp4`.
            fps: frames a second.
            crf: 0 (without further loss) to 51 (smallest file); by default 18.
            size: height and width that frames are scaled to.
            layout: `"CHW"` when the channels come first.
            step: the step that the file belongs to.
            timestamp: the time that it belongs to, seconds; by default now.

        Raises:
            ImportError: PyAV is not installed; the text is the pip line.
            TypeError: `frames` are not several images.
            ValueError: there are none, one is no image or of another size, or an argument cannot
                be.
        """
        from ml_dash.files.video import save_video

        return save_video(
            self,
            frames,
            to=to,
            fps=fps,
            crf=crf,
            size=size,
            layout=layout,
            step=step,
            timestamp=timestamp,
        )
