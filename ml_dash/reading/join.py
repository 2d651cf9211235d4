"""Which rows of several streams belong together: the join on step.

A *unit* is what is known to belong together: at first each row for itself, in the end one row of
the result. Units are brought together level by level, the surest sign first:

0. a row names its frame in the field `frame`;
1. rows of several streams share step and timestamp exactly: one `Recorder` call wrote them;
2. rows of one session share (episode, step), or step;
3. rows of any sessions do: two processes that record one robot.

Where a level finds a step more than once in a stream, repeats pair in order of arrival. Rows that
are together already stay so and count as one: with frames at every fourth step, the frame of a
repeated step goes where its row goes. If streams repeat a step unequally often, and what is
together does not tell which belongs to which, the group is ambiguous.

All of this is done for all rows at once, in numpy.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml_dash.reading.entries import Booleans, Floats, Integers

ABSENT = -1


@dataclass(frozen=True, slots=True)
class Side:
    """One stream's rows, as far as joining looks at them.

    Attributes:
        steps: of each row.
        timestamps: of each row, in seconds.
        sessions: the number of each row's session.
        arrival: numbers that grow in the order of writing.
        episodes: of each row, as a number; `ABSENT` where it has none.
    """

    steps: Integers
    timestamps: Floats
    sessions: Integers
    arrival: Integers
    episodes: Integers

    def __len__(self) -> int:
        return len(self.steps)


@dataclass(slots=True)
class Units:
    """Rows that belong together.

    Attributes:
        rows: shape (units, streams): the row of each stream, or `ABSENT`.
        steps, timestamps, sessions, episodes: of each unit, from the first stream that it has.
    """

    rows: Integers
    steps: Integers
    timestamps: Floats
    sessions: Integers
    episodes: Integers

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: Integers) -> Units:
        """Some of the units, in this order."""
        return Units(
            self.rows[index],
            self.steps[index],
            self.timestamps[index],
            self.sessions[index],
            self.episodes[index],
        )


def alone(sides: list[Side]) -> Units:
    """Each row for itself."""
    counts = [len(side) for side in sides]
    rows = np.full((sum(counts), len(sides)), ABSENT, np.int64)
    start = 0
    for number, count in enumerate(counts):
        rows[start : start + count, number] = np.arange(count, dtype=np.int64)
        start += count
    return _described(rows, sides)


def plainly(sides: list[Side], by_episode: bool) -> Units | None:
    """Join by step, or by episode and step, where none repeats in any stream; else `None`.

    There is only one way to join then, and it takes a fraction of the time and memory.
    """
    keys = [np.concatenate([side.steps for side in sides])]
    if by_episode:
        keys.insert(0, np.concatenate([side.episodes for side in sides]))
        if (keys[0] == ABSENT).any():
            return None
    groups = number(*keys)
    rows = np.full((int(groups.max(initial=-1)) + 1, len(sides)), ABSENT, np.int64)
    start = 0
    for column, side in enumerate(sides):
        own = groups[start : start + len(side)]
        start += len(side)
        if len(own) and int(np.bincount(own).max()) > 1:
            return None
        rows[own, column] = np.arange(len(side), dtype=np.int64)
    return _described(rows, sides)


def bring_together(units: Units, sides: list[Side], groups: Integers) -> tuple[Units, Integers]:
    """Bring the units of each group together.

    Args:
        units: as they are.
        sides: the streams.
        groups: the number of each unit's group, from 0; negative for units to be left alone.

    Returns:
        The units after it, and which groups were ambiguous: their units are as before.
    """
    inside = groups >= 0
    places, ambiguous = _places(units, sides, np.where(inside, groups, 0), inside)
    joined = inside & ~np.isin(groups, ambiguous)
    # Units of one group and one place become one; all others get a number of their own.
    width = int(places.max(initial=0)) + 1
    keys = np.where(joined, groups * width + places, -1 - np.arange(len(units), dtype=np.int64))
    _, target = np.unique(keys, return_inverse=True)
    merged = np.full((int(target.max(initial=-1)) + 1, len(sides)), ABSENT, np.int64)
    for column in range(len(sides)):
        has = units.rows[:, column] != ABSENT
        merged[target[has], column] = units.rows[has, column]
    return _described(merged, sides), ambiguous


def first_or_last(units: Units, sides: list[Side], groups: Integers, last: bool) -> Units:
    """Keep of each group one unit: the first, or last, row of each stream.

    What is together stays so: a row that is with another row of a stream already chosen from, such
    as the frame of an earlier repeat, is left out.
    """
    count = int(groups.max(initial=-1)) + 1
    chosen = np.full((count, len(sides)), ABSENT, np.int64)
    for column, side in enumerate(sides):
        members = np.flatnonzero((units.rows[:, column] != ABSENT) & (groups >= 0))
        arrival = side.arrival[units.rows[members, column]]
        members = members[np.lexsort((-arrival if last else arrival, groups[members]))]
        members = members[_counted(groups[members]) == 0]
        rows, held = units.rows[members], chosen[groups[members]]
        free = ~((rows != ABSENT) & (held != ABSENT)).any(axis=1)
        chosen[groups[members[free]]] = np.maximum(held[free], rows[free])
    return _described(np.concatenate([chosen, units.rows[groups < 0]]), sides)


def number(*keys: NDArray[np.generic]) -> Integers:
    """Number the distinct combinations of keys, from 0."""
    result: Integers
    _, result = np.unique(keys[0], return_inverse=True)
    for key in keys[1:]:
        _, inverse = np.unique(key, return_inverse=True)
        # Numbered anew each time, so that products stay small
        combined = result * (int(inverse.max(initial=0)) + 1) + inverse
        _, result = np.unique(combined, return_inverse=True)
    return result


def _places(
    units: Units, sides: list[Side], groups: Integers, inside: Booleans
) -> tuple[Integers, Integers]:
    """Which repeat of its group each unit is, and the groups where that is ambiguous."""
    rows = units.rows
    count = int(groups.max(initial=0)) + 1
    has = (rows != ABSENT) & inside[:, None]
    often = np.zeros((count, len(sides)), np.int64)
    turn = np.zeros_like(rows)
    for column, side in enumerate(sides):
        members = np.flatnonzero(has[:, column])
        arrival = side.arrival[rows[members, column]]
        members = members[np.lexsort((arrival, groups[members]))]
        turn[members, column] = _counted(groups[members])
        often[:, column] = np.bincount(groups[members], minlength=count)
    places, unclear = _led(has, turn, often, groups)
    unclear &= inside
    # Nor may two units bring a row of one stream each to the same place
    width = int(places.max(initial=0)) + 1
    for column in range(len(sides)):
        members = np.flatnonzero(has[:, column] & ~unclear)
        keys = groups[members] * width + places[members]
        _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
        unclear[members[counts[inverse] > 1]] = True
    # nor rows of two episodes, where a frame without one was to be placed by its step alone
    members = np.flatnonzero(inside & ~unclear & (units.episodes != ABSENT))
    keys, episodes = groups[members] * width + places[members], units.episodes[members]
    order = np.lexsort((episodes, keys))
    differ = (np.diff(keys[order]) == 0) & (np.diff(episodes[order]) != 0)
    unclear[members[order[1:][differ]]] = True
    return places, np.unique(groups[unclear])


def _led(
    has: Booleans, turn: Integers, often: Integers, groups: Integers
) -> tuple[Integers, Booleans]:
    """The place of each unit in its group, and for which it is unclear.

    A stream with the most repeats has one in every row of the result, so its order tells the place.
    Where all of its units have their place from a stream before it, its own order says no more.
    """
    most = often.max(axis=1, initial=0)
    places = np.full(len(has), ABSENT, np.int64)
    unclear = np.zeros(len(has), np.bool_)
    for column in range(has.shape[1]):
        members = np.flatnonzero(has[:, column] & (often[:, column] == most)[groups])
        unplaced = np.zeros(len(often), np.bool_)
        unplaced[groups[members[places[members] == ABSENT]]] = True
        members = members[unplaced[groups[members]]]
        new = members[places[members] == ABSENT]
        places[new] = turn[new, column]
        unclear[members[places[members] != turn[members, column]]] = True
    unclear |= places == ABSENT
    places[unclear] = 0
    return places, unclear


def _described(rows: Integers, sides: list[Side]) -> Units:
    """Units with step, time, session and episode of the first stream that each has."""
    count = len(rows)
    units = Units(
        rows,
        np.zeros(count, np.int64),
        np.zeros(count),
        np.full(count, ABSENT, np.int64),
        np.full(count, ABSENT, np.int64),
    )
    for column in range(len(sides) - 1, -1, -1):
        side = sides[column]
        has = rows[:, column] != ABSENT
        picked = rows[has, column]
        units.steps[has] = side.steps[picked]
        units.timestamps[has] = side.timestamps[picked]
        for target, values in ((units.sessions, side.sessions), (units.episodes, side.episodes)):
            known = values[picked]
            target[has] = np.where(known == ABSENT, target[has], known)
    return units


def _counted(groups: Integers) -> Integers:
    """For sorted group numbers: the number of each member within its group, from 0."""
    if not len(groups):
        return groups
    begins = np.flatnonzero(np.concatenate([[True], groups[1:] != groups[:-1]]))
    return np.arange(len(groups), dtype=np.int64) - np.repeat(
        begins, np.diff(np.append(begins, len(groups)))
    )
