"""The language in which runs are filtered: read from text, and nothing more.

    lr > 1e-3 and tag:baseline and status:running
    (name ~ sweep or has:params.seed) and not metrics.train.loss >= 0.5
    arm "pick and place" tag:baseline

A term is a field, a sign and a value. Signs: `=` and `:` (equal), `!=`, `<`, `<=`, `>`, `>=`, and
`~` (contains, whatever the case). `has:FIELD` asks whether there is any value. A word, or a text in
quotes, alone is looked for in prefix, description and tags. Terms are joined by `and`, `or`, `not`
and parentheses; `not` binds closest, then `and`; terms side by side must all be so. A value, or a
field, with spaces or signs in it stands in quotes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

LONGEST = 4000
"""Characters of a filter."""

MOST_TERMS = 50
"""Terms of a filter."""

_DEEPEST = 30
_SIGN = re.compile(r"!=|<=|>=|[:=<>~]")
_FIELD = re.compile(r"[^\s\"'()<>=!~:,]+")
_VALUE = re.compile(r"[^\s\"'()<>=!~,]+")
_QUOTED = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|'((?:[^'\\]|\\.)*)'")
_ESCAPE = re.compile(r"\\(.)")


class FilterError(ValueError):
    """A filter that cannot be understood.

    Args:
        message: what is wrong.
        position: the character at which it is, counted from 0.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


@dataclass(frozen=True, slots=True)
class Term:
    """A field, a sign (`:` is told as `=`, `has` is one) and a value.

    Attributes:
        field: empty where a value alone is looked for.
        position: of the field in the text; the value's is `at`.
        quoted: whether the value stood in quotes, so that it is a text.
    """

    field: str
    sign: str
    value: str
    position: int
    at: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Not:
    """What must not be."""

    inner: Node


@dataclass(frozen=True, slots=True)
class Joined:
    """What must all be, or of which one must be."""

    word: str
    """`and` or `or`."""
    parts: tuple[Node, ...]


Node = Term | Not | Joined


def parse(text: str) -> Node | None:
    """Read a filter.

    Args:
        text: see the module; blank for none.

    Raises:
        FilterError: it cannot be understood.
    """
    if len(text) > LONGEST:
        raise FilterError(f"a filter has {LONGEST:,} characters at most", LONGEST)
    parser = _Parser(text)
    return parser.read() if text.strip() else None


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self._terms = 0

    def read(self) -> Node:
        found = self._any()
        if self._skip() < len(self._text):
            self._fail("expected `and`, `or` or the end")
        return found

    def _any(self) -> Node:
        parts = [self._all()]
        while self._word("or"):
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else Joined("or", tuple(parts))

    def _all(self) -> Node:
        parts = [self._single()]
        while self._word("and") or self._is_more():
            parts.append(self._single())
        return parts[0] if len(parts) == 1 else Joined("and", tuple(parts))

    def _single(self) -> Node:
        self._depth += 1
        if self._depth > _DEEPEST:
            self._fail("this is nested too deeply")
        try:
            if self._word("not"):
                return Not(self._single())
            if self._text.startswith("(", self._skip()):
                begin = self._at
                self._at += 1
                inner = self._any()
                if not self._text.startswith(")", self._skip()):
                    self._fail(f"the parenthesis of character {begin + 1} is not closed")
                self._at += 1
                return inner
            return self._term()
        finally:
            self._depth -= 1

    def _term(self) -> Term:
        self._terms += 1
        if self._terms > MOST_TERMS:
            self._fail(f"a filter has {MOST_TERMS} terms at most")
        position = self._skip()
        field, _ = self._take(_FIELD, "a field, such as `lr`, `tag` or `metrics.train.loss`")
        sign = _SIGN.match(self._text, self._skip())
        if sign is None:
            return Term("", "~", field, position, position)
        self._at = sign.end()
        at = self._skip()
        value, quoted = self._take(_VALUE, "a value")
        if field == "has" and sign[0] == ":":
            return Term(value, "has", "", at, at)
        return Term(field, "=" if sign[0] == ":" else sign[0], value, position, at, quoted)

    def _take(self, pattern: re.Pattern[str], what: str) -> tuple[str, bool]:
        """A word or a text in quotes, and which of them it was."""
        found = _QUOTED.match(self._text, self._skip())
        if found is not None:
            self._at = found.end()
            return _ESCAPE.sub(r"\1", found[1] if found[1] is not None else found[2]), True
        if self._text.startswith(('"', "'"), self._at):
            self._fail("the quote is not closed")
        found = pattern.match(self._text, self._at)
        if found is None or found[0].lower() in ("and", "or", "not"):
            self._fail(f"expected {what}")
        self._at = found.end()
        return found[0], False

    def _word(self, word: str) -> bool:
        """Whether `word` is next; steps over it then."""
        found = _FIELD.match(self._text, self._skip())
        if found is None or found[0].lower() != word:
            return False
        self._at = found.end()
        return True

    def _is_more(self) -> bool:
        """Whether another term stands beside the last one."""
        rest = self._text[self._skip() : self._at + 1]
        found = _FIELD.match(self._text, self._at)
        is_or = found is not None and found[0].lower() == "or"
        return rest not in ("", ")") and not is_or

    def _skip(self) -> int:
        while self._at < len(self._text) and self._text[self._at].isspace():
            self._at += 1
        return self._at

    def _fail(self, message: str) -> NoReturn:
        rest = self._text[self._at : self._at + 20]
        found = f", found {rest!r}" if rest else ", and the filter ends"
        raise FilterError(message + found, self._at)
