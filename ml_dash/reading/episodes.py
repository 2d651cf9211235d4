"""Where episodes begin and end among aligned rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ml_dash.reading.entries import Booleans, Integers
from ml_dash.reading.parts import Part
from ml_dash.reading.topic import AlignedTopic

EPISODE = "episode"
_UNKNOWN = -1


def number_episodes(topics: Iterable[AlignedTopic], steps: Part, runs: Integers) -> Integers:
    """The number of the episode that each row belongs to, from 0 in order of appearance.

    Rows of one run that share a value of the column `episode` are an episode, also when rows of
    others lie between them; a row takes it from the first track that has it. A program that is
    started again counts its episodes anew: what one start wrote, and what a later one did, is never
    one episode, nor is what was written before and after a step went back. A row at which no track
    that tells episodes has an entry belongs to the one before it. Rows that have an entry but no
    episode belong to the one that they lie in, or else are one by themselves.

    Without such a column an episode begins where a run begins, and where its step goes back.
    """
    topics = list(topics)
    found = [(topic, topic.optional(EPISODE)) for topic in topics]
    telling = [(topic, part) for topic, part in found if part.kind != "none" and len(part)]
    part = _first_known([part for _, part in telling])
    if part is None:
        order = _written([topic.arrival for topic in topics], len(runs))
        return _in_order_of_appearance(_by_steps(steps, runs, _passed(runs, steps, order)))
    codes = _codes(part)
    tellers = [topic for topic, _ in telling]
    groups = _paired(_paired(codes, _starts(telling)), runs)
    groups[codes == _UNKNOWN] = _UNKNOWN
    order = _written([topic.arrival for topic in tellers], len(runs))
    groups = _split(groups, steps, _passed(groups, steps, order))
    told = np.logical_or.reduce([topic.present for topic in tellers])
    return _in_order_of_appearance(_held(_filled(groups, told, runs), runs))


def _first_known(parts: Sequence[Part]) -> Part | None:
    """The column, each value from the first track that has one; `None` where no track has any."""
    if not parts:
        return None
    if parts[0].missing is None or len(parts) == 1:
        return parts[0]
    data = parts[0].data.astype(object)
    unknown = parts[0].missing.copy()
    for part in parts[1:]:
        has = unknown if part.missing is None else unknown & ~part.missing
        data[has] = part.data[has]
        unknown = unknown & ~has
    return Part("object", data, unknown)


def _codes(part: Part) -> Integers:
    """A number for each distinct value, `_UNKNOWN` where there is none."""
    if part.kind == "int" and part.data.ndim == 1:
        _, codes = np.unique(part.data, return_inverse=True)
    else:
        known: dict[object, int] = {None: _UNKNOWN}
        values = map(hashable, part.data.tolist())
        codes = np.array([known.setdefault(value, len(known) - 1) for value in values], np.int64)
    if part.missing is not None:
        codes[part.missing] = _UNKNOWN
    return codes


def _starts(telling: Sequence[tuple[AlignedTopic, Part]]) -> Integers:
    """A number for each start of the program, at the rows whose episode it told.

    Processes that live at once, each with a track, such as two that record one robot, are one
    start. Where several wrote one track, or a clock that began again with each start lays their
    rows among one another, each is one by itself.
    """
    sessions = [topic.sessions for topic, _ in telling]
    clusters = _clusters(sessions)
    starts = np.zeros(len(sessions[0]), np.int64)
    for (_, part), found in reversed(list(zip(telling, sessions, strict=True))):
        known = found >= 0 if part.missing is None else (found >= 0) & ~part.missing
        wrote = np.unique(found[known])
        wrote = wrote[np.argsort(clusters[wrote], kind="stable")]
        _, first, inverse = np.unique(clusters[wrote], return_index=True, return_inverse=True)
        turn = np.arange(len(wrote), dtype=np.int64) - first[inverse]
        number = clusters * len(clusters)
        number[wrote] += turn
        starts[known] = number[found[known]]
    return starts


def _clusters(sessions: Sequence[Integers]) -> Integers:
    """For each session the number of the first one that its rows lie among, else its own."""
    size = int(max(found.max(initial=-1) for found in sessions)) + 1
    rows = np.arange(len(sessions[0]), dtype=np.int64)
    first, last = np.full(size, len(rows), np.int64), np.full(size, -1, np.int64)
    for found in sessions:
        has = found >= 0
        np.minimum.at(first, found[has], rows[has])
        np.maximum.at(last, found[has], rows[has])
    order = np.argsort(first, kind="stable")
    reached = np.maximum.accumulate(last[order])
    apart = np.ones(size, np.bool_)
    apart[1:] = first[order][1:] > reached[:-1]
    clusters = np.empty(size, np.int64)
    clusters[order] = np.cumsum(apart) - 1
    return clusters


def _written(arrivals: Sequence[Integers], count: int) -> Integers:
    """The rows in the order of writing, where the first track tells it; else in their own."""
    if arrivals and not (arrivals[0] < 0).any():
        return np.argsort(arrivals[0], kind="stable")
    return np.arange(count, dtype=np.int64)


def _passed(groups: Integers, steps: Part, written: Integers) -> Integers:
    """The rows in the order in which steps went by: that of writing, or else that of time.

    Rows may be written late, such as a message that another one overtook: by their times they are
    in order. A clock that began again lays steps among one another: then that of writing is, also
    where by time as many steps go on. `export.played` has the same rule for what has no episodes.
    """
    timely = np.arange(len(groups), dtype=np.int64)
    if bool((written == timely).all()):
        return timely
    stops = []
    for order in (written, timely):
        _, data, same = _known_steps(groups, steps, order[np.argsort(groups[order], kind="stable")])
        stops.append(int(np.count_nonzero((data[1:] <= data[:-1]) & same)))
    return timely if stops[1] < stops[0] else written


def _known_steps(
    groups: Integers, steps: Part, order: Integers
) -> tuple[Booleans, Integers, Booleans]:
    """Which rows of an order have a group and a step; their steps; which are as the one before."""
    known = groups[order] != _UNKNOWN
    if steps.missing is not None:
        known &= ~steps.missing[order]
    grouped = groups[order[known]]
    return known, steps.data[order[known]], grouped[1:] == grouped[:-1]


def _split(groups: Integers, steps: Part, order: Integers) -> Integers:
    """Divide groups where their step goes back, going through the rows in this order."""
    order = order[np.argsort(groups[order], kind="stable")]
    known, data, same = _known_steps(groups, steps, order)
    back = (data[1:] < data[:-1]) & same
    if not back.any():
        return groups
    # A row without a step belongs to the part that the row before it does
    turns = np.zeros(len(groups), np.int64)
    turns[order[known][1:][back]] = 1
    turns[order] = np.cumsum(turns[order])
    return np.where(groups == _UNKNOWN, _UNKNOWN, _paired(groups, turns))


def _filled(groups: Integers, told: Booleans, runs: Integers) -> Integers:
    """Give rows that have an entry and no episode the one they lie in, or one of their own."""
    if (groups != _UNKNOWN).all():
        return groups
    before = _held(groups, runs)
    after = _held(groups[::-1], runs[::-1])[::-1]
    silent = told & (groups == _UNKNOWN)
    inside = silent & (before == after) & np.isin(before, groups)
    groups = np.where(inside, before, groups)
    silent &= ~inside
    begins = silent.copy()
    begins[1:] &= ~silent[:-1] | (runs[1:] != runs[:-1])
    stretches = np.cumsum(begins, dtype=np.int64) + int(groups.max(initial=0))
    return np.where(silent, stretches, groups)


def _held(groups: Integers, runs: Integers) -> Integers:
    """Give rows that belong to no group that of the row before; the first of a run are one."""
    rows = np.arange(len(groups), dtype=np.int64)
    known = np.maximum.accumulate(np.where(groups != _UNKNOWN, rows, _UNKNOWN))
    same = (known >= 0) & (runs[np.maximum(known, 0)] == runs)
    alone = int(groups.max(initial=0)) + 1 + runs
    return np.where(same, groups[np.maximum(known, 0)], alone)


def _paired(first: Integers, second: Integers) -> Integers:
    """A number for each distinct pair."""
    if not second.any():
        return first.copy()
    _, one = np.unique(first, return_inverse=True)
    _, other = np.unique(second, return_inverse=True)
    return one.astype(np.int64) * (int(other.max(initial=0)) + 1) + other


def _in_order_of_appearance(groups: Integers) -> Integers:
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    order = np.empty(len(first), np.int64)
    order[np.argsort(first)] = np.arange(len(first), dtype=np.int64)
    return order[inverse]


def _by_steps(steps: Part, runs: Integers, order: Integers) -> Integers:
    order = order[np.argsort(runs[order], kind="stable")]
    known = order if steps.missing is None else order[~steps.missing[order]]
    begins = np.zeros(len(runs), np.bool_)
    begins[order[1:]] = runs[order[1:]] != runs[order[:-1]]
    back = steps.data[known[1:]] < steps.data[known[:-1]]
    begins[known[1:][back]] = True
    found = np.empty(len(runs), np.int64)
    found[order] = np.cumsum(begins[order], dtype=np.int64)
    return found


def hashable(value: object) -> object:
    """What an episode is told from others by, whatever it is; `None` for none."""
    if not isinstance(value, (int, float, str, bool, type(None))):
        return repr(value)
    return value if value == value else None  # NaN tells no episode
