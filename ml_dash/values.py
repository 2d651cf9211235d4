"""What values become: plain JSON types for anything that a row can hold.

`jsonable` takes numpy and torch, enums, paths, dates, dataclasses and what else users put into
rows, and refuses the rest by name. It imports no framework: an object of one can only exist when
that is loaded.
"""

from __future__ import annotations

import dataclasses
import enum
import sys
from collections import UserString, deque
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, time, timedelta
from pathlib import PurePath
from typing import Any

import orjson

MAX_DEPTH = 100
"""How deep values may nest; deeper than this is a loop or a mistake."""

MAX_BITS = 14_000
"""The longest integer in bits: Python reads no number of more than 4,300 digits."""

LONGEST_REPR = 10_000
"""The most characters that are kept of a value that has nothing but its `repr`."""

OPTIONS = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS
"""How everything here is handed to orjson."""

MIDNIGHT = b"T00:"
"""What is in the dates that orjson makes of `NaT` in an array, of 1970 or 1677: look closer there,
as at each `null`, which it makes of NaN."""


def text_keys(fields: Mapping[Any, Any], where: str) -> dict[str, Any]:
    """A dict of its own, whose keys are strings: those of enums by value, others by `str()`.

    Raises:
        ValueError: two keys become the same string.
    """
    if set(map(type, fields)) <= {str}:
        return dict(fields)
    result: dict[str, Any] = {}
    for key, item in fields.items():
        name = key if type(key) is str else _key_text(key)
        if name in result:
            raise ValueError(f"{where}: the key {name!r} is given twice, once as {key!r}")
        result[name] = item
    return result


def jsonable(value: Any, where: str = "value", *, strict: bool = True) -> Any:
    """Turn a value into plain `dict`, `list`, `str`, `int`, `float`, `bool` and `None`.

    Takes numpy scalars and arrays, torch tensors, enums, paths, dates, dataclasses, sets and other
    mappings and sequences. Floats stay as they are, also non-finite ones; keys become strings.

    Raises:
        TypeError: the value, or one inside it, has no JSON form.
        ValueError: two keys become the same string, or the value nests deeper than `MAX_DEPTH`.
    """
    try:
        return _Plain(strict)(value, where, 0)
    except _DeepError:
        raise too_deep(where) from None


def too_deep(where: str) -> ValueError:
    """The error for what nests deeper than `MAX_DEPTH`."""
    return ValueError(
        f"{where}: nests deeper than {MAX_DEPTH} levels; if it does not hold"
        " itself, flatten it, or save it as a file with files(...).save_pkl"
    )


def flatten(values: Mapping[Any, Any], separator: str, where: str) -> dict[str, Any]:
    """Flatten nested mappings: `{"model": {"layers": 4}}` with `.` is `{"model.layers": 4}`.

    An empty mapping stays as a value, so that it can be told from an absent one.

    Raises:
        ValueError: two paths flatten to the same key.
    """
    flat: dict[str, Any] = {}
    stack: list[tuple[str, Any, int]] = [("", values, 0)]
    while stack:
        path, value, depth = stack.pop()
        if depth > MAX_DEPTH:
            raise too_deep(f"{where}, key {path.partition(separator)[0]!r}")
        if isinstance(value, Mapping) and (value or not path):
            # Reversed, because the stack turns the order round again.
            for key in reversed(list(value)):
                inner = f"{path}{separator}{key}" if path else str(key)
                stack.append((inner, value[key], depth + 1))
        elif path in flat:
            raise ValueError(f"{where}: the key {path!r} is given twice")
        else:
            flat[path] = value
    return flat


class _DeepError(Exception):
    """A value nests too deeply; told where its name is known, which all of its keys are not."""


class _Plain:
    """Turns values into plain JSON types; one instance a row, for its strictness."""

    def __init__(self, strict: bool) -> None:
        self.strict = strict

    def __call__(self, value: Any, where: str, depth: int) -> Any:
        kind = type(value)
        if value is None or kind is str or kind is float or kind is bool:
            return value
        if kind is int:
            return value if value.bit_length() <= MAX_BITS else self._refuse(value, where, _LONG)
        if depth > MAX_DEPTH:
            raise _DeepError
        if isinstance(value, Mapping):
            return self._mapping(value, where, depth)
        if isinstance(value, (list, tuple, deque, range)):
            return self._sequence(list(value), where, depth)
        if isinstance(value, Set):
            return self(_ordered(value), where, depth)
        return self._other(value, where, depth)

    def _mapping(self, value: Mapping[Any, Any], where: str, depth: int) -> dict[str, Any]:
        result = text_keys(value, where)
        for name, item in result.items():
            try:
                result[name] = self(item, f"{where}, key {name!r}", depth + 1)
            except _DeepError:
                if depth:
                    raise
                if self.strict:
                    raise too_deep(f"{where}, key {name!r}") from None
                # Of the field as a whole: what holds itself twice has too many parts to go through.
                result[name] = _safe_repr(item)
        return result

    def _sequence(self, value: list[Any], where: str, depth: int) -> list[Any]:
        kinds = set(map(type, value))
        if kinds <= _ATOMS or (kinds == {int} and max(map(int.bit_length, value)) <= MAX_BITS):
            return value
        return [self(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value)]

    def _other(self, value: Any, where: str, depth: int) -> Any:
        try:
            simple = _simple(value)
        except Exception as error:  # noqa: BLE001 - arrays that live elsewhere: their words say it best
            return self._refuse(value, where, f"it cannot be read as an array: {error}")
        if simple is not NotImplemented:
            return self(simple, where, depth + 1)
        try:
            return orjson.loads(orjson.dumps(value))  # UUIDs and the like
        except TypeError:
            pass
        if isinstance(value, (bytes, bytearray, memoryview)):
            return self._refuse(value, where, "save it with files(...).save_blob")
        return self._refuse(value, where, "turn it into numbers, strings, lists or dicts first")

    def _refuse(self, value: Any, where: str, remedy: str) -> str:
        if not self.strict:
            return _safe_repr(value)
        raise TypeError(
            f"{where}: a value of type {kind_name(value)} cannot be stored in a row; {remedy}"
        )


_ATOMS = frozenset({float, str, bool, type(None)})
_LONG = f"it has more than {MAX_BITS:,} bits; store it as text"


def _simple(value: Any) -> Any:
    """A simpler form of `value`, or `NotImplemented`."""
    if isinstance(value, enum.Enum):
        return value.value
    if value is getattr(sys.modules.get("pandas"), "NA", NotImplemented):
        return None
    for kind, convert in _CONVERSIONS:
        if isinstance(value, kind):
            return convert(value)
    if any(isinstance(value, getattr(sys.modules.get(m), name, ())) for m, name in _EXACT):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    array = as_array(value)
    if array is not None:
        return _array_values(array, value)
    if isinstance(value, Sequence) and not isinstance(value, (bytes, bytearray, memoryview)):
        return list(value) if not isinstance(value, UserString) else str(value)
    return NotImplemented


def _array_values(array: Any, value: Any) -> Any:
    """The values of an array as nested lists, such as orjson gives them by itself.

    What is masked, and what is no time, is `None`. Floats of less than 64 bits are the shortest
    number that is rounded to them: `0.1`, not `0.10000000149011612`.
    """
    import numpy as np

    if array.dtype.kind not in "biufmMUTO":
        return NotImplemented
    if array.dtype.kind == "m":
        array = array / np.timedelta64(1, "s")  # in seconds, as those of Python; no time is NaN
    missing = np.ma.getmaskarray(value) if isinstance(value, np.ma.MaskedArray) else np.False_
    if array.dtype.kind == "M":
        missing = missing | np.isnat(array)
        array = np.where(missing, np.datetime64(0, "us"), array.astype("M8[us]"))
        boxed = _as_orjson(array)
    elif array.dtype.kind == "f" and array.itemsize < 8:
        boxed = _as_orjson(array)
        odd = ~np.isfinite(array)
        boxed[odd] = array[odd].tolist()
    else:
        if array.dtype.kind == "f":
            array = array.astype(np.float64)  # what is longer has no use for its digits in JSON
        boxed = array.astype(object) if missing.any() else array
    if missing.any():
        boxed[missing] = None
    return boxed.tolist()


def _as_orjson(array: Any) -> Any:
    """An array of objects: what orjson writes for each value of an array."""
    import numpy as np

    plain = np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(-1)
    boxed = np.empty(array.shape, object)
    boxed.reshape(-1)[:] = orjson.loads(orjson.dumps(plain, None, OPTIONS))
    return boxed


def _iso(moment: date) -> str | None:
    if moment != moment:
        return None  # pandas' NaT, which counts as a date
    try:
        text: str = orjson.loads(orjson.dumps(moment))
    except TypeError:  # a type derived from Python's own, as pandas' are
        text = moment.isoformat()
    return text


_CONVERSIONS: tuple[tuple[type, Callable[[Any], Any]], ...] = (
    (str, str.__str__),
    (bool, bool),
    (int, int.__int__),
    (float, float.__float__),
    (PurePath, str),
    (timedelta, timedelta.total_seconds),
    (date, _iso),  # also moments
    (time, time.isoformat),
)
_EXACT = (("decimal", "Decimal"), ("fractions", "Fraction"))
"""Numbers that are kept as text, by module and name: where there is one, its module is loaded."""


def as_array(value: Any) -> Any:
    """`value` as a numpy array if it is one, a tensor or array-like, else `None`.

    Looks at what the value offers and never imports a framework: an object of numpy or torch can
    only exist when that module is loaded.
    """
    if isinstance(value, type):
        return None
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, (numpy.ndarray, numpy.generic)):
        return numpy.asarray(value)
    torch = sys.modules.get("torch")
    # Without `Tensor` while a thread of the user's is importing it.
    tensor: Any = getattr(torch, "Tensor", ())
    if torch is not None and isinstance(value, tensor):
        value = value.detach().cpu()
        # By force: also what is negated or conjugated only when it is looked at.
        return (value.float() if value.dtype == torch.bfloat16 else value).numpy(force=True)
    if hasattr(value, "__array__"):
        import numpy as np

        return np.asarray(value)
    return None


def kind_name(value: Any) -> str:
    """The type of `value` as a user would write it: `numpy.ndarray`, `dict`."""
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__name__}"


def _key_text(key: Any) -> str:
    return str(key.value) if isinstance(key, enum.Enum) else str(key)


def _ordered(values: Set[Any]) -> list[Any]:
    try:
        return sorted(values)
    except TypeError:
        return list(values)


def _safe_repr(value: Any) -> str:
    try:
        text = repr(value)
        return text if len(text) <= LONGEST_REPR else f"{text[:LONGEST_REPR]}…"
    except Exception as error:  # noqa: BLE001 - a user's __repr__ may raise anything
        return f"<{kind_name(value)}: repr failed with {type(error).__name__}>"
