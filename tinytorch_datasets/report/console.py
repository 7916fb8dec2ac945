"""An audit's report for people: a table and sentences."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import click

from tinytorch_datasets.auditing.findings import Finding, ProbeResult, Report, Severity
from tinytorch_datasets.progress import readable

COLOURS = {"mismatch": "red", "partly downloaded": "yellow", "no answer": "yellow"}
NOUNS: dict[Severity, str] = {"error": "finding", "warning": "warning", "unknown": "address that could not be asked"}
PLURALS: dict[Severity, str] = {"unknown": "addresses that could not be asked"}


def written(report: Report) -> str:
    """A line a data set, a line an address, then every finding, then the verdict."""
    lines = []
    width = max((len(audited.name) for audited in report.datasets), default=0)
    for audited in report.datasets:
        told = f"  {plural(audited.files, 'file')}, {readable(audited.bytes)} hashed" if audited.files else ""
        told += f", {audited.samples:,} samples compared" if audited.samples else ""
        lines.append(f"{audited.name:<{width}}  {coloured(audited.state, 12)}{told}".rstrip())
        if audited.pickles:
            lines.append(f"{'':<{width}}  its pickles ask for {', '.join(audited.pickles)}")
    if report.addresses:
        lines.append("")
        lines += [address(asked) for asked in report.addresses]
    for finding in report.findings:
        lines += ["", _finding(finding)]
    return "\n".join([*lines, "", verdict(report)])


def address(asked: ProbeResult) -> str:
    """One address and what it answered."""
    return f"{coloured(asked.answer, 11)}  {asked.url}" + (f"  ({asked.told})" if asked.told else "")


def coloured(state: str, width: int) -> str:
    """A state, padded, and in its colour where there are colours."""
    colour = COLOURS.get(state)
    return click.style(f"{state:<{width}}", fg=colour) if colour else f"{state:<{width}}"


def verdict(report: Report) -> str:
    """How it went, in a line."""
    counts = Counter(finding.severity for finding in report.findings)
    told = [plural(counts[severity], NOUNS[severity], PLURALS.get(severity)) for severity in NOUNS if counts[severity]]
    start = "All ok" if report.ok else ""
    return f"{', '.join(filter(None, [start, *told]))}: {shown(report.manifest)}"


def shown(path: str) -> str:
    """A path as short as it can be said from here."""
    try:
        here = Path.cwd()
        return path if here == Path(here.anchor) else str(Path(path).relative_to(here))
    except (ValueError, OSError):
        return path


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """A count with its noun.

    >>> plural(1, "file"), plural(2, "file")
    ('1 file', '2 files')
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def _finding(finding: Finding) -> str:
    """A finding, its paths shortened to how they are said from here."""
    here = str(Path.cwd())
    return str(finding) if here.endswith(os.sep) else str(finding).replace(here + os.sep, "")
