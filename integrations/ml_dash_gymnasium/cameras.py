"""Which frames of an environment are recorded: what `frames=` says."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ml_dash import check_path
from ml_dash_gymnasium.spaces import Layout

RENDER = "render"
OBSERVATIONS = "obs"

Frames = Literal["obs", "render"] | Sequence[str] | None
"""What `frames=` takes."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The cameras that are recorded.

    Attributes:
        observed: those of pictures in the observations.
        exact: those among them that must not be changed by a JPEG.
        render: whether the environment is asked to render.
    """

    observed: frozenset[str]
    exact: frozenset[str]
    render: bool


def choose(frames: Frames, layout: Layout) -> Chosen:
    """The cameras that `frames` names.

    Args:
        frames: `"obs"` for all pictures among the observations, `"render"`, a list of both, or of
            cameras such as `"obs/cam/front"`, for short `"cam/front"`; `None` for no frames.
        layout: of the observations.

    Raises:
        TypeError: `frames` is none of these.
        ValueError: there is no such camera; the message says which there are.
    """
    wanted = _as_list(frames)
    observed: set[str] = set()
    for name in wanted:
        if name == RENDER:
            continue
        path = name if name.split("/")[0] == OBSERVATIONS else f"{OBSERVATIONS}/{name}"
        found = {c for c in layout.cameras if c == path or c.startswith(f"{path}/")}
        if not found and name != OBSERVATIONS:
            known = ", ".join(map(repr, [OBSERVATIONS, RENDER, *layout.cameras]))
            raise ValueError(
                f"frames: there is no camera {name!r} among the observations of this environment;"
                f" there are {known}"
            )
        observed |= found | {layout.earlier[c] for c in found if c in layout.earlier}
    exact = {name for name in observed if layout.cameras[name].lossless}
    return Chosen(frozenset(observed), frozenset(exact), RENDER in wanted)


def _as_list(frames: Any) -> list[str]:
    if frames is None:
        return []
    if isinstance(frames, str):
        return [frames]
    if isinstance(frames, Sequence) and all(isinstance(name, str) for name in frames):
        return list(frames)
    raise TypeError(
        f"frames is {frames!r}; it must be 'obs', 'render', a list of cameras, or None for no"
        " frames"
    )


def gives_arrays(mode: str | None) -> bool:
    """Whether `render` gives a picture of the present moment, by an environment's `render_mode`."""
    return mode not in (None, "human", "ansi") and not str(mode).endswith("_list")


def check_pace(every: Any) -> int:
    """`every`, a whole number from 1 on.

    Raises:
        ValueError: it is not.
    """
    if isinstance(every, bool) or not isinstance(every, int) or every < 1:
        raise ValueError(f"every is {every!r}; it must be a whole number from 1 on")
    return every


def check_trigger(trigger: Any) -> None:
    """Refuse an episode trigger that cannot be called.

    Raises:
        TypeError: it cannot.
    """
    if trigger is not None and not callable(trigger):
        raise TypeError(
            f"episode_trigger is {trigger!r}; it must be a function of an episode's number that"
            " says whether it is recorded, such as `lambda episode: episode % 10 == 0`"
        )


def check_encoding(image_format: Any, quality: Any) -> None:
    """Refuse what no picture can be encoded as.

    Raises:
        ValueError: the format is not `jpg` or `png`, or the quality not from 1 to 100.
    """
    if image_format not in ("jpg", "jpeg", "png"):
        raise ValueError(f"image_format is {image_format!r}; it must be 'jpg' or 'png'")
    if isinstance(quality, bool) or not isinstance(quality, int) or not 1 <= quality <= 100:
        raise ValueError(f"quality is {quality!r}; it must be a whole number from 1 to 100")


def check_topic(topic: Any) -> str:
    """A topic without slashes around it.

    Raises:
        ValueError: it is no name, or none that a run can have.
    """
    if not isinstance(topic, str) or not topic.strip("/"):
        raise ValueError(f"topic is {topic!r}; it must be a name, such as 'env' or 'train/env'")
    return check_path(topic.strip("/"), "topic")
