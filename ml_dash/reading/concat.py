"""Several runs as one dataset."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, overload

from ml_dash.reading.locate import open_run
from ml_dash.reading.run_view import RunView

if TYPE_CHECKING:
    from ml_dash.reading.aligned import Aligned


@overload
def concat_runs(
    runs: Sequence[RunView | str | os.PathLike[str]], root: str | os.PathLike[str] | None = None
) -> Runs: ...
@overload
def concat_runs(runs: Sequence[Aligned], root: None = None) -> Aligned: ...
def concat_runs(runs: Sequence[Any], root: str | os.PathLike[str] | None = None) -> Runs | Aligned:
    """Several runs, one after the other, as one dataset::

        rows = ml_dash.concat_runs(["arm/1", "arm/2"]).aligned("robot/joints", frames="cam")
        rows.run_index, rows.episode_index
        rows.to_torch(batch_size=32, shuffle=True, obs_horizon=4, action_horizon=8)

    Args:
        runs: runs, their prefixes or folders; or rows that were aligned already, when each run
            needs arguments of its own, or was resampled.
        root: the folder that prefixes are looked up in, as in `open_run`.

    Returns:
        The runs, whose `aligned` joins each as `RunView.aligned` does; of aligned rows, those of
        all. `run_index` tells the run of a row, and episodes are never of two runs.

    Raises:
        FileNotFoundError: there is no such run.
        TypeError: neither runs nor aligned rows, or a mixture.
        ValueError: none are given, or aligned rows have not the same tracks and cameras.
    """
    if isinstance(runs, (str, os.PathLike)):
        raise TypeError(f"runs is {runs!r}; it must be a list of runs")
    found = list(runs)
    if not found:
        raise ValueError("runs is empty; give at least one run")
    if all(isinstance(run, (RunView, str, os.PathLike)) for run in found):
        return Runs([run if isinstance(run, RunView) else open_run(run, root) for run in found])
    from ml_dash.reading.aligned import Aligned
    from ml_dash.reading.joined import join_aligned

    wrong = next((run for run in found if not isinstance(run, Aligned)), None)
    if wrong is not None:
        raise TypeError(f"runs has {wrong!r}; give runs, or aligned rows, and not both")
    return join_aligned(found)


class Runs(Sequence[RunView]):
    """Several runs in an order. `aligned` makes them one dataset."""

    def __init__(self, runs: Sequence[RunView]) -> None:
        self._runs = list(runs)

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[RunView]:
        return iter(self._runs)

    @overload
    def __getitem__(self, index: int) -> RunView: ...
    @overload
    def __getitem__(self, index: slice) -> Runs: ...
    def __getitem__(self, index: int | slice) -> RunView | Runs:
        return Runs(self._runs[index]) if isinstance(index, slice) else self._runs[index]

    def __repr__(self) -> str:
        return f"<Runs: {', '.join(run.prefix for run in self._runs)}>"

    def aligned(
        self, *topics: str, frames: str | Sequence[str] | None = None, **options: Any
    ) -> Aligned:
        """Join tracks and frames of each run, and put the rows of all runs one after the other.

        Args:
            topics: the tracks; each run must have them.
            frames: the folder of the frames, or several cameras; each run must have them.
            options: the other arguments of `RunView.aligned`.

        Raises:
            AlignmentError, KeyError, ValueError: as `RunView.aligned` does; the run is named.
        """
        from ml_dash.reading.joined import join_aligned

        found = []
        for run in self._runs:
            try:
                found.append(run.aligned(*topics, frames=frames, **options))
            except (KeyError, ValueError) as error:
                error.add_note(f"in the run {run.prefix!r}")
                raise
        return join_aligned(found)
