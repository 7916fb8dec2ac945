"""An audit's report for GitHub: annotations, and a job summary.

Workflow commands, as "Workflow commands for GitHub Actions" in GitHub's documentation has them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tinytorch_datasets.auditing.findings import Finding, Report
from tinytorch_datasets.progress import readable
from tinytorch_datasets.report import verdict

KINDS = {"error": "error", "warning": "warning", "unknown": "warning"}


def commands(report: Report, root: Path) -> Iterator[str]:
    """Yield a workflow command for each finding. Paths are relative to `root`, the folder of the checkout."""
    for finding in report.findings:
        place = f"file={_property(inside(manifest_of(report, finding), root))},line={finding.line}"
        title = f"{finding.dataset or 'data sets'}: {finding.rule}"
        message = "\n".join(filter(None, (finding.what, finding.hint)))
        yield f"::{KINDS[finding.severity]} {place},title={_property(title)}::{_data(message)}"


def summary(report: Report) -> str:
    """Format the tables for the run's page, in Markdown."""
    lines = ["## Data sets", "", verdict(report), ""]
    if report.datasets:
        lines += ["| data set | state | files | hashed | samples compared |", "|---|---|---:|---:|---:|"]
        lines += [
            f"| {a.name} | {a.state} | {a.files} | {readable(a.bytes)} | {a.samples:,} |" for a in report.datasets
        ]
        lines.append("")
    if report.addresses:
        lines += ["| address | answer | |", "|---|---|---|"]
        lines += [f"| {_cell(a.url)} | {a.state} | {_cell(a.detail)} |" for a in report.addresses]
        lines.append("")
    if report.findings:
        lines += ["| where | what | expected | actual | hint |", "|---|---|---|---|---|"]
        for f in report.findings:
            cells = (f.where, f"{f.rule}: {f.what}", f.expected, f.actual, f.hint)
            lines.append(f"| {' | '.join(_cell(cell) for cell in cells)} |")
        lines.append("")
    return "\n".join(lines) + "\n"


def inside(path: str, root: Path) -> str:
    """Return a path relative to `root`, with forward slashes; unchanged if it lies elsewhere."""
    try:
        return Path(os.path.relpath(path, root)).as_posix() if Path(path).is_relative_to(root) else path
    except ValueError:
        return path


def manifest_of(report: Report, finding: Finding) -> str:
    """Return the file that a finding's line is in: the manifest, or one that it includes."""
    name = (finding.where or "").rpartition(":")[0]
    path = Path(report.manifest)
    return os.path.normpath(path.parent / name) if name else str(path)


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _cell(value: object) -> str:
    return "" if value is None else " ".join(str(value).split()).replace("|", "\\|")
