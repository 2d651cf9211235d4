"""Statistics of a feature, gathered as it goes by: memory does not grow with what is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

QUANTILES = {"q01": 0.01, "q10": 0.1, "q50": 0.5, "q90": 0.9, "q99": 0.99}

_CELLS = 1 << 17
_LEAST, _MOST = 64, 4096  # rows


class Running:
    """Least, greatest, mean, standard deviation and quantiles of vectors of one length.

    What is not finite does not count. Quantiles are those of a regular choice of the rows, some
    thousand of them, and so exact as long as there are no more.
    """

    def __init__(self, size: int) -> None:
        self.rows = self.updates = 0
        self._count = np.zeros(size)
        self._mean = np.zeros(size)
        self._squares = np.zeros(size)
        self._low = np.full(size, np.inf)
        self._high = np.full(size, -np.inf)
        most = max(_LEAST, min(_MOST, _CELLS // max(1, size)))
        self._every = 1
        self._kept = np.empty((most, size))
        self._used = 0

    def update(self, values: NDArray[Any]) -> None:
        """Take in some rows: shape (rows, size)."""
        values = np.asarray(values, np.float64)
        good = np.isfinite(values)
        count = good.sum(0)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = np.where(good, values, 0).sum(0) / count
            mean = np.where(count > 0, mean, 0)
            squares = np.where(good, (values - mean) ** 2, 0).sum(0)
            total = self._count + count
            apart = mean - self._mean
            share = np.where(total > 0, count / total, 0)
            self._squares += squares + apart**2 * self._count * share
            self._mean += apart * share
        self._count = total
        self._low = np.minimum(self._low, np.where(good, values, np.inf).min(0, initial=np.inf))
        self._high = np.maximum(self._high, np.where(good, values, -np.inf).max(0, initial=-np.inf))
        self._keep(values)
        self.rows += len(values)
        self.updates += 1

    def result(self) -> dict[str, Floats]:
        """`min max mean std q01 …` of shape (size,), and `count`, how many rows, of shape (1,)."""
        empty = self._count == 0
        found = {
            "min": np.where(empty, 0, self._low),
            "max": np.where(empty, 0, self._high),
            "mean": self._mean,
            "std": np.sqrt(self._squares / np.maximum(self._count, 1)),
            "count": np.array([self.rows], np.int64),
        }
        kept = self._kept[: self._used] if self._used else np.zeros((1, len(self._mean)))
        kept = np.where(np.isfinite(kept), kept, np.nan)
        kept[:, np.isnan(kept).all(0)] = 0
        values = np.nanquantile(kept, list(QUANTILES.values()), axis=0)
        return {**found, **dict(zip(QUANTILES, values, strict=True))}

    def _keep(self, values: Floats) -> None:
        for number, row in enumerate(values, start=self.rows):
            if number % self._every:
                continue
            if self._used == len(self._kept):
                half = self._kept[::2].copy()
                self._kept[: len(half)] = half
                self._used = len(half)
                self._every *= 2
                if number % self._every:
                    continue
            self._kept[self._used] = row
            self._used += 1
