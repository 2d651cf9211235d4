"""What a check of a run looked at, and what it found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ml_dash.reading.check_steps import StepCheck


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that a check found.

    Attributes:
        severity: `error`: something recorded is lost or damaged. `warning`: something is not as it
            should be, nothing is lost. `note`: a trace of a crash that did no harm.
        path: the file, relative to the run's folder.
        message: what is the matter.
        offset: the byte at which, in a segment.
    """

    severity: str
    path: str
    message: str
    offset: int | None = None

    def __str__(self) -> str:
        place = self.path if self.offset is None else f"{self.path}: byte {self.offset:,}"
        return f"{self.severity}: {place}: {self.message}"

    def to_json(self) -> dict[str, Any]:
        """The finding as plain JSON types."""
        return {
            "severity": self.severity,
            "path": self.path,
            "offset": self.offset,
            "message": self.message,
        }


@dataclass(slots=True)
class CheckReport:
    """What a check looked at, and what it found.

    Attributes:
        folder: the run's.
        prefix: the run's key.
        status: the run's.
        segments: how many were read.
        rows: how many readable rows they hold.
        bytes: how long the segments are together.
        files: how many files the index names.
        file_bytes: how long those are together.
        drained: rows that dead processes had left and that are in segments now, by stream.
        steps: how the frames of each camera fit to the rows.
        findings: errors first.
    """

    folder: str
    prefix: str
    status: str
    segments: int = 0
    rows: int = 0
    bytes: int = 0
    files: int = 0
    file_bytes: int = 0
    drained: dict[str, int] = field(default_factory=dict)
    steps: list[StepCheck] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether nothing is lost or damaged."""
        return not self.errors

    @property
    def errors(self) -> list[Finding]:
        """The findings that are errors."""
        return [finding for finding in self.findings if finding.severity == "error"]

    def add(self, severity: str, path: str, message: str, offset: int | None = None) -> None:
        """Note a finding."""
        self.findings.append(Finding(severity, path, message, offset))

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON types."""
        found = {name: getattr(self, name) for name in self.__slots__}
        found["ok"] = self.ok
        found["steps"] = [step.to_json() for step in self.steps]
        found["findings"] = [finding.to_json() for finding in self.findings]
        return found
