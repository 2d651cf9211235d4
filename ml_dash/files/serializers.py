"""What a value becomes as a file: JSON, text, numpy, torch, pickle or a figure.

Every function here takes the value as it is now: what it returns, or has written, does not change
when the caller goes on to change the value. Frameworks are never imported on behalf of a value; one
that made the value is loaded already.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Any, Protocol, cast

import orjson

from ml_dash.backends.blobs import Bytes
from ml_dash.errors import missing_extra
from ml_dash.values import MIDNIGHT, as_array, jsonable, kind_name

IMAGES = frozenset({".png", ".jpg", ".jpeg"})
NUMPY = frozenset({".npy", ".npz"})
TORCH = frozenset({".pt", ".pth", ".ckpt"})
PICKLE = frozenset({".pkl", ".pickle"})

_JSON = orjson.OPT_INDENT_2 | orjson.OPT_SERIALIZE_NUMPY


PathLike = str | os.PathLike[str]


class Sink(Protocol):
    """Where encoded bytes go."""

    def write(self, data: Bytes, /) -> int:
        """Take some bytes; how many."""
        ...

    def flush(self) -> None:
        """Encoders that write to a file call this."""
        ...


def kind_of(value: Any, to: PathLike | None) -> str:
    """How `save` stores a value: `path text blob image numpy torch pkl fig` or `json`.

    The value's type decides, and between the forms that a type allows, the suffix of `to`.

    Raises:
        TypeError: no form is known for this type.
        ValueError: `to` does not say which form is meant.
    """
    if isinstance(value, os.PathLike):
        return "path"
    if isinstance(value, str):
        return "path" if to is None or _is_path(value, to) else "text"
    if isinstance(value, (bytes, bytearray, memoryview)):
        return "blob"
    if hasattr(value, "savefig"):
        return "fig"
    suffix = suffix_of(to)
    for kind, suffixes in (("torch", TORCH), ("pkl", PICKLE), ("image", IMAGES), ("numpy", NUMPY)):
        if suffix in suffixes:
            return kind
    if suffix != ".json":
        _check_needs_suffix(value, to)
    if isinstance(value, (Mapping, list, tuple)) or dataclasses.is_dataclass(value):
        return "json"
    if suffix == ".json":
        return "json"
    raise TypeError(
        f"save: a value of type {kind_name(value)} has no known file form; use save_pkl, or"
        " turn it into bytes, text, a dict or an array first"
    )


def suffix_of(path: PathLike | None) -> str:
    """The suffix of a path in lower case, with its dot; empty when there is none."""
    if not path:
        return ""
    name = os.fspath(path).replace(os.sep, "/").rpartition("/")[2]
    stem, dot, ending = name.rpartition(".")
    return f".{ending.lower()}" if stem and ending and dot else ""


def encode_json(value: Any) -> bytes:
    """JSON, indented, UTF-8. Non-finite floats are written as Python's `json` writes them (`NaN`).

    Raises:
        TypeError: the value, or one inside it, has no JSON form.
        ValueError: two keys become the same string, or it nests too deeply.
    """
    try:
        data = orjson.dumps(value, None, _JSON)
        # What orjson makes of NaN, and of times that are none; a file is to give back what went in.
        if b"null" not in data and MIDNIGHT not in data:
            return data
    except TypeError:
        pass  # odd keys or types
    plain = jsonable(value, "save_json")
    if _has_nonfinite(plain):
        return json.dumps(plain, indent=2).encode("ascii")
    try:
        return orjson.dumps(plain, None, orjson.OPT_INDENT_2)
    except TypeError:  # integers over 64 bits, lone surrogates
        return json.dumps(plain, indent=2).encode("ascii")


def numpy_writer(value: Any, suffix: str, *, copy_up_to: int) -> tuple[int, Callable[[Sink], None]]:
    """What writes an array (`.npy`), or arrays by name (`.npz`).

    Args:
        value: an array, tensor or nested list; for `.npz` also a mapping of them.
        suffix: `.npy` or `.npz`.
        copy_up_to: take a copy, because writing happens later, unless it has more bytes than this.

    Returns:
        The arrays' size in bytes, and a function that writes them to a sink.

    Raises:
        ValueError: another suffix, or an array of Python objects.
    """
    import numpy as np

    if suffix not in NUMPY:
        raise ValueError(f"save_numpy: to= must end in .npy or .npz, not {suffix!r}")
    named = isinstance(value, Mapping)
    if named and suffix != ".npz":
        raise ValueError(
            "save_numpy: several arrays need a file that ends in .npz, such as all.npz"
        )
    given = {str(key): item for key, item in value.items()} if named else {"arr_0": value}
    arrays = {name: _plain_array(item, name) for name, item in given.items()}
    size = sum(array.nbytes for array in arrays.values())
    if size <= copy_up_to:
        arrays = {name: array.copy(order="K") for name, array in arrays.items()}
    if suffix == ".npz":
        return size, lambda sink: np.savez(_Unseekable(sink), **arrays)
    array = arrays["arr_0"]
    return size, lambda sink: np.lib.format.write_array(sink, array, allow_pickle=False)


def write_torch(value: Any, sink: Sink, where: str = "save_torch") -> None:
    """Write with `torch.save`. `where` is what a message calls it.

    Raises:
        ImportError: torch is not installed.
        TypeError: something in the value cannot be pickled.
    """
    try:
        import torch
    except ImportError:
        raise missing_extra("torch", "save_torch", "torch") from None
    with _pickling(where, "save its state_dict() instead"):
        torch.save(value, cast(IO[bytes], sink))  # it asks for `write` only


def write_pickle(value: Any, sink: Sink, where: str = "save_pkl") -> None:
    """Write with `pickle`. `where` is what a message calls it.

    Raises:
        TypeError: something in the value cannot be pickled.
    """
    import pickle

    with _pickling(where, "save what it is made from instead"):
        pickle.dump(value, sink, protocol=pickle.HIGHEST_PROTOCOL)


@contextmanager
def _pickling(where: str, remedy: str) -> Iterator[None]:
    """Say what was saved when pickle finds something in it that it cannot take."""
    import pickle

    try:
        yield
    except (pickle.PicklingError, AttributeError, TypeError, RecursionError) as error:
        raise TypeError(
            f"{where}: pickle cannot take it ({error}); lambdas, functions and classes made inside"
            f" functions, locks, open files and generators have no pickled form; {remedy}"
        ) from error


def write_figure(figure: Any, suffix: str, sink: Sink, options: Mapping[str, Any]) -> None:
    """Write a matplotlib figure, or anything with its `savefig`, in the format of `suffix`."""
    drawn = io.BytesIO()  # matplotlib's PDF and SVG ask a file to seek, which a sink cannot
    figure.savefig(drawn, **{"format": suffix.removeprefix(".") or "png", **options})
    sink.write(drawn.getbuffer())


def current_figure() -> Any:
    """matplotlib's current figure.

    Raises:
        ImportError: matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError:
        raise missing_extra("matplotlib", "save_fig", "plot") from None
    return pyplot.gcf()


def close_figure(figure: Any) -> None:
    """Take a figure off pyplot's list, which otherwise keeps every one that was ever made."""
    pyplot = sys.modules.get("matplotlib.pyplot")
    figure = getattr(figure, "figure", figure)
    if pyplot is not None and isinstance(figure, pyplot.Figure):
        pyplot.close(figure)


def content_type(path: str) -> str:
    """The MIME type that a name stands for; the same on every machine."""
    suffix = suffix_of(path)
    if suffix not in _TYPES:
        import mimetypes

        guess, encoding = mimetypes.MimeTypes(()).guess_type(path)
        return guess if guess and not encoding else "application/octet-stream"
    return _TYPES[suffix]


class _Unseekable:
    """A sink as the kind of file that `zipfile` writes in one go."""

    def __init__(self, sink: Sink) -> None:
        self.write = sink.write
        self.flush = sink.flush

    def read(self, size: int = -1) -> bytes:
        raise OSError("this file is written only")  # numpy looks whether there is a `read`


def _plain_array(value: Any, name: str) -> Any:
    import numpy as np

    array = as_array(value)
    if array is None:
        array = np.asarray(value)
    if array.dtype.hasobject:
        raise ValueError(
            f"save_numpy: {name} holds Python objects (dtype object), which .npy keeps only as"
            " pickles; use save_pkl, or convert it with astype"
        )
    return array


def _is_path(value: str, to: PathLike) -> bool:
    """Whether a text given to `save` together with `to` means a file, by existing or by its look.

    A mistyped path must not be stored as if it were the content, in silence.
    """
    if "\n" in value or "\0" in value or len(value) > 4096 or not value:
        return False
    if os.path.lexists(value):
        return True
    suffix = suffix_of(value)
    spaced = any(char.isspace() for char in value)
    return not spaced and (("/" in value) or (suffix != "" and suffix == suffix_of(to)))


def _check_needs_suffix(value: Any, to: PathLike | None) -> None:
    where = f"to={str(to)!r}" if to else "to="
    if _is_tensorial(value) and not isinstance(value, (list, tuple)):
        raise ValueError(
            f"save: {where} must say what to make of a {kind_name(value)}: .png, .jpg, .npy, .npz,"
            " .pt, .pkl or .json"
        )
    torch = sys.modules.get("torch")
    if torch is not None and (
        isinstance(value, torch.nn.Module)
        or (isinstance(value, Mapping) and any(map(torch.is_tensor, value.values())))
    ):
        raise ValueError(f"save: {where} must end in .pt or .pth for a model; or use save_torch")


def _is_tensorial(value: Any) -> bool:
    if isinstance(value, (type, Mapping)):
        return False
    return hasattr(value, "__array__") or hasattr(value, "__array_interface__")


def _has_nonfinite(value: Any) -> bool:
    if type(value) is float:
        return value != value or value in (float("inf"), float("-inf"))
    if type(value) is dict:
        return any(map(_has_nonfinite, value.values()))
    return type(value) is list and any(map(_has_nonfinite, value))


_TYPES = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".json": "application/json",
    ".jsonl": "application/x-ndjson",
    ".txt": "text/plain",
    ".log": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".yaml": "application/yaml",
    ".yml": "application/yaml",
    ".toml": "application/toml",
    ".mp4": "video/mp4",
    ".npy": "application/x-npy",
    ".npz": "application/zip",
    ".pkl": "application/x-pickle",
    ".pickle": "application/x-pickle",
    ".pt": "application/x-pytorch",
    ".pth": "application/x-pytorch",
    ".ckpt": "application/x-pytorch",
}
