"""What is kept of an observation: its columns, its pictures, and what was rendered of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gymnasium.spaces import Space

from ml_dash_gymnasium.cameras import OBSERVATIONS, RENDER, Frames, choose
from ml_dash_gymnasium.copies import as_own_array
from ml_dash_gymnasium.guard import Guard
from ml_dash_gymnasium.spaces import Layout


class _Missing:
    """The type of `MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING = _Missing()
"""An observation that the environment did not give."""

_DEPTH = f"{RENDER}_depth"


class Observations:
    """Copies observations into rows and frames.

    Args:
        space: of the environment.
        topic: what its cameras are below.
        frames: see `cameras.choose`.
        every: take a frame at each n-th step of an episode.
        render: gives the rendered picture, or `None` where there is none.
        guard: counts what could not be recorded.

    Attributes:
        exact: the cameras whose frames a JPEG would spoil.

    Raises:
        ValueError, TypeError: as `cameras.choose`.
    """

    def __init__(
        self,
        space: Space[Any],
        topic: str,
        *,
        frames: Frames,
        every: int,
        render: Callable[[], Any] | None,
        guard: Guard,
    ) -> None:
        self._layout = Layout(space, OBSERVATIONS)
        chosen = choose(frames, self._layout)
        self._observed = chosen.observed
        self._names = {name: f"{topic}/{name}" for name in (*chosen.observed, RENDER, _DEPTH)}
        self.exact = frozenset(self._names[name] for name in chosen.exact)
        self._render = render if chosen.render else None
        self._pictured = bool(self._observed or self._render)
        self._every = every
        self._guard = guard

    def take(self, observation: Any, row: dict[str, Any], t: int) -> dict[str, Any]:
        """Write an observation into a row. Never raises.

        Args:
            observation: what the environment gave, or `MISSING`.
            row: gets its columns.
            t: which one of its episode it is.

        Returns:
            Its frames by camera, arrays of their own.
        """
        frames: dict[str, Any] = {}
        try:
            if observation is not MISSING:
                self._layout.write(observation, row)
            if self._pictured and t % self._every == 0:
                self._take_pictures(observation, frames)
        except Exception as error:  # noqa: BLE001 - an object of the user's may raise anything
            self._guard("an observation", error)
        return frames

    def _take_pictures(self, observation: Any, frames: dict[str, Any]) -> None:
        if self._observed and observation is not MISSING:
            pictures = self._layout.pictures(observation, self._observed, self._strays)
            frames.update((self._names[name], picture) for name, picture in pictures.items())
        if self._render is not None:
            rendered = self._render()
            if not isinstance(rendered, (tuple, list)):
                rendered = (rendered,)  # else colours and depth
            for name, picture in zip((RENDER, _DEPTH), rendered, strict=False):
                array = None if picture is None else as_own_array(picture)
                if array is not None:
                    camera = self._names[name]
                    frames[camera] = array
                    if name == _DEPTH or array.dtype.itemsize > 1 or array.shape[2:] == (4,):
                        self.exact |= {camera}

    def _strays(self, camera: str) -> None:
        self._guard(
            "all of a picture",
            f"camera {camera!r} was given numbers that are not of its space (beyond its bounds,"
            " NaN, or fractions where it has integers); its frame has the nearest colours",
        )
