"""What an examination found: facts, what is wrong, and what to do about it; within a time limit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ml_dash.environment import without_credentials

PROBLEM = "problem"
"""Something is wrong: the exit code says so."""

NOTE = "note"
"""Something worth knowing, which may well be meant."""


class Fact(NamedTuple):
    """One thing that was found out.

    Attributes:
        name: what it is about; its key in JSON, with underscores.
        value: plain JSON types.
        text: for people.
    """

    name: str
    value: Any
    text: str


class Finding(NamedTuple):
    """One thing to know or to mend.

    Attributes:
        severity: `PROBLEM` or `NOTE`.
        section: what was examined.
        message: what is the matter.
        remedy: what to do.
    """

    severity: str
    section: str
    message: str
    remedy: str

    def to_json(self) -> dict[str, str]:
        """The finding as plain JSON types."""
        return self._asdict()


@dataclass(slots=True)
class Section:
    """What was found out about one thing. Credentials in addresses are masked as they come in.

    Attributes:
        name: a heading, and a key in JSON.
        facts: in the order they were found.
        findings: likewise.
        doing: what goes on now, for the case that it never ends.
    """

    name: str
    facts: list[Fact] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    doing: str = ""

    def tell(self, name: str, value: Any, text: str | None = None) -> None:
        """Add a fact; its text is the value itself where none is given."""
        shown = str(value) if text is None else text
        kept = without_credentials(value) if isinstance(value, str) else value
        self.facts.append(Fact(name, kept, without_credentials(shown)))

    def problem(self, message: str, remedy: str) -> None:
        """Add something that is wrong, and what to do about it."""
        self._find(PROBLEM, message, remedy)

    def note(self, message: str, remedy: str) -> None:
        """Add something that is worth knowing, and what to do if it is not meant."""
        self._find(NOTE, message, remedy)

    def to_json(self) -> dict[str, Any]:
        """The facts by name."""
        return {fact.name.replace(" ", "_"): fact.value for fact in list(self.facts)}

    def _find(self, severity: str, message: str, remedy: str) -> None:
        shown = without_credentials(message)
        self.findings.append(Finding(severity, self.name, shown, without_credentials(remedy)))


class Examination:
    """Fills a section in a thread of its own, from now on, so that nothing can hold up the rest.

    A disk, a keyring, a name server or a driver may never answer. The thread is left behind then.

    Args:
        name: of the section.
        work: fills it.
        limit: seconds that it may take from now on.
    """

    def __init__(self, name: str, work: Callable[[Section], None], limit: float) -> None:
        self._section = Section(name)
        self._work = work
        self._limit = limit
        self._end = time.monotonic() + limit
        self._thread = threading.Thread(target=self._run, name=f"doctor {name}", daemon=True)
        self._thread.start()

    def result(self) -> Section:
        """The section; after the time limit with what there is until then."""
        self._thread.join(max(0.0, self._end - time.monotonic()))
        found = self._section
        if not self._thread.is_alive():
            return found
        # A copy: the thread may come to life again while this is printed.
        kept = Section(found.name, list(found.facts), list(found.findings))
        what = found.doing or f"looking at {found.name}"
        kept.problem(
            f"{what} took longer than {self._limit:g} s, and was given up",
            "try it again; what does not answer is named here",
        )
        return kept

    def _run(self) -> None:
        try:
            self._work(self._section)
        except Exception as error:  # noqa: BLE001 - one defect must not hide what else was found
            # Not its text, unless it is the system's: it might have a secret in it
            said = f": {error}" if isinstance(error, OSError) else ""
            what = self._section.doing or f"looking at {self._section.name}"
            self._section.problem(
                f"{what} failed with {type(error).__name__}{said}",
                "tell the authors of ML-Dash, with what is shown here",
            )
