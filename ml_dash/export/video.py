"""`video`: MP4 with H.264, which every player and browser opens; a file for each camera.

Frames are shown at the data's own rate: one over the usual interval between them. H.264 stores
colours at half resolution (4:2:0) and even sizes only: an odd side gets its last row or column
twice.
"""

from __future__ import annotations

import math
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import numpy as np

from ml_dash.export.extras import need
from ml_dash.export.job import ExportReport, Job, Progress, check_hz, choose
from ml_dash.export.pictures import Pixels, check_size, names_of_cameras
from ml_dash.export.played import as_played
from ml_dash.export.recording import Recording
from ml_dash.export.samples import usual_rate
from ml_dash.export.target import new_file

KINDS = (".mp4",)

CRF = 18
LOWEST, HIGHEST = 1, 240
"""Frames a second that players can be expected to show."""

_ENCODERS = ("libx264", "libopenh264", "h264")
# In the tables of H.264: what colours mean, said in the file. The matrix is that of BT.601, which
# decoders that do not look take for granted.
_BT601, _BT709, _NARROW = 6, 1, 1


class Mp4:
    """An MP4 file that frames are written to. A context manager.

    Args:
        to: a path, or a binary file that can seek.
        fps: frames a second.
        crf: 0 to 51; less is better and larger.
        gop: the most frames from one that stands alone to the next; by default the encoder's.

    Raises:
        ImportError: PyAV is not installed, or its build has no encoder for H.264.
    """

    def __init__(
        self,
        to: Path | IO[bytes],
        fps: Fraction,
        *,
        crf: int = CRF,
        gop: int | None = None,
    ) -> None:
        self._av = need("av", "video", package="av", extra="video")
        self.frames = 0
        self.shape: tuple[int, int] | None = None
        self.fps = fps
        self._encoder = self._find_encoder()
        self._settings = {"crf": str(crf), "preset": "medium"} if "x264" in self._encoder else {}
        self._gop = gop
        path = str(to) if isinstance(to, Path) else to
        # The index goes to the front, so that a browser can begin before all has come
        movie = {"movflags": "+faststart"} if isinstance(to, Path) else {}
        self._container = self._av.open(path, "w", format="mp4", options=movie)
        self._stream: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self._container.close()

    def write(self, pixels: Pixels) -> None:
        """Add a frame: uint8 of shape (H, W, 3).

        Raises:
            ValueError: it has another size than those before.
        """
        height, width = pixels.shape[:2]
        if self.shape is None:
            self.shape = height, width
            self._begin(height + height % 2, width + width % 2)
        if (height, width) != self.shape:
            raise ValueError(
                f"frame {self.frames} is {height}x{width}, those before it are"
                f" {self.shape[0]}x{self.shape[1]}; scale all to one size with size="
            )
        if height % 2 or width % 2:
            pixels = np.pad(pixels, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
        frame = self._av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
        frame = frame.reformat(format="yuv420p", dst_colorspace="ITU601", dst_color_range="MPEG")
        frame.pts = self.frames
        frame.time_base = 1 / self.fps
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def close(self) -> None:
        """Write what is still held, and end the file."""
        if self._stream is not None:
            self._container.mux(self._stream.encode())
        self._container.close()

    def _begin(self, height: int, width: int) -> None:
        self._stream = stream = self._container.add_stream(self._encoder, rate=self.fps)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = self._settings
        context = stream.codec_context
        context.time_base = 1 / self.fps
        context.colorspace, context.color_range = _BT601, _NARROW
        context.color_primaries = context.color_trc = _BT709
        if self._gop is not None:
            context.gop_size = self._gop

    def _find_encoder(self) -> str:
        for name in _ENCODERS:
            try:
                return str(self._av.codec.Codec(name, "w").name)
            except self._av.error.FFmpegError:
                continue
        raise ImportError("this build of PyAV has no encoder for H.264: pip install --force av")


def write(job: Job, folder: Path) -> None:
    """Write a file for each camera, called like the camera."""
    need("av", "export to video", package="av", extra="video")
    fps, crf = check_fps(job.options.get("fps")), check_crf(job.options.get("crf", CRF))
    if not job.cameras:
        raise ValueError(f"{job.run.prefix!r} has no frames to make a video of")
    total = sum(len(job.stills(camera).numbers) for camera in job.cameras)
    for camera, name in names_of_cameras(job.cameras).items():
        write_camera(job, camera, folder / f"{name}.mp4", total, fps=fps, crf=crf)


def write_camera(
    job: Job, camera: str, path: Path, total: int, *, fps: Fraction | None, crf: int
) -> None:
    """Write the video of one camera."""
    stills, shots = job.stills(camera), job.shots(camera)
    if not len(stills.numbers):
        raise ValueError(f"no row has a frame of {camera!r}; leave the camera out with frames=")
    rate = fps or fps_of(job, camera)
    with Mp4(path, rate, crf=crf) as movie:
        numbers = stills.numbers
        if job.is_recorded:
            images = job.images(camera)
            numbers = as_played(images.steps, images.ids)
        for number in job.told(numbers.tolist(), total, job.counts["frames"]):
            movie.write(shots[number])
    job.counts["frames"] += movie.frames
    assert movie.shape is not None
    if movie.shape[0] % 2 or movie.shape[1] % 2:
        job.notes.append(f"{camera}: {movie.shape[0]}x{movie.shape[1]} was made even")


def movie(
    run: Recording,
    to: str | Path,
    *,
    frames: str | None = None,
    hz: float | None = None,
    size: tuple[int, int] | None = None,
    fps: float | None = None,
    crf: int = CRF,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Make one MP4 of one camera.

    Args:
        run: whose frames.
        to: the file.
        frames: the camera; may be left out where there is one.
        hz: bring the frames to this rate: at each tick the latest.
        size: height and width to scale to.
        fps: frames a second that it is shown at; by default the rate of the frames.
        crf: 0 (without further loss) to 51 (smallest).
        overwrite: replace a file that is there.
        progress: called with how many frames are done, and of how many.

    Raises:
        ImportError: PyAV is not installed; the text is the pip line.
        ValueError: no frames, several cameras, or an argument that cannot be.
    """
    need("av", "video", package="av", extra="video")
    to = Path(to)
    if to.suffix.lower() != ".mp4":
        raise ValueError(f"to={str(to)!r}: a video is saved as .mp4")
    cameras = choose(frames, run.cameras, "camera")
    if not cameras:
        raise ValueError("a video is made of frames, and this run has none")
    if len(cameras) != 1:
        listed = ", ".join(map(repr, cameras))
        raise ValueError(f"a video shows one camera; pass frames= or --frames, one of {listed}")
    rate, crf = check_fps(fps), check_crf(crf)
    job = Job(run, [], cameras, check_hz(hz), check_size(size), progress=progress)
    with new_file(to, overwrite=overwrite) as file:
        total = len(job.stills(cameras[0]).numbers)
        write_camera(job, cameras[0], file, total, fps=rate, crf=crf)
    return ExportReport(to, "video", 0, job.counts["frames"], [to.name], job.notes)


def fps_of(job: Job, camera: str) -> Fraction:
    """The rate that frames were recorded at, as far as players can show it."""
    rate = job.hz or usual_rate(job.stills(camera).timestamps) or LOWEST
    shown = min(max(rate, LOWEST), HIGHEST)
    if shown != rate:
        job.notes.append(
            f"{camera}: recorded at {float(as_rate(rate)):g} frames a second, shown at {shown};"
            " fps= says otherwise"
        )
    return as_rate(shown)


def as_rate(rate: float) -> Fraction:
    """A rate as a fraction that video files use: a whole number where it is one but for jitter."""
    if abs(rate - round(rate)) <= 0.02 * rate:
        return Fraction(round(rate))
    return Fraction(rate).limit_denominator(1001)


def check_fps(fps: Any) -> Fraction | None:
    """Frames a second as a user gave them, `None` for none. Raises ValueError for what is none."""
    if fps is None:
        return None
    if (
        isinstance(fps, bool)
        or not isinstance(fps, (int, float, Fraction))
        or not 0 < fps < math.inf
    ):
        raise ValueError(f"fps={fps!r}: give frames a second, such as 30")
    return Fraction(fps).limit_denominator(100_000)


def check_crf(crf: Any) -> int:
    """The quality as a user gave it. Raises ValueError for what is none."""
    if type(crf) is not int or not 0 <= crf <= 51:
        raise ValueError(f"crf={crf!r}: give a whole number from 0 (best) to 51 (smallest)")
    return crf
