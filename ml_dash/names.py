"""Names that users give: checked and encoded in this one place.

A name is a path of components joined with `/`: an experiment's prefix, a track's topic, a file's
path. Two steps make it safe:

- `split_path` refuses what can only be a mistake or an attack (`..`, absolute paths, control
  characters, device names, names no file system holds).
- `encode_component` percent-encodes, byte by byte of its UTF-8, what some file system cannot hold,
  would fold, or what would look like a file of ours. Distinct names stay distinct, and
  `decode_component` gives back exactly what went in.

Escapes are written in lower case (`%2f`), so that an encoded name is the same on a file system that
folds case. Which characters stay readable never depends on Python's version of Unicode: the same
topic has the same folder whoever writes it.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable
from pathlib import PurePath

MAX_COMPONENT = 255
"""The longest encoded component, in bytes: what Linux, macOS and Windows file systems hold."""

MAX_PATH = 1024
"""The longest encoded path, in bytes: what object stores take as a key."""

ROOMS = frozenset({"run", "params", "logs", "metrics", "tracks", "files"})
"""The folders of a run; no segment of a prefix may be called so."""

VIEWS = frozenset({"run.json", "params.json"})
"""Files of a run beside them that can be made again at any time."""

_OUR_SUFFIXES = (".jsonl", ".tmp")
_KINDS = {"tracks": "track topic", "metrics": "metrics name"}
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", "conin$", "conout$"}
    | {f"{port}{digit}" for port in ("com", "lpt") for digit in "123456789¹²³"}
)
# Sets, and patterns compiled at first use: at import each pattern costs half a millisecond.
_PLAIN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,98}[A-Za-z0-9]")
"""One component that is what it says, such as `frame_00000012.jpg`."""

_CONTROL = frozenset(map(chr, [*range(0x20), *range(0x7F, 0xA0)]))
_RESERVED = _CONTROL | frozenset('<>:"/\\|?*%')
_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyz0123456789_-")
_ESCAPES = r"(?:%[0-9a-fA-F]{2})+"
# The digits that end the stem, then at most one extension, which a number is not: `v1.5` has none.
_STEP = r"([0-9]+)(?:\.[^./]*[^./0-9][^./]*)?\Z"
_KERNELS = frozenset({"ipykernel_launcher", "colab_kernel_launcher"})  # the scripts of notebooks
_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"


def split_path(value: str | PurePath, what: str) -> tuple[str, ...]:
    r"""Split a relative path into its components, refusing what is unsafe.

    One trailing `/` is dropped: `frames/` is how people write a folder. A backslash is a character
    like any other (it is encoded later), except in a `PureWindowsPath`.

    Args:
        value: the path, components joined with `/`.
        what: what an error message calls it, such as `track topic`.

    Returns:
        At least one component, none of them empty.

    Raises:
        TypeError: `value` is neither a string nor a path.
        ValueError: it is empty, absolute, too long, has an empty, `.` or `..` component, control
            characters or lone surrogates, or a component is the name of a device on Windows.
    """
    if type(value) is str and _PLAIN_NAME.fullmatch(value) and not _is_device(value):
        return (value,)  # nearly always; what follows takes ten times as long
    if isinstance(value, PurePath):
        text = "/" if value.is_absolute() or value.drive else value.as_posix()
        text = "" if text == "." else text
    elif isinstance(value, str):
        text = value
    else:
        raise TypeError(f"{what} must be a string, not {type(value).__name__}")
    if not text:
        raise ValueError(f"{what} is empty; give it a name")
    if text.startswith("/"):
        raise _refusal(value, what, "is absolute", "give a path relative to the run")
    parts = tuple(text.removesuffix("/").split("/"))
    for part in parts:
        _check_component(part, value, what)
    encode_path(parts, what, fold_case=False)  # the shortest encoding: too long here is too long
    return parts


def check_path(path: str | PurePath, what: str = "path") -> str:
    """Check what is to name a track, a folder or a file of a run, before there is a run.

    For adapters: a wrong argument is told where it is given, not when the first row comes.

    Args:
        path: relative, components joined with `/`.
        what: what an error message calls it, such as `topic`.

    Returns:
        The path without a `/` at its end.

    Raises:
        TypeError: it is neither a string nor a path.
        ValueError: no run can have it; the message says why and what to write instead.
    """
    return "/".join(split_path(path, what))


def encode_component(name: str, *, fold_case: bool) -> str:
    r"""Encode one component so that every file system holds it.

    Percent-encoded are `% < > : " / \ | ? *`, control characters, a leading dot (hidden files are
    ours), a trailing dot or space (Windows drops them), the dot of a final `.jsonl` or `.tmp` (our
    own files end so), and the first letter of a device name.

    Args:
        name: any string but the empty one.
        fold_case: also encode upper-case letters and every character that a file system may fold
            by case or Unicode normalisation, so that names stay distinct on any of them.

    Raises:
        ValueError: `name` is empty.
    """
    if not name:
        raise ValueError("a path component is empty; give it a name")
    if _PLAIN.issuperset(name) and name not in _DEVICES:
        return name
    pieces = [char if _stays(char, fold_case) else _escape(char) for char in name]
    if name[0] == "." or _is_device(name):
        pieces[0] = _escape(name[0])
    if name[-1] in ". ":
        pieces[-1] = _escape(name[-1])
    for suffix in _OUR_SUFFIXES:
        if name[-len(suffix) :].casefold() == suffix:
            pieces[-len(suffix)] = _escape(".")
    return "".join(pieces)


def decode_component(encoded: str) -> str:
    """Undo `encode_component`; a `%` that begins no valid escape stands for itself."""
    return re.sub(_ESCAPES, _decode_escapes, encoded) if "%" in encoded else encoded


def encode_path(parts: Iterable[str], what: str, *, fold_case: bool) -> str:
    """Encode components and join them with `/`.

    Raises:
        ValueError: a component takes more than `MAX_COMPONENT` bytes, or all of them with their
            slashes more than `MAX_PATH`; the message names `what`.
    """
    encoded = [encode_component(part, fold_case=fold_case) for part in parts]
    for component in encoded:
        if (size := len(component.encode())) > MAX_COMPONENT:
            raise _refusal(
                decode_component(component),
                what,
                f"takes {size} bytes on disk, more than the {MAX_COMPONENT} a name may have",
                "shorten it",
            )
    path = "/".join(encoded)
    if (size := len(path.encode())) > MAX_PATH:
        problem = f"takes {size} bytes on disk, more than the {MAX_PATH} a path may have"
        raise _refusal(decode_path(path), what, problem, "shorten it")
    return path


def decode_path(encoded: str) -> str:
    """Undo `encode_path`: the components as the user gave them, joined with `/`."""
    return "/".join(map(decode_component, encoded.split("/")))


def stream_name(kind: str, topic: str | PurePath) -> str:
    """The stream of a topic: `("tracks", "robot/Position")` is `tracks/robot/%50osition`.

    Args:
        kind: `tracks` or `metrics`.
        topic: the user's name for it.

    Raises:
        TypeError: `topic` is neither a string nor a path.
        ValueError: `kind` is another one, or `topic` is refused by `split_path`.
    """
    if kind not in _KINDS:
        raise ValueError(f"no streams of kind {kind!r}; there are {sorted(_KINDS)}")
    what = _KINDS[kind]
    return f"{kind}/{encode_path(split_path(topic, what), what, fold_case=True)}"


def topic_of(stream: str) -> str:
    """The topic of a stream, undoing `stream_name`: `tracks/robot/%50osition` is `robot/Position`.

    Raises:
        ValueError: the stream has no topic, as `logs` or `files/index`.
    """
    kind, _, encoded = stream.partition("/")
    if kind not in _KINDS or not encoded:
        raise ValueError(f"the stream {stream!r} has no topic; only {sorted(_KINDS)} have")
    return decode_path(encoded)


def check_prefix(prefix: str | PurePath, project: str | PurePath | None = None) -> str:
    """Check an experiment's prefix and join `project` in front of it.

    Returns:
        The prefix without a trailing slash, `project/prefix` if a project is given.

    Raises:
        TypeError: one of them is neither a string nor a path.
        ValueError: one of them is refused by `split_path`, a segment begins or ends with white
            space or is one of `ROOMS`, or both together are too long.
    """
    parts = _prefix_parts(prefix, "prefix")
    if project is not None:
        parts = _prefix_parts(project, "project") + parts
        encode_path(parts, "prefix with its project", fold_case=False)
    return "/".join(parts)


def prefix_folder(prefix: str) -> str:
    """The folder of a checked prefix, relative to the root; upper case stays.

    A segment that only a file system without case would take for a room or a view of the run above
    it (`Tracks`, `run.json`) has its first letter encoded.
    """
    parts = prefix.split("/")
    folder = encode_path(parts, "prefix", fold_case=False).split("/")
    for index, part in enumerate(parts):
        if part.casefold() in ROOMS | VIEWS:
            folder[index] = _escape(part[0]) + folder[index][1:]
    return "/".join(folder)


def prefix_of(folder: str | PurePath) -> str:
    """The prefix of a folder relative to the root, undoing `prefix_folder`."""
    return decode_path(folder.as_posix() if isinstance(folder, PurePath) else folder)


def default_prefix(script: str, now: float) -> str:
    """A prefix for a run that was given none: script, local start time, four random characters.

    Args:
        script: the path of the running script; may be empty, as in an interactive session. The
            kernel of a notebook counts as `notebook`.
        now: the start in epoch seconds.

    Returns:
        One segment, such as `train-20250131-174503-k3fq`.
    """
    path = PurePath(script)
    stem = path.parent.name if path.stem == "__main__" else path.stem
    stem = "notebook" if stem in _KERNELS else stem
    # 48 characters are at most 192 bytes, and 21 follow: together a component's 255 hold them.
    stem = re.sub(r"[^\w-]+", "-", stem)[:48].strip("-_") or "python"
    start = time.strftime("%Y%m%d-%H%M%S", time.localtime(now))
    # Not `random`: scripts seed it, and seeded runs would share a prefix.
    tail = "".join(_ALPHABET[byte % len(_ALPHABET)] for byte in os.urandom(4))
    return f"{stem}-{start}-{tail}"


def step_in_name(name: str | PurePath) -> int | None:
    """The integer that ends the stem of a file's name, or `None`: `frame_00012.jpg` is 12.

    The fraction of a decimal number is none (`loss-0.5.png`), nor is one of 19 digits and more.
    """
    text = str(name)
    found = re.search(_STEP, text)
    if found is None or re.search(r"[0-9]\.\Z", text[: found.start()]):
        return None
    digits = found[1].lstrip("0") or "0"
    return int(digits) if len(digits) < 19 else None


def _check_component(part: str, value: object, what: str) -> None:
    if not part:
        raise _refusal(value, what, "has an empty component", "write single slashes")
    if part in (".", ".."):
        raise _refusal(value, what, f"has the component {part!r}", "leave it out")
    for char in part:
        if char in _CONTROL:
            raise _refusal(value, what, f"has the control character {char!r}", "leave it out")
        if "\ud800" <= char <= "\udfff":
            problem = f"has the lone surrogate {char!r}, which is no character"
            raise _refusal(value, what, problem, "leave it out")
    if _is_device(part):
        problem = f"has the component {part!r}, which is a device on Windows"
        raise _refusal(value, what, problem, f"write it otherwise, for example {'_' + part!r}")


def _prefix_parts(value: str | PurePath, what: str) -> tuple[str, ...]:
    parts = split_path(value, what)
    for part in parts:
        if not part.strip():
            problem = "is blank" if len(parts) == 1 else f"has the blank segment {part!r}"
            raise _refusal(value, what, problem, "give it a name")
        if part != part.strip():
            problem = f"has white space around the segment {part!r}"
            raise _refusal(value, what, problem, f"write {part.strip()!r}")
        if part in ROOMS:
            problem = f"has the segment {part!r}, which is the name of a folder inside every run"
            raise _refusal(value, what, problem, f"write it otherwise, for example {part + '-1'!r}")
    return parts


def _refusal(value: object, what: str, problem: str, remedy: str) -> ValueError:
    text = str(value)
    shown = repr(text if len(text) <= 100 else f"{text[:100]}…")
    return ValueError(f"{what} {shown} {problem}; {remedy}")


def _is_device(name: str) -> bool:
    # Windows takes `nul.txt` and `nul .txt` for the device as well.
    return name.partition(".")[0].rstrip(" ").lower() in _DEVICES


def _stays(char: str, fold_case: bool) -> bool:
    if char in _RESERVED or "\ud800" <= char <= "\udfff":
        return False
    if char.isascii():
        return not (fold_case and "A" <= char <= "Z")
    return not fold_case or _is_inert(char)


def _is_inert(char: str) -> bool:
    """Whether no file system can fold this character, alone or with its neighbours.

    Marks and conjoining Hangul letters compose with what stands before them. Characters are looked
    up as of Unicode 3.2, which every Python has and which never changes; what was assigned then
    keeps its normalisation and case folding for ever.
    """
    import unicodedata  # a megabyte, needed by names that are not ASCII

    if unicodedata.ucd_3_2_0.category(char)[0] not in "LNPS" or "\u1100" <= char <= "\u11ff":
        return False
    # By way of the upper case: `ı` folds to itself, but Windows knows it as `I`, and that as `i`.
    if char.upper().casefold() != char:
        return False
    return all(unicodedata.is_normalized(form, char) for form in ("NFC", "NFD", "NFKC", "NFKD"))


def _escape(char: str) -> str:
    return "".join(f"%{byte:02x}" for byte in char.encode("utf-8", "surrogatepass"))


def _decode_escapes(found: re.Match[str]) -> str:
    try:
        return bytes.fromhex(found[0].replace("%", "")).decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return found[0]
