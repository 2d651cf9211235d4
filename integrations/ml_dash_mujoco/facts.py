"""What the metadata of a run say of a track, for all hooks that have recorded it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_dash import Experiment, open_run
from ml_dash_mujoco.numbers import Numbers

Facts = dict[str, Any]

_OF_ALL = ("columns", "cameras", "earlier")
"""What is not as the last hook has it, but put together from all."""


def tell(experiment: Experiment, topic: str, facts: Facts, numbers: Numbers) -> None:
    """Put into the metadata what a hook records, beside what they say already.

    Args:
        experiment: whose run goes on.
        topic: the track.
        facts: what readers need to know of its columns and frames, as JSON types.
        numbers: those of the topic; rows from its step on are as the facts say.
    """
    metadata = experiment.metadata
    if "mujoco" not in metadata and experiment.folder:
        try:  # of the processes that have recorded before
            metadata |= {**open_run(experiment.folder).metadata, **metadata}
        except (OSError, ValueError):
            pass  # what cannot be read is told of by those that read it
    known = metadata.get("mujoco")
    known = known if isinstance(known, dict) else {}
    before = known.get(topic)
    if isinstance(before, dict):
        facts = merged(before, facts, numbers.step)
    metadata["mujoco"] = {**known, topic: facts}
    experiment.run.update(metadata=metadata)


def merged(before: Mapping[str, Any], facts: Facts, step: int) -> Facts:
    """The facts of all hooks of a track.

    What the later one does not record is still as it was. What has changed is kept in `earlier`, a
    list of what was so `before_step`: what an entry names holds back to the previous one that
    names it, too.

    Args:
        before: those of the hooks before.
        facts: those of the one that records from now on.
        step: the next one.
    """
    if not facts["cameras"] and "size" in before:  # frames are still as they were
        facts = {**facts, "size": before["size"]}
    columns, now = before.get("columns", {}), facts["columns"]
    moved = {name: place for name, place in columns.items() if now.get(name, place) != place}
    changed: Facts = {"columns": moved} if moved else {}
    for kind, fact in before.items():
        if kind not in _OF_ALL and facts.get(kind, fact) != fact:
            changed[kind] = fact
    cameras = dict.fromkeys([*before.get("cameras", []), *facts["cameras"]])
    result = {**before, **facts, "columns": {**columns, **now}, "cameras": list(cameras)}
    if changed and step:
        result["earlier"] = _extended(before.get("earlier", []), step, changed)
    return result


def _extended(earlier: list[Facts], step: int, changed: Facts) -> list[Facts]:
    """What was so before the steps at which it changed, one entry for each step.

    What is known of a step already stays: the hook that has changed it recorded nothing.
    """
    last = earlier[-1] if earlier and earlier[-1].get("before_step") == step else {}
    entry = {"before_step": step, **changed, **last}
    if "columns" in changed and "columns" in last:
        entry["columns"] = {**changed["columns"], **last["columns"]}
    return [*(earlier[:-1] if last else earlier), entry]
