"""Depth and segmentation as pictures that lose nothing: 16-bit gray, to be saved as PNG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import mujoco
import numpy as np
from numpy.typing import NDArray

MOST = 65535
"""The largest value of 16 bits."""

MILLIMETRE = 0.001

_KINDS = {
    "geom": ("ngeom", mujoco.mjtObj.mjOBJ_GEOM),
    "site": ("nsite", mujoco.mjtObj.mjOBJ_SITE),
    "tendon": ("ntendon", mujoco.mjtObj.mjOBJ_TENDON),
    "flex": ("nflex", mujoco.mjtObj.mjOBJ_FLEX),
    "skin": ("nskin", mujoco.mjtObj.mjOBJ_SKIN),
    "body": ("nbody", mujoco.mjtObj.mjOBJ_BODY),
    "joint": ("njnt", mujoco.mjtObj.mjOBJ_JOINT),
    "actuator": ("nu", mujoco.mjtObj.mjOBJ_ACTUATOR),
    "camera": ("ncam", mujoco.mjtObj.mjOBJ_CAMERA),
    "light": ("nlight", mujoco.mjtObj.mjOBJ_LIGHT),
}


def depth_picture(metres: NDArray[np.float32], far: float, unit: float) -> NDArray[np.uint16]:
    """A depth map as whole numbers of a unit.

    Args:
        metres: float32[height, width], the distance from the camera's plane.
        far: the distance, in metres, that stands for "nothing there".
        unit: metres that one count stands for.

    Returns:
        uint16[height, width]; 0 where there is nothing, or nothing within 65,535 units.
    """
    counts = np.rint(metres / unit)
    counts[(counts > MOST) | (metres >= far * (1 - 1e-4))] = 0
    picture: NDArray[np.uint16] = counts.astype(np.uint16)
    return picture


class Labels:
    """Numbers every object of a model, so that a segmentation is one 16-bit picture.

    0 is the background, `geom_id + 1` a geom; sites, tendons and what else can be seen follow.

    Args:
        model: whose objects they are.

    Attributes:
        ranges: by kind of object its labels, `[first, one beyond the last]`.

    Raises:
        ValueError: 16 bits are too few for this model.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self.ranges: dict[str, list[int]] = {}
        self._first: dict[int, int] = {}
        label = 1
        for kind, (attribute, number) in _KINDS.items():
            count = int(getattr(model, attribute, 0))
            if count:
                self.ranges[kind] = [label, label + count]
                self._first[int(number)] = label
                label += count
        if label > MOST:
            raise ValueError(f"segmentation: {label:,} objects are more than 16 bits can number")

    def picture(self, segmentation: NDArray[np.int32]) -> NDArray[np.uint16]:
        """The labels of what `mujoco.Renderer` gives as segmentation.

        Args:
            segmentation: int32[height, width, 2], for each pixel id and type of an object.

        Returns:
            uint16[height, width]; 65,535 for what is no object of the model.
        """
        ids, types = segmentation[..., 0], segmentation[..., 1]
        picture = np.where(types < 0, 0, MOST).astype(np.uint16)
        for number, first in self._first.items():
            mask = types == number
            picture[mask] = ids[mask] + first
        return picture


def decode_segmentation(
    picture: NDArray[np.uint16], labels: Mapping[str, Sequence[int]]
) -> NDArray[np.int32]:
    """Turn a recorded segmentation back into what `mujoco.Renderer` gives.

    Args:
        picture: uint16[height, width], a frame of `mujoco/<camera>_segmentation`.
        labels: `run.metadata["mujoco"]["mujoco/state"]["segmentation"]`.

    Returns:
        int32[height, width, 2]: id and type (`mujoco.mjtObj`) of the object that each pixel shows;
        -1 and -1 for the background.
    """
    found: Any = np.full((*picture.shape, 2), -1, np.int32)
    for kind, (first, beyond) in labels.items():
        mask = (picture >= first) & (picture < beyond)
        found[mask, 0] = picture[mask].astype(np.int32) - first
        found[mask, 1] = int(_KINDS[kind][1])
    result: NDArray[np.int32] = found
    return result
