"""Log messages: `experiment.log("started", host="lab-3")`, `experiment.logs.warning("hot")`.

Stored as `{"timestamp": …, "level": "info", "message": "started", "fields": {"host": "lab-3"}}`;
an integer field `step` becomes the row's own step. The message is kept whole. Printing it is a
convenience that may fail in silence: the terminal is not where the run is kept.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO, overload

import orjson

from ml_dash import rows
from ml_dash.clock import now
from ml_dash.moment import BLOCKS, in_block
from ml_dash.steps import as_step
from ml_dash.values import MIDNIGHT, OPTIONS, jsonable

if TYPE_CHECKING:
    from ml_dash.buffer import Buffer

LEVELS = ("debug", "info", "warning", "error", "fatal")
"""From the least to the most severe."""

_LOUD = frozenset({"warning", "error", "fatal"})
_NAMES = frozenset(LEVELS)
_OPTIONS = OPTIONS | orjson.OPT_APPEND_NEWLINE
_dumps = orjson.dumps
_MISSING: Any = object()
_LONGEST_FIELD = 200  # characters of a field that the terminal is shown


def check_level(level: Any) -> str:
    """The level as it is stored: lower case, `warning` for `warn`.

    Raises:
        ValueError: there is no such level; the message lists those there are.
    """
    name = level.lower() if isinstance(level, str) else ""
    name = "warning" if name == "warn" else name
    if name not in _NAMES:
        raise ValueError(f"log: there is no level {level!r}; there are {', '.join(LEVELS)}")
    return name


class Logs:
    """Writes log messages of a run; `experiment.log` and `experiment.logs` are one of these.

    Args:
        buffer: what takes the rows.
        echo: also print each message: debug and info to stdout, the others to stderr.
    """

    __slots__ = ("_bound", "_buffer", "_stream", "echo")

    def __init__(self, buffer: Buffer, *, echo: bool = True) -> None:
        self.echo = echo
        self._buffer = buffer
        self._stream = buffer.stream("logs")
        self._bound: dict[str, Any] = {}

    @overload
    def __call__(
        self,
        message: object,
        level: str = "info",
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> None: ...

    @overload
    def __call__(self, *, metadata: Mapping[str, Any] | None = None, **fields: Any) -> Logs: ...

    def __call__(
        self,
        message: object = _MISSING,
        level: str = "info",
        metadata: Mapping[str, Any] | None = None,
        **fields: Any,
    ) -> Logs | None:
        """Log a message.

        Args:
            message: the text; anything else is logged as `str(message)`.
            level: `debug`, `info`, `warning` (or `warn`), `error` or `fatal`.
            metadata: more fields, for those whose names are no Python names.
            **fields: values that belong to the message, of any kind that rows take. An integer
                `step` aligns the message with the rows of that step; inside
                `with recorder.step(n):` it is n, unless it is given.

        Returns:
            Nothing. Without a message: a handle that adds these fields to each of its messages, as
            in `worker = experiment.log(worker=3)` and `worker.info("ready")`.

        Raises:
            TypeError: a field cannot be stored; the message names it.
            ValueError: an unknown level, a step that is no integer, a field given twice.
            RuntimeError: the run has not started or has ended.
        """
        if fields or metadata is not None or self._bound or message is _MISSING or BLOCKS:
            if message is _MISSING:
                return self._with(_united(self._bound, metadata, fields))
            self._write(check_level(level), message, metadata, fields)
            return None
        # A message alone, in as few steps as there can be.
        if type(level) is not str or level not in _NAMES:
            level = check_level(level)
        text = message if type(message) is str else self._text(message)
        try:
            line = _dumps({"timestamp": now(), "level": level, "message": text}, None, _OPTIONS)
        except TypeError:  # lone surrogates, which orjson refuses
            line = _encode(level, text, fields)
        try:
            self._stream.write(line)
        except ValueError:
            self._stream.retry(line)
        if self.echo:
            echo(level, text, fields)
        return None

    def debug(
        self, message: object, metadata: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Log what helps to find a defect."""
        self._write("debug", message, metadata, fields)

    def info(
        self, message: object, metadata: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Log what goes as it should."""
        self._write("info", message, metadata, fields)

    def warning(
        self, message: object, metadata: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Log what may become a problem. Printed to stderr."""
        self._write("warning", message, metadata, fields)

    warn = warning

    def error(
        self, message: object, metadata: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Log what went wrong. Printed to stderr."""
        self._write("error", message, metadata, fields)

    def fatal(
        self, message: object, metadata: Mapping[str, Any] | None = None, **fields: Any
    ) -> None:
        """Log what ends the run. Printed to stderr; ends nothing by itself."""
        self._write("fatal", message, metadata, fields)

    def __repr__(self) -> str:
        fields = f" with {', '.join(self._bound)}" if self._bound else ""
        return f"<logs{fields}: call it, or debug(), info(), warning(), error(), fatal()>"

    def __reduce__(self) -> tuple[Any, ...]:
        return _make, (self._buffer, self.echo, self._bound)

    def _with(self, fields: dict[str, Any]) -> Logs:
        return _make(self._buffer, self.echo, fields)

    def _text(self, message: object) -> str:
        if isinstance(message, Mapping):
            self._buffer.warn_once(
                "a dict as a message",
                "log: a dict was given as the message and is kept as text. Numbers that are to be"
                ' curves go to experiment.metrics("name").log(...), and values that belong to a'
                ' message into its fields: experiment.log("text", loss=0.1)',
            )
        return str(message)

    def _write(
        self,
        level: str,
        message: object,
        metadata: Mapping[str, Any] | None,
        fields: dict[str, Any],
    ) -> None:
        text = message if type(message) is str else self._text(message)
        if metadata is not None or self._bound:
            fields = _united(self._bound, metadata, fields)
        if BLOCKS and "step" not in fields and (moment := in_block(self._buffer)) is not None:
            fields = {**fields, "step": moment.step}
        line = _encode(level, text, fields)
        try:
            self._stream.write(line)
        except ValueError:
            self._stream.retry(line)
        if self.echo:
            echo(level, text, fields)


def _make(buffer: Buffer, echo: bool, bound: dict[str, Any]) -> Logs:
    logs = Logs(buffer, echo=echo)
    logs._bound = bound
    return logs


def _united(
    bound: Mapping[str, Any], metadata: Mapping[str, Any] | None, fields: Mapping[str, Any]
) -> dict[str, Any]:
    if metadata is None:
        return {**bound, **fields}
    if not isinstance(metadata, Mapping):
        raise TypeError(f"log: metadata must be a dict of fields, not {type(metadata).__name__}")
    for key in fields:
        if key in metadata:
            raise ValueError(f"log: the field {key!r} is given twice, also in metadata")
    return {**bound, **metadata, **fields}


def _encode(level: str, message: str, fields: Mapping[str, Any]) -> bytes:
    row: dict[str, Any] = {"timestamp": now(), "level": level, "message": message}
    if "step" in fields:
        fields = dict(fields)
        step = fields.pop("step")
        if step is not None:
            row["step"] = as_step(step, "log")
    if fields:
        row["fields"] = fields
    try:
        line = _dumps(row, None, _OPTIONS)
        if b"null" not in line and MIDNIGHT not in line:  # may stand for NaN and for no time
            return line
    except TypeError:
        pass
    if fields:
        row["fields"] = jsonable(fields, "log")  # which speaks of the keys that the user wrote
    head = {"timestamp": row.pop("timestamp")}
    return rows.encode_row(row, head=head, where="log")


def echo(level: str, message: str, fields: Mapping[str, Any]) -> None:
    """Print a message as `12:34:56 WARNING too hot  joint=3 celsius=81.5`. Never raises."""
    stream: TextIO | None = sys.stderr if level in _LOUD else sys.stdout
    if stream is None:  # a program without a terminal, such as pythonw
        return
    try:
        values = "".join(f" {key}={_shown(value)}" for key, value in fields.items())
        clock = time.strftime("%H:%M:%S")
        text = f"{clock} {level.upper():<7} {message}{' ' if values else ''}{values}\n"
        try:
            stream.write(text)
        except UnicodeEncodeError:
            encoding = stream.encoding or "ascii"
            stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
    except Exception:  # noqa: BLE001 - closed, full or replaced by anything: the row is stored already
        pass


def _shown(value: Any) -> str:
    text = f"{value:.6g}" if type(value) is float else str(value)
    text = " ".join(text.split())  # arrays print on many lines
    return text if len(text) <= _LONGEST_FIELD else f"{text[:_LONGEST_FIELD]}…"
