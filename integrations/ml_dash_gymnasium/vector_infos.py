"""Takes the infos of a vector environment apart.

Gymnasium gives one dict of arrays, and beside each value `key` a mask `_key` that says whose it is;
what it holds for the others is filler, which is dropped here.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ml_dash_gymnasium.vector_batches import Chosen

FINAL_OBSERVATION = ("final_obs", "final_observation")
FINAL_INFO = "final_info"
"""What an environment that resets within the step adds about the episode that has ended."""


def split_infos(infos: Any, chosen: Chosen) -> list[dict[str, Any]]:
    """The info of each chosen sub-environment.

    Args:
        infos: a dict of arrays and masks, nested at will; or a list of dicts, as `DictInfoToList`
            gives. A value without a mask is everybody's: its own item of it where there is one for
            each sub-environment, else the value itself.
        chosen: who is recorded.
    """
    if not infos:
        return [{} for _ in chosen.ids]
    if not hasattr(infos, "items"):
        return [dict(info or {}) for info in chosen.items(infos)]
    split: list[dict[str, Any]] = [{} for _ in chosen.ids]
    for key, value in infos.items():
        if not _is_mask(key, infos, chosen):
            _add(split, key, value, mask_of(key, infos, chosen), chosen)
    return split


def final_observations(infos: Any) -> Any:
    """The batch of last observations of episodes that have ended in this step, if it is given."""
    for key in FINAL_OBSERVATION:
        if hasattr(infos, "items") and key in infos:
            return infos[key]
    return None


def without_finals(info: Any) -> Any:
    """The info of one, without what it holds of an episode that has ended in the same step."""
    return {key: info[key] for key in info if key not in (*FINAL_OBSERVATION, FINAL_INFO)}


def mask_of(key: Any, infos: Any, chosen: Chosen) -> list[bool] | None:
    """Which of the chosen have a value under `key`; `None`: all."""
    name = f"_{key}"
    return chosen.scalars(infos[name]) if _is_mask(name, infos, chosen) else None


def _is_mask(key: Any, infos: Any, chosen: Chosen) -> bool:
    """Whether `key` is the mask of another. A key of the user's may begin with `_`, too."""
    if not isinstance(key, str) or not key.startswith("_"):
        return False
    if key[1:] not in infos or key not in infos:
        return False
    return chosen.is_batch(infos[key]) and str(getattr(infos[key], "dtype", "")).endswith("bool")


def _add(
    split: list[dict[str, Any]], key: Any, value: Any, mask: list[bool] | None, chosen: Chosen
) -> None:
    if hasattr(value, "items") and not isinstance(value, np.ndarray):
        items: list[Any] = list(split_infos(value, chosen))
    elif chosen.is_batch(value):
        items = chosen.items(value)
    else:
        items = [value for _ in chosen.ids]
    for k, item in enumerate(items):
        if mask is None or mask[k]:
            split[k][key] = item
