"""Parameters of a run: `experiment.params.set(lr=1e-3, model={"layers": 4})`.

Nested values are flattened with `.`: the above is stored as `lr` and `model.layers`. Each call of
`set` is one row; of a parameter that is set again the later value wins. A call with a value that
cannot be stored changes nothing at all.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ml_dash import rows
from ml_dash.clock import now
from ml_dash.configs import entries, plain
from ml_dash.dotted import Flat, fold, unflatten, without_conflicts
from ml_dash.values import flatten, kind_name

if TYPE_CHECKING:
    from ml_dash.buffer import Buffer


class Params:
    """Sets and reads the parameters of a run. `experiment.params` is one of these."""

    __slots__ = ("_buffer", "_own", "_stream")

    def __init__(self, buffer: Buffer) -> None:
        self._buffer = buffer
        self._stream = buffer.stream("params")
        self._own: dict[str, tuple[float, Any]] = {}  # what this process set, with its timestamp

    def set(self, source: Any = None, /, **values: Any) -> Self:
        """Set parameters, beside those that are set already.

        Args:
            source: a mapping, dataclass, `argparse.Namespace`, or a class or object with public
                attributes; its entries become parameters. Methods, properties and names that begin
                with `_` are left out.
            **values: more parameters, which win over those of `source`. They nest: mappings and
                objects as above may stand anywhere among them.

        Raises:
            TypeError: a value cannot be stored; the message names it.
            ValueError: a parameter is given twice, or has both a value and parameters below it.
            RuntimeError: the run has not started or has ended.

        Example:
            >>> experiment.params.set(args, seed=7, optimizer={"name": "adam", "lr": 3e-4})
        """
        flat = without_conflicts(
            (_flatten(source) if source is not None else {}) | _flatten(values)
        )
        if flat:
            line = rows.encode_row({"params": flat}, head={"timestamp": now()}, where="params")
            self._stream.put(line)
            row = rows.decode_row(line)  # as it will be read, whatever the caller does meanwhile
            for name, value in row["params"].items():
                self._own[name] = (row["timestamp"], value)
        return self

    log = set
    update = set

    def get(self, flatten: bool = True) -> dict[str, Any]:
        """All parameters of the run, also those that earlier sessions and other processes set.

        Args:
            flatten: by dotted name, `{"model.layers": 4}`; otherwise `{"model": {"layers": 4}}`.

        Returns:
            A new dict: changing it changes no parameter.
        """
        from ml_dash.reading import read_rows

        self._buffer.flush()
        stored = read_rows(self._buffer.backend, "params")
        # Also what is not on disk yet, say because the disk is full.
        own = [
            {"timestamp": at, "params": {name: value}}
            for name, (at, value) in self._own.copy().items()  # another thread may set some
        ]
        flat = fold([*stored, *own])
        return flat if flatten else unflatten(flat)

    def __repr__(self) -> str:
        return "<params: set(name=value, …), get()>"

    def __reduce__(self) -> tuple[Any, ...]:
        return Params, (self._buffer,)


def _flatten(source: Any) -> Flat:
    if entries(source) is None:
        raise TypeError(
            f"params: {source!r:.80} of type {kind_name(source)} has no names for its values;"
            " give a dict, an object with attributes, or name=value"
        )
    return flatten(plain(source), ".", "params")
