"""Reports of an audit, each as its readers take them.

    format_report   a table and sentences, on a terminal
    github          annotations on the manifest's lines, and a summary table
    junit           XML, as test runners write it
    sarif           JSON, as code scanners write it

Each makes text of a `findings.Report`, and writes nothing itself.
"""

from __future__ import annotations

import json
import math
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tinytorch_datasets.progress import readable

if TYPE_CHECKING:
    from tinytorch_datasets.auditing.findings import Finding, ProbeResult, Report, Severity

COLORS = {"mismatch": "red", "partly downloaded": "yellow", "no answer": "yellow"}
NOUNS: dict[Severity, str] = {"error": "error", "warning": "warning", "unknown": "address that could not be checked"}
PLURALS: dict[Severity, str] = {"unknown": "addresses that could not be checked"}


# So many data sets that were never downloaded have a line each; where there are more, all of them have one.
ABSENT, MOST_ABSENT = "not downloaded", 12


def as_json(value: Any) -> str:
    """Format plain values as JSON that every reader takes: NaN and infinities become strings.

    >>> print(as_json({"actual": math.nan}))
    {
      "actual": "nan"
    }
    """
    return json.dumps(_finite(value), indent=2, ensure_ascii=False, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)


def format_report(report: Report) -> str:
    """Format a line for each data set and each address, then every finding, then the verdict."""
    lines = []
    absent = [audited.name for audited in report.datasets if audited.state == ABSENT]
    listed = [a for a in report.datasets if a.state != ABSENT or len(absent) <= MOST_ABSENT]
    width = max((len(audited.name) for audited in listed), default=0)
    for audited in listed:
        counts = f"  {plural(audited.files, 'file')}, {readable(audited.bytes)} hashed" if audited.files else ""
        counts += f", {audited.samples:,} samples compared" if audited.samples else ""
        lines.append(f"{audited.name:<{width}}  {colored(audited.state, 12)}{counts}".rstrip())
        if audited.pickles:
            lines.append(f"{'':<{width}}  its pickles ask for {', '.join(audited.pickles)}")
    if len(listed) < len(report.datasets):
        lines.append(f"{len(absent)} others  {colored(ABSENT, 12)}".rstrip())
    if report.addresses:
        lines.append("")
        lines += map(format_address, report.addresses)
    for finding in report.findings:
        lines += ["", format_finding(finding)]
    return "\n".join([*lines, "", verdict(report)])


def format_address(probe: ProbeResult) -> str:
    """Format one address and its answer."""
    return f"{colored(probe.state, 11)}  {probe.url}" + (f"  ({probe.detail})" if probe.detail else "")


def colored(state: str, width: int) -> str:
    """Pad a state, and give it its color."""
    color = COLORS.get(state)
    return click.style(f"{state:<{width}}", fg=color) if color else f"{state:<{width}}"


def verdict(report: Report) -> str:
    """Format the outcome of an audit as a line."""
    counts = Counter(finding.severity for finding in report.findings)
    listed = [plural(counts[kind], noun, PLURALS.get(kind)) for kind, noun in NOUNS.items() if counts[kind]]
    manifest = shown(report.manifest)
    if not report.ok:
        return f"{manifest}: {', '.join(listed)}."
    if not report.datasets:
        what = f"{manifest} declares no data set"
    elif report.addresses or any(dataset.files for dataset in report.datasets):
        what = f"Everything checked matches {manifest}"
    else:
        states = Counter(dataset.state for dataset in report.datasets)
        why = ", ".join(f"{plural(count, 'data set')} {state}" for state, count in states.items())
        what = f"No file was compared with {manifest}: {why}"
    return "; ".join([what, *listed]) + "."


def shown(path: str) -> str:
    """Shorten a path, if it is below the working directory."""
    try:
        here = Path.cwd()
        return path if here == Path(here.anchor) else str(Path(path).relative_to(here))
    except (ValueError, OSError):
        return path


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """Format a count with its noun.

    >>> plural(1, "file"), plural(2, "file")
    ('1 file', '2 files')
    """
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def format_finding(finding: Finding) -> str:
    """Format a finding, its paths relative to the working directory."""
    here = str(Path.cwd())
    return str(finding) if here.endswith(os.sep) else str(finding).replace(here + os.sep, "")
