"""`ml-dash doctor`: what is installed, where things are kept, whether the server answers.

It looks, and changes nothing. Every part has a time limit.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from ml_dash.cli.command import DONE, WRONG, Command, take_json, take_root
from ml_dash.cli.screen import Screen
from ml_dash.cli.server_argument import take_url

if TYPE_CHECKING:
    from ml_dash.cli.doctor.findings import Finding, Section


def _arguments(parser: ArgumentParser) -> None:
    take_root(parser)
    take_url(parser)
    take_json(parser)


def _run(options: Namespace, screen: Screen) -> int:
    from ml_dash.cli.doctor.examine import examine
    from ml_dash.cli.doctor.findings import PROBLEM
    from ml_dash.cli.json_text import json_text

    sections = []
    for section in examine(options, screen.progress):
        sections.append(section)
        if not options.json:
            _print(section, screen)
    found = [finding for section in sections for finding in section.findings]
    problems = [finding for finding in found if finding.severity == PROBLEM]
    notes = [finding for finding in found if finding.severity != PROBLEM]
    if options.json:
        facts = {section.name: section.to_json() for section in sections}
        said = {
            "ok": not problems,
            **facts,
            "problems": [finding.to_json() for finding in problems],
            "notes": [finding.to_json() for finding in notes],
        }
        screen.line(json_text(said, indent=2))
    else:
        _print_findings("notes", notes, "yellow", screen)
        _print_findings("problems", problems, "red", screen)
        if not problems:
            screen.line(screen.style("nothing is wrong", "green"))
    return WRONG if problems else DONE


def _print(section: Section, screen: Screen) -> None:
    from ml_dash.cli.text import pad, printable, width

    screen.line(screen.style(section.name, "bold"))
    names = max((width(fact.name) for fact in section.facts), default=0)
    for fact in section.facts:
        name = screen.style(pad(printable(fact.name), names), "faint")
        screen.line(f"  {name}  {printable(fact.text)}")
    screen.line()


def _print_findings(title: str, findings: list[Finding], style: str, screen: Screen) -> None:
    from ml_dash.cli.quantities import count
    from ml_dash.cli.text import printable

    if not findings:
        return
    screen.line(screen.style(f"{title}  {count(len(findings))}", "bold"))
    for finding in findings:
        screen.line(f"  {screen.style(printable(f'{finding.section}: {finding.message}'), style)}")
        screen.line(f"    {printable(finding.remedy)}")
    screen.line()


DOCTOR = Command(
    name="doctor",
    usage="[--json] [--root DIR] [--url URL]",
    summary="look for what is wrong with this installation",
    details=(
        "Versions, what each extra brings, folders and the disk below them, the settings\n"
        "that hold and where each comes from, encoders, OpenGL without a screen, the\n"
        "clock, runs that broke off or are not on the server, and the server: whether it\n"
        "answers, and who you are to it. What is wrong is told with what to do about it.\n"
        "It changes nothing, shows no token, and ends within a minute or two whatever\n"
        "does not answer.\n\n"
        "The exit code is 0 when nothing is wrong, else 1."
    ),
    examples=(
        ("ml-dash doctor", "with the server that is kept"),
        ("ml-dash doctor --url https://dash.example", "of another server"),
        ("ml-dash doctor --json | jq .problems", "for scripts"),
    ),
    arguments=_arguments,
    run=_run,
)
